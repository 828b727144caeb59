"""JSON text as a part of other JSON."""

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import simdjson

# As numbers: looking for a byte that is given as bytes takes nine times as long.
_LINE_FEED, _RETURN = b"\n\r"

_QUICK_BYTES = 65_536
"""Of the longest text that is looked at quickly: the parser keeps fifteen times as much."""
_parse = simdjson.Parser(_QUICK_BYTES).parse
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_OF_MARK = _BYTE_ORDER_MARK[0]
_NOWHERE: deque[Any] = deque(maxlen=0)


def checked(text: bytes) -> bytes:
    """JSON text as :func:`in_line` gives it, once it is known to be that.

    Raises:
        JSONDecodeError: it is none, and would break the JSON around it.
    """
    _check((text,), text)
    return in_line(text)


def all_checked(texts: Sequence[bytes]) -> Sequence[bytes]:
    """The same for many texts, without a turn of the interpreter for each.

    Raises:
        JSONDecodeError: one of them is none.
    """
    joined = b"".join(texts)
    _check(texts, joined)
    return list(map(in_line, texts)) if _LINE_FEED in joined or _RETURN in joined else texts


def in_line(text: bytes) -> bytes:
    """JSON text byte for byte but for line breaks, which events in lines must not have.

    Between tokens they are white space and inside of strings JSON has none.
    """
    if _LINE_FEED in text or _RETURN in text:
        return text.replace(b"\n", b" ").replace(b"\r", b" ")
    return text


def _check(texts: Iterable[bytes], joined: bytes) -> None:
    """Raise what orjson has against one of the texts.

    simdjson looks at a text in a quarter of the time, since it makes no objects. It refuses some that are JSON (long
    ones, and integers of more than 64 bits) and takes texts behind a byte order mark: orjson decides about those.
    """
    if not (_FIRST_OF_MARK in joined and any(text.startswith(_BYTE_ORDER_MARK) for text in texts)):
        # It also fails where another thread looks at a text at this moment.
        with contextlib.suppress(ValueError, RuntimeError):
            _NOWHERE.extend(map(_parse, texts))
            return
    _NOWHERE.extend(map(orjson.loads, texts))
