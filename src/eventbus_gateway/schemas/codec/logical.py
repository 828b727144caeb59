"""Logical types: what an annotated leaf takes and gives in place of its underlying type.

A logical type that is unknown, or whose parameters are wrong, is ignored (Avro specification 1.12, "Logical Types").
In the ``avro`` dialect a leaf keeps its underlying JSON; only what would make the record unreadable is still checked.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec import decimals, leaves, times
from eventbus_gateway.schemas.codec.schema import Dialect, Leaf
from eventbus_gateway.schemas.codec.wire import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Damage, Misfit, long_bytes

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_FORM = b"00000000-0000-0000-0000-000000000000"
_PLACES = {"millis": 3, "micros": 6, "nanos": 9}
_TEXT = frozenset((str,))
_TEXT_OR_NUMBER = frozenset((str, int))


def annotated(leaf: Leaf, schema: Mapping[str, Any], dialect: Dialect) -> Leaf:
    """The leaf with its logical type, or the same leaf where there is none that applies.

    Args:
        leaf: the underlying type.
        schema: the JSON object that declares it.
        dialect: of the JSON side.

    Raises:
        SchemaUnusable: a decimal's precision is beyond what is supported.
    """
    logical = schema.get("logicalType")
    if not isinstance(logical, str):
        return leaf
    if logical == "decimal" and leaf.kind in ("bytes", "fixed"):
        return _decimal(leaf, schema, dialect)
    if logical == "big-decimal" and leaf.kind == "bytes":
        return _big_decimal(leaf, dialect)
    if logical == "uuid" and leaf.kind == "string":
        return _uuid_text(leaf)
    if dialect == "avro":
        return leaf
    if logical == "uuid" and leaf.kind == "fixed" and leaf.size == 16:
        return _uuid_fixed(leaf)
    if logical == "duration" and leaf.kind == "fixed" and leaf.size == 12:
        return _duration(leaf)
    return _temporal(leaf, logical)


def _temporal(leaf: Leaf, logical: str) -> Leaf:
    if logical == "date" and leaf.kind == "int":
        return _dated(leaf, "a date (YYYY-MM-DD or days)", times.day_of, times.day_text)
    prefix, _, unit = logical.rpartition("-")
    places = _PLACES.get(unit, 0)
    if (prefix, unit, leaf.kind) in (("time", "millis", "int"), ("time", "micros", "long")):
        return _time_of_day(leaf, unit, places)
    if leaf.kind != "long" or not places or prefix not in ("timestamp", "local-timestamp"):
        return leaf
    local = prefix == "local-timestamp"
    offset = "without" if local else "with"
    form = f"a {prefix.replace('-', ' ')} (ISO 8601 {offset} offset, or {unit})"
    read = times.moment_reader(places, local=local)
    dated = _dated(leaf, form, read, times.moment_writer(places, suffix="" if local else "Z"))
    return dated if local else replace(dated, inline=True, per_second=10**places)


def _dated(leaf: Leaf, expected: str, read: Callable[[str], int | None], show: Callable[[int], str | int]) -> Leaf:
    low, high = (INT_MIN, INT_MAX) if leaf.kind == "int" else (LONG_MIN, LONG_MAX)
    number = leaves.integers(expected, low, high)

    def pack(value: Any) -> bytes:
        if value.__class__ is not str:
            return number(value)
        units = read(value)
        if units is None or not low <= units <= high:
            raise Misfit(f"expected {expected}, got a string of another form")
        return long_bytes(units)

    return _numbered(leaf, expected, pack, show, _TEXT_OR_NUMBER)


def _time_of_day(leaf: Leaf, unit: str, places: int) -> Leaf:
    expected = f"a time of day (HH:MM:SS or {unit})"
    number = leaves.integers(expected, 0, 86_400 * 10**places - 1)

    def pack(value: Any) -> bytes:
        if value.__class__ is not str:
            return number(value)
        units = times.time_of(value, places)
        if units is None:
            raise Misfit(f"expected {expected}, got a string of another form")
        return long_bytes(units)

    def show(units: int) -> str:
        text = times.time_text(units, places)
        if text is None:
            raise Damage("a time of day is outside of the day")
        return text

    return _numbered(leaf, expected, pack, show, _TEXT)


def _numbered(
    leaf: Leaf, expected: str, pack: leaves.Pack, show: Callable[[int], str | int], gives: frozenset[type]
) -> Leaf:
    rank = leaves.RANK_DATED_INT if leaf.kind == "int" else leaves.RANK_DATED_LONG
    takes = leaves.kinds(text=leaves.RANK_TIME, integer=rank)
    return replace(leaf, expected=expected, takes=takes, gives=gives, pack=pack, show=show, inline=False)


def _uuid_text(leaf: Leaf) -> Leaf:
    matches = _UUID.fullmatch
    length = long_bytes(36)

    def pack(value: Any) -> bytes:
        if value.__class__ is not str:
            raise leaves.misfit("a UUID", value)
        if matches(value) is None:
            raise Misfit("expected a UUID, got another string")
        return length + value.encode()

    def show(value: str) -> str:
        if matches(value) is None:
            raise Damage("a UUID is malformed")
        return value

    takes = leaves.kinds(text=leaves.RANK_UUID)
    return replace(leaf, expected="a UUID", takes=takes, pack=pack, show=show, form=_UUID_FORM)


def _texts(
    leaf: Leaf, expected: str, rank: int, read: Callable[[str], bytes | None], show: Callable[[bytes], str]
) -> Leaf:
    def pack(value: Any) -> bytes:
        if value.__class__ is not str:
            raise leaves.misfit(expected, value)
        raw = read(value)
        if raw is None:
            raise Misfit(f"expected {expected}, got another string")
        return raw

    return replace(leaf, expected=expected, takes=leaves.kinds(text=rank), gives=_TEXT, pack=pack, show=show)


def _uuid_fixed(leaf: Leaf) -> Leaf:
    def read(text: str) -> bytes | None:
        return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None

    def show(raw: bytes) -> str:
        digits = raw.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    return _texts(leaf, "a UUID", leaves.RANK_UUID, read, show)


def _duration(leaf: Leaf) -> Leaf:
    expected = "an ISO 8601 duration"
    return _texts(leaf, expected, leaves.RANK_TIME, times.duration_of, times.duration_text)


def _whole(value: Any) -> bool:
    return value.__class__ is int and value >= 0


def _decimal(leaf: Leaf, schema: Mapping[str, Any], dialect: Dialect) -> Leaf:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if not _whole(precision) or not _whole(scale) or not scale <= precision or not precision:
        return leaf
    if leaf.kind == "fixed" and precision > int(math.log10(2) * (8 * leaf.size - 1)):
        return leaf
    if precision > decimals.MAX_DIGITS:
        raise SchemaUnusable(f"A decimal has a precision of more than {decimals.MAX_DIGITS} digits.")
    show = partial(decimals.text_of, precision=precision, scale=scale)
    if dialect == "avro":
        return _checked(leaf, show)
    size = leaf.size

    def read(value: str | int) -> bytes | None:
        number = decimals.unscaled(value, precision, scale)
        if number is None:
            return None
        return number.to_bytes(size, "big", signed=True) if size else decimals.minimal(number)

    return _decimal_leaf(leaf, f"a decimal ({precision} digits, {scale} after the point)", read, show)


def _big_decimal(leaf: Leaf, dialect: Dialect) -> Leaf:
    if dialect == "avro":
        return _checked(leaf, decimals.big_text)
    return _decimal_leaf(leaf, "a decimal", decimals.big_of, decimals.big_text)


def _decimal_leaf(
    leaf: Leaf, expected: str, read: Callable[[Any], bytes | None], show: Callable[[bytes], str]
) -> Leaf:
    def raw_of(value: Any) -> bytes:
        if value.__class__ is not str and value.__class__ is not int:
            raise leaves.misfit(expected + " as a string", value)
        raw = read(value)
        if raw is None:
            raise Misfit(f"expected {expected}, got another {'string' if value.__class__ is str else 'integer'}")
        return raw

    pack = raw_of if leaf.kind == "fixed" else leaves.with_length(raw_of)
    takes = leaves.kinds(text=leaves.RANK_DECIMAL, integer=leaves.RANK_NUMBER_DECIMAL)
    return replace(leaf, expected=expected, takes=takes, gives=_TEXT, pack=pack, show=show)


def _checked(leaf: Leaf, check: Callable[[bytes], str]) -> Leaf:
    """Underlying JSON whose content is still held to its logical type."""
    expected = f"{leaf.expected} that hold a decimal"
    underlying = leaves.latin1(expected)

    def raw_of(value: Any) -> bytes:
        raw = underlying(value)
        try:
            check(raw)
        except Damage:
            raise Misfit(f"expected {expected}, got another string") from None
        return raw

    def show(raw: bytes) -> str:
        check(raw)
        return leaves.latin1_text(raw)

    pack = leaves.of_size(raw_of, leaf.size, expected) if leaf.kind == "fixed" else leaves.with_length(raw_of)
    return replace(leaf, expected=expected, pack=pack, show=show)
