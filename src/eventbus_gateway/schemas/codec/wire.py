"""Avro's binary primitives: variable-length integers and the tables that make them cheap.

Source: Avro specification 1.12, "Binary Encoding".
"""

from functools import lru_cache
from typing import Any

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
FLOAT_MAX = 3.4028234663852886e38
DOUBLE_MAX = 1.7976931348623157e308

SMALL_LIMIT = 8192
"""Integers from ``-SMALL_LIMIT`` up to, not including, ``SMALL_LIMIT`` are looked up in ``SMALL``."""
LENGTH_LIMIT = 1024
"""Lengths below this are looked up in the tables that ``lengths`` makes."""


class Misfit(Exception):
    """A value does not fit its schema; ``detail`` says what was expected and which kind came."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Damage(Exception):
    """Encoded bytes break the format; ``detail`` says how, never what they hold."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


def _unsigned(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))


_UNSIGNED = tuple(_unsigned(number) for number in range(1 << 14))
_CONTINUED = tuple(bytes((number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14))

SMALL = {
    number: _UNSIGNED[number << 1 if number >= 0 else ~(number << 1)] for number in range(-SMALL_LIMIT, SMALL_LIMIT)
}
"""Encoded small integers."""

ZIGZAG = tuple((number >> 1) ^ -(number & 1) for number in range(128))
"""Integers that take one byte, by that byte."""


_EVEN = tuple(_CONTINUED[number << 1] for number in range(1 << 13))


def long_bytes(number: int) -> bytes:
    """Encode a 64-bit integer, fourteen bits per table look-up.

    Raises:
        Misfit: it has more than 64 bits.
    """
    # What timestamps in milliseconds look like: the sign is known and the number of bytes too.
    if 1 << 27 <= number < 1 << 41:
        return _EVEN[number & 8191] + _CONTINUED[number >> 13 & 16383] + _UNSIGNED[number >> 27]
    z = number << 1 if number >= 0 else ~(number << 1)
    if z < 1 << 14:
        return _UNSIGNED[z]
    if z < 1 << 28:
        return _CONTINUED[z & 16383] + _UNSIGNED[z >> 14]
    if z < 1 << 42:
        return _CONTINUED[z & 16383] + _CONTINUED[z >> 14 & 16383] + _UNSIGNED[z >> 28]
    low = _CONTINUED[z & 16383] + _CONTINUED[z >> 14 & 16383] + _CONTINUED[z >> 28 & 16383]
    if z < 1 << 56:
        return low + _UNSIGNED[z >> 42]
    if z >> 64:
        raise Misfit("expected long (64 bits), got an integer out of range")
    return low + _CONTINUED[z >> 42 & 16383] + _UNSIGNED[z >> 56]


def int_bytes(number: int) -> bytes:
    """Encode a 32-bit integer.

    Raises:
        Misfit: it has more than 32 bits.
    """
    if not INT_MIN <= number <= INT_MAX:
        raise Misfit("expected int (32 bits), got an integer out of range")
    return long_bytes(number)


HEX_FORM = bytes(ord("0") if byte in b"0123456789abcdefABCDEF" else byte for byte in range(256))
"""Translates hexadecimal digits to 0 and leaves the rest: what comes out is the form of a text."""


@lru_cache(maxsize=64)
def lengths(lead: bytes) -> tuple[bytes, ...]:
    """Encoded lengths below ``LENGTH_LIMIT``, each after the same leading bytes."""
    return tuple(lead + SMALL[length] for length in range(LENGTH_LIMIT))


# Groups of seven bits where they belong: shifting each takes twice as long.
_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _LAST = (
    tuple((byte & 127) << shift for byte in range(256)) for shift in range(0, 42, 7)
)


def read_long(data: bytes, position: int) -> tuple[int, int]:
    """Read a 64-bit integer; gives the number and the position after it.

    Raises:
        Damage: more than ten bytes or more than 64 bits.
        IndexError: the data ends inside it.
    """
    byte = data[position]
    if byte < 128:
        return ZIGZAG[byte], position + 1
    second = data[position + 1]
    if second < 128:
        z = byte & 127 | second << 7
        return (z >> 1) ^ -(z & 1), position + 2
    # What timestamps in milliseconds look like: six bytes, of which only the last one has no continuation.
    tail = data[position + 2 : position + 6]
    if len(tail) == 4:
        third, fourth, fifth, last = tail
        if third & fourth & fifth & (last ^ 128) & 128:
            z = _FIRST[byte] + _SECOND[second] + _THIRD[third] + _FOURTH[fourth] + _FIFTH[fifth] + _LAST[last]
            return (z >> 1) ^ -(z & 1), position + 6
    if tail and (third := tail[0]) < 128:
        z = _FIRST[byte] + _SECOND[second] + _THIRD[third]
        return (z >> 1) ^ -(z & 1), position + 3
    return _read_any(data, position)


def _read_any(data: bytes, position: int) -> tuple[int, int]:
    z = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        z |= (byte & 127) << shift
        if byte < 128:
            break
    else:
        raise Damage("an integer is longer than ten bytes")
    if z >> 64:
        raise Damage("an integer has more than 64 bits")
    return (z >> 1) ^ -(z & 1), position


def read_int(data: bytes, position: int) -> tuple[int, int]:
    """Read a 32-bit integer; gives the number and the position after it.

    Raises:
        Damage: more than 32 bits.
        IndexError: the data ends inside it.
    """
    low = data[position]
    if low > 127 and (high := data[position + 1]) < 128:
        z = low & 127 | high << 7
        return (z >> 1) ^ -(z & 1), position + 2
    number, position = read_long(data, position)
    if not INT_MIN <= number <= INT_MAX:
        raise Damage("an int has more than 32 bits")
    return number, position


def read_doubled(data: bytes, position: int) -> tuple[int, int]:
    """Read a 32-bit integer; gives twice the number, as an index is on the wire, and the position after it.

    Raises:
        Damage: more than 32 bits.
        IndexError: the data ends inside it.
    """
    number, position = read_int(data, position)
    return number * 2, position


def read_text(data: bytes, position: int) -> tuple[str, int]:
    """Read a string of any length; gives it and the position after it.

    Raises:
        Damage: the length is negative or goes beyond the end.
        IndexError: the data ends inside the length.
        UnicodeDecodeError: it is not UTF-8.
    """
    length, position = read_long(data, position)
    end = position + length
    if not position <= end <= len(data):
        raise Damage("a length does not fit the record")
    return data[position:end].decode(), end


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def kind_of(value: Any) -> str:
    """The JSON kind of a value, for fault texts."""
    return _KINDS.get(value.__class__, "something that is not JSON")
