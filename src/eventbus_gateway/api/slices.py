"""The text of ``data`` inside CloudEvents envelopes, byte for byte.

Rendering parsed data again would change it: integers beyond 64 bits become floats, and whitespace, escapes and
repeated members are lost. The text has passed a parser before it comes here, so only its structure matters, and no
nesting that the parser takes is too deep.
"""

import re
from collections.abc import Iterator

import orjson

_SPACE = re.compile(rb"[ \t\r\n]*+").match
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"').match
_SCALAR = re.compile(rb"[^,\]} \t\r\n]++").match
# Runs over everything up to and including the next bracket that stands outside of a string.
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\]]').match


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
        name_end = _value_end(text, at)
        name = text[at:name_end]
        begin = _after_space(text, _after_space(text, name_end) + 1)
        end = _value_end(text, begin)
        if name == b'"data"' or (b"\\" in name and orjson.loads(name) == "data"):
            data = text[begin:end]
        at = _after_comma(text, end)
    return data, at + 1


def _value_end(text: bytes, at: int) -> int:
    first = text[at]
    if first == ord('"'):
        return _end(_STRING(text, at))
    if first not in b"{[":
        return _end(_SCALAR(text, at))
    depth = 0
    while True:
        at = _end(_BRACKET(text, at))
        depth += 1 if text[at - 1] in b"{[" else -1
        if depth == 0:
            return at


def _after_comma(text: bytes, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == ord(",") else at


def _after_space(text: bytes, at: int) -> int:
    return _end(_SPACE(text, at))


def _end(found: "re.Match[bytes] | None") -> int:
    if found is None:
        raise RuntimeError("text that is not JSON came behind the parser")
    return found.end()
