"""The leaves of a schema: which JSON fits each Avro type, and its bytes.

Integers are exact: ``true`` and ``1.0`` are no integers. A double or float takes an integer only where it can hold it
exactly; a JSON fraction is rounded to the nearest float. NaN and the infinities, which JSON lacks, are strings.
"""

import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from eventbus_gateway.base64_text import base64_text
from eventbus_gateway.schemas.codec.schema import Dialect, Leaf, listed
from eventbus_gateway.schemas.codec.wire import (
    DOUBLE_MAX,
    FLOAT_MAX,
    INT_MAX,
    INT_MIN,
    LENGTH_LIMIT,
    LONG_MAX,
    LONG_MIN,
    Misfit,
    kind_of,
    lengths,
    long_bytes,
)

Pack = Callable[[Any], bytes]

_LENGTHS = lengths(b"")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

# Ranks of string-like and number-like branches of one union, the lowest is tried first (see unions).
RANK_STRING, RANK_ENUM, RANK_UUID, RANK_TIME, RANK_DECIMAL, RANK_SPECIAL, RANK_FIXED, RANK_BYTES = range(8)
RANK_INT, RANK_LONG, RANK_DATED_INT, RANK_DATED_LONG, RANK_DOUBLE, RANK_FLOAT, RANK_NUMBER_DECIMAL = range(7)


def misfit(expected: str, value: Any) -> Misfit:
    """The error for a value that is not what was expected; it tells the value's kind only.

    Args:
        expected: what would fit.
        value: what came.
    """
    return Misfit(f"expected {expected}, got {kind_of(value)}")


def _null(value: Any) -> bytes:
    if value is not None:
        raise misfit("null", value)
    return b""


def _boolean(value: Any) -> bytes:
    if value.__class__ is not bool:
        raise misfit("boolean", value)
    return b"\x01" if value else b"\x00"


def integers(expected: str, low: int, high: int) -> Pack:
    """Packs integers within bounds, both included."""

    def pack(value: Any) -> bytes:
        if value.__class__ is not int:
            raise misfit(expected, value)
        if not low <= value <= high:
            raise Misfit(f"expected {expected}, got an integer out of range")
        return long_bytes(value)

    return pack


def _binary_floats(expected: str, wire: str, largest: float, bits: int) -> Pack:
    write = struct.Struct(wire).pack

    def pack(value: Any) -> bytes:
        if value.__class__ is float:
            if -largest <= value <= largest:
                return write(value)
            raise Misfit(f"expected {expected}, got a number out of range")
        if value.__class__ is int:
            magnitude = abs(value)
            # An integer is exact when its bits, without trailing zeros, fit the significand.
            if not magnitude or (magnitude <= largest and (magnitude & -magnitude) << bits > magnitude):
                return write(float(value))
            raise Misfit(f"expected {expected}, got an integer that it cannot hold exactly")
        if value.__class__ is str and value in _SPECIAL:
            return write(_SPECIAL[value])
        raise misfit(expected, value)

    return pack


def finite_or_name(number: float) -> float | str:
    """A number, or the string that stands for NaN or an infinity."""
    if number - number == 0.0:
        return number
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"  # noqa: PLR0124 - NaN


def _string(value: Any) -> bytes:
    if value.__class__ is not str:
        raise misfit("string", value)
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise Misfit("expected string, got one with an unpaired surrogate") from None
    length = len(raw)
    return (_LENGTHS[length] if length < LENGTH_LIMIT else long_bytes(length)) + raw


def latin1(expected: str) -> Pack:
    """The bytes of a string whose characters stand for one byte each (Avro's JSON encoding)."""

    def read(value: Any) -> bytes:
        if value.__class__ is not str:
            raise misfit(expected, value)
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise Misfit(f"expected {expected}, got a string with characters beyond U+00FF") from None

    return read


def base64(expected: str) -> Pack:
    """The bytes of a base64 string, with padding and without any freedom (RFC 4648 section 4)."""

    def read(value: Any) -> bytes:
        if value.__class__ is not str:
            raise misfit(expected, value)
        try:
            raw = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise Misfit(f"expected {expected}, got a string that is not base64") from None
        if binascii.b2a_base64(raw, newline=False) != value.encode():
            raise Misfit(f"expected {expected}, got a string that is not canonical base64")
        return raw

    return read


def latin1_text(raw: bytes) -> str:
    """One character for each byte."""
    return raw.decode("latin-1")


