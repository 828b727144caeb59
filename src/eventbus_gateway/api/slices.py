"""The text of ``data`` inside CloudEvents envelopes, byte for byte.

Rendering parsed data again would change it: integers beyond 64 bits become floats, and whitespace, escapes and
repeated members are lost. The text has passed a parser before it comes here, so only its structure matters, and no
nesting that the parser takes is too deep.
"""

import re
from collections.abc import Iterator

import orjson

_SPACE = re.compile(rb"[ \t\r\n]*+").match
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NAME = re.compile(rb"(%s)[ \t\r\n]*+:[ \t\r\n]*+" % _STRING).match
_SIMPLE = re.compile(rb'%s|[^,\]}{\[" \t\r\n]++' % _STRING).match
# Runs over everything up to and including the next bracket that stands outside of a string.
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:%s[^"{}\[\]]*+)*+[{}\[\]]' % _STRING).match
_COMMA = re.compile(rb"[ \t\r\n]*+,?[ \t\r\n]*+").match


def data_of(envelope: bytes) -> bytes:
    """The text of an object's ``data`` member, empty where it has none.

    Args:
        envelope: one JSON object, possibly with whitespace around it.
    """
    return _data(envelope, _after_space(envelope, 0))[0]


def data_of_each(envelopes: bytes) -> Iterator[bytes]:
    """The text of ``data`` for every item of an array, empty for items that are no objects or have none.

    Args:
        envelopes: one JSON array, possibly with whitespace around it.
    """
    at = _after_space(envelopes, _after_space(envelopes, 0) + 1)
    while envelopes[at] != ord("]"):
        if envelopes[at] == ord("{"):
            data, at = _data(envelopes, at)
        else:
            data, at = b"", _value_end(envelopes, at)
        yield data
        at = _after_comma(envelopes, at)


def _data(text: bytes, at: int) -> tuple[bytes, int]:
    """The text of the object's last ``data`` member, which is the one that parsers keep, and the object's end."""
    data = b""
    at = _after_space(text, at + 1)
    while text[at] != ord("}"):
        member = _found(_NAME(text, at))
        name, begin = member[1], member.end()
        end = _value_end(text, begin)
        if name == b'"data"' or (b"\\" in name and orjson.loads(name) == "data"):
            data = text[begin:end]
        at = _after_comma(text, end)
    return data, at + 1


def _value_end(text: bytes, at: int) -> int:
    simple = _SIMPLE(text, at)
    if simple is not None:
        return simple.end()
    depth = 0
    while True:
        at = _found(_BRACKET(text, at)).end()
        depth += 1 if text[at - 1] in b"{[" else -1
        if depth == 0:
            return at


def _after_comma(text: bytes, at: int) -> int:
    return _found(_COMMA(text, at)).end()


def _after_space(text: bytes, at: int) -> int:
    return _found(_SPACE(text, at)).end()


def _found(match: "re.Match[bytes] | None") -> "re.Match[bytes]":
    if match is None:
        raise RuntimeError("text that is not JSON came behind the parser")
    return match