def with_length(read: Pack) -> Pack:
    """Puts the length before what is read: the wire form of ``bytes``."""

    def pack(value: Any) -> bytes:
        raw = read(value)
        length = len(raw)
        return (_LENGTHS[length] if length < LENGTH_LIMIT else long_bytes(length)) + raw

    return pack


def of_size(read: Pack, size: int, expected: str) -> Pack:
    """Checks the length of what is read: the wire form of ``fixed``."""
    longest = size * 4 // 3 + 4

    def pack(value: Any) -> bytes:
        # An overlong string is refused before it is decoded: a union may try many fixed types.
        raw = read(value) if value.__class__ is not str or len(value) <= longest else b""
        if len(raw) != size or (value.__class__ is str and len(value) > longest):
            raise Misfit(f"expected {expected}, got a string of another length")
        return raw

    return pack


def kinds(**ranks: int) -> Mapping[type, int]:
    """JSON kinds that fit a leaf, with their ranks."""
    names: dict[str, type] = {"text": str, "integer": int, "number": float}
    return {names[name]: rank for name, rank in ranks.items()}


_FLOATING = frozenset((float, str))
_PRIMITIVES: dict[str, Leaf] = {
    "null": Leaf("null", "null", "null", {type(None): 0}, frozenset((type(None),)), _null, inline=True),
    "boolean": Leaf("boolean", "boolean", "boolean", {bool: 0}, frozenset((bool,)), _boolean, inline=True),
    "int": Leaf(
        "int", "int", "int (32 bits)", kinds(integer=RANK_INT), frozenset((int,)),
        integers("int (32 bits)", INT_MIN, INT_MAX), inline=True,
    ),
    "long": Leaf(
        "long", "long", "long (64 bits)", kinds(integer=RANK_LONG), frozenset((int,)),
        integers("long (64 bits)", LONG_MIN, LONG_MAX), inline=True,
    ),
    "float": Leaf(
        "float", "float", "float", kinds(integer=RANK_FLOAT, number=RANK_FLOAT, text=RANK_SPECIAL), _FLOATING,
        _binary_floats("float", "<f", FLOAT_MAX, 24), finite_or_name, inline=True,
    ),
    "double": Leaf(
        "double", "double", "double", kinds(integer=RANK_DOUBLE, number=RANK_DOUBLE, text=RANK_SPECIAL), _FLOATING,
        _binary_floats("double", "<d", DOUBLE_MAX, 53), finite_or_name, inline=True,
    ),
    "string": Leaf("string", "string", "string", kinds(text=RANK_STRING), frozenset((str,)), _string, inline=True),
}  # fmt: skip


def primitive(kind: str, dialect: Dialect) -> Leaf | None:
    """The leaf of a primitive type by its name; None where there is no such type."""
    if kind == "bytes":
        expected = "bytes as base64" if dialect == "plain" else "bytes as a string of characters up to U+00FF"
        read = base64(expected) if dialect == "plain" else latin1(expected)
        show = base64_text if dialect == "plain" else latin1_text
        return Leaf("bytes", "bytes", expected, kinds(text=RANK_BYTES), frozenset((str,)), with_length(read), show)
    return _PRIMITIVES.get(kind)


def fixed(name: str, size: int, dialect: Dialect) -> Leaf:
    """The leaf of a fixed type.

    Args:
        name: full name.
        size: in bytes.
        dialect: of the JSON side.
    """
    form = "as base64" if dialect == "plain" else "as a string of characters up to U+00FF"
    expected = f"{size} bytes {form}"
    read = base64(expected) if dialect == "plain" else latin1(expected)
    show = base64_text if dialect == "plain" else latin1_text
    pack = of_size(read, size, expected)
    return Leaf("fixed", name, expected, kinds(text=RANK_FIXED), frozenset((str,)), pack, show, size=size)


def enum(name: str, symbols: tuple[str, ...]) -> Leaf:
    """The leaf of an enum.

    A symbol that the schema lacks is always a fault: an enum's default is for readers with another schema.

    Args:
        name: full name.
        symbols: in wire order.
    """
    expected = "one of " + listed(list(symbols))
    wire = {symbol: long_bytes(index) for index, symbol in enumerate(symbols)}

    def pack(value: Any) -> bytes:
        if value.__class__ is not str:
            raise misfit(expected, value)
        raw = wire.get(value)
        if raw is None:
            raise Misfit(f"expected {expected}, got another string")
        return raw

    return Leaf(
        "enum", name, expected, kinds(text=RANK_ENUM), frozenset((str,)), pack, inline=True, symbols=symbols
    )  # fmt: skip
