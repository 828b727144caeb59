"""A schema with every type and logical type of Avro, events with edge values, and what a consumer gets of them.

What the stock deserializer has no Python type for comes as Avro stores it: nanoseconds as numbers, durations and
UUIDs of fixed size as bytes.
"""

import base64
import json
import math
import struct
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple


class Pair(NamedTuple):
    """A value as a producer writes it in JSON, and as a consumer reads it."""

    sent: Any
    read: Any


def _named(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, **rest}


def _logical(base: Any, logical: str, **rest: Any) -> dict[str, Any]:
    return {**(base if isinstance(base, dict) else {"type": base}), "logicalType": logical, **rest}


_A = _named("record", "A", fields=[{"name": "a", "type": "int"}])
_B = _named("record", "B", fields=[{"name": "b", "type": "string"}])
_NODE = _named(
    "record", "Node", fields=[{"name": "value", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]
)
_FIELDS: dict[str, Any] = {
    "nothing": "null",
    "flag": "boolean",
    "small": "int",
    "big": "long",
    "single": "float",
    "double": "double",
    "raw": "bytes",
    "text": "string",
    "nested": _A,
    "suit": _named("enum", "Suit", symbols=["SPADES", "HEARTS"]),
    "rows": {"type": "array", "items": {"type": "array", "items": "long"}},
    "byName": {"type": "map", "values": "A"},
    "four": _named("fixed", "Four", size=4),
    "maybe": ["null", "string"],
    "number": ["int", "long", "double"],
    "either": [_B, "A", "null"],
    "textOrRaw": ["null", "string", "bytes"],
    "many": ["null", {"type": "array", "items": "string"}, {"type": "map", "values": "int"}, "Suit", "boolean"],
    "list": _NODE,
    "id": _logical("string", "uuid"),
    "fixedId": _logical(_named("fixed", "FixedId", size=16), "uuid"),
    "price": _logical("bytes", "decimal", precision=38, scale=9),
    "fixedPrice": _logical(_named("fixed", "Price", size=8), "decimal", precision=18, scale=2),
    "day": _logical("int", "date"),
    "timeMillis": _logical("int", "time-millis"),
    "timeMicros": _logical("long", "time-micros"),
    "atMillis": _logical("long", "timestamp-millis"),
    "atMicros": _logical("long", "timestamp-micros"),
    "atNanos": _logical("long", "timestamp-nanos"),
    "localMillis": _logical("long", "local-timestamp-millis"),
    "localMicros": _logical("long", "local-timestamp-micros"),
    "span": _logical(_named("fixed", "Span", size=12), "duration"),
    "maybeAt": ["null", _logical("long", "timestamp-millis")],
}
SCHEMA = json.dumps(
    _named(
        "record",
        "Everything",
        namespace="test.types",
        fields=[{"name": name, "type": kind} for name, kind in _FIELDS.items()]
        + [{"name": "leftOut", "type": "string", "default": "by default"}],
    )
)


def _same(value: Any) -> Pair:
    return Pair(value, value)


def _bytes(value: bytes) -> Pair:
    return Pair(base64.b64encode(value).decode(), value)


def _list(*values: int) -> Any:
    node: dict[str, Any] | None = None
    for value in reversed(values):
        node = {"value": value, "next": node}
    return node


_ID = uuid.UUID("5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11")
_LEAST = {
    "nothing": _same(None),
    "flag": _same(False),
    "small": _same(-(2**31)),
    "big": _same(-(2**63)),
    "single": _same(-0.0),
    "double": _same(5e-324),
    "raw": _bytes(b""),
    "text": _same(""),
    "nested": _same({"a": 0}),
    "suit": _same("SPADES"),
    "rows": _same([]),
    "byName": _same({}),
    "four": _bytes(bytes(4)),
    "maybe": _same(None),
    "number": _same(-1),
    "either": _same(None),
    "textOrRaw": _same("plain"),
    "many": _same([]),
    "list": _same(_list(1)),
    "id": Pair(str(uuid.UUID(int=0)), uuid.UUID(int=0)),
    "fixedId": Pair(str(_ID), _ID.bytes),
    "price": Pair("-0.000000001", Decimal("-0.000000001")),
    "fixedPrice": Pair("-9999999999999999.99", Decimal("-9999999999999999.99")),
    "day": Pair("0001-01-01", date.min),
    "timeMillis": Pair("00:00:00", time(0)),
    "timeMicros": Pair("00:00:00.000001", time(0, 0, 0, 1)),
    "atMillis": Pair("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    "atMicros": Pair("1969-12-31T23:59:59.999999Z", datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)),
    "atNanos": Pair("1970-01-01T00:00:00.000000001Z", 1),
    "localMillis": Pair("0001-01-01T00:00:00", datetime(1, 1, 1)),  # noqa: DTZ001
    "localMicros": Pair("1970-01-01T00:00:00.000001", datetime(1970, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001
    "span": Pair("PT0S", bytes(12)),
    "maybeAt": _same(None),
}
_GREATEST = {
    "nothing": _same(None),
    "flag": _same(True),
    "small": _same(2**31 - 1),
    "big": _same(2**63 - 1),
    "single": Pair(3.4028234663852886e38, 3.4028234663852886e38),
    "double": _same(1.7976931348623157e308),
    "raw": _bytes(bytes(range(256))),
    "text": _same('a\u0000"\\/\n\u2028 ünï 日本 \U0001f680'),
    "nested": _same({"a": 2**31 - 1}),
    "suit": _same("HEARTS"),
    "rows": _same([[], [0], [-(2**63), 2**63 - 1], list(range(200))]),
    "byName": _same({"": {"a": 1}, "ключ/~.": {"a": -1}}),
    "four": _bytes(b"\xff\x00\x7f\x80"),
    "maybe": _same("null"),
    "number": _same(2**31),
    "either": _same({"b": "of the first record"}),
    "textOrRaw": Pair({"bytes": "AAEC"}, b"\x00\x01\x02"),
    "many": _same({"one": 1, "minus": -1}),
    "list": _same(_list(*range(20))),
    "id": Pair(str(_ID), _ID),
    "fixedId": Pair("f" * 8 + "-ffff-ffff-ffff-" + "f" * 12, b"\xff" * 16),
    "price": Pair("9" * 29 + "." + "9" * 9, Decimal("9" * 29 + "." + "9" * 9)),
    "fixedPrice": Pair("9999999999999999.99", Decimal("9999999999999999.99")),
    "day": Pair("9999-12-31", date.max),
    "timeMillis": Pair("23:59:59.999", time(23, 59, 59, 999_000)),
    "timeMicros": Pair("23:59:59.999999", time(23, 59, 59, 999_999)),
    "atMillis": Pair("2026-02-28T23:59:59.999-12:00", datetime(2026, 3, 1, 11, 59, 59, 999_000, UTC)),
    "atMicros": Pair("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    "atNanos": Pair("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    "localMillis": Pair("2024-02-29T12:00:00.5", datetime(2024, 2, 29, 12, 0, 0, 500_000)),  # noqa: DTZ001
    "localMicros": Pair("9999-12-31T23:59:59.999999", datetime.max),  # noqa: DTZ901
    "span": Pair("P1Y2M3DT4H5M6.007S", struct.pack("<III", 14, 3, 14_706_007)),
    "maybeAt": Pair("2026-11-21T09:30:00Z", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
}
_ODD = {
    **_LEAST,
    "single": Pair("NaN", math.nan),
    "double": Pair("-Infinity", -math.inf),
    "number": _same(0.1),
    "either": _same({"a": 7}),
    "many": _same("HEARTS"),
    "price": Pair("0", Decimal("0E-9")),
    "atMillis": Pair(0, datetime(1970, 1, 1, tzinfo=UTC)),
    "leftOut": _same("said"),
}


def _split(pairs: dict[str, Pair]) -> Pair:
    sent = {name: pair.sent for name, pair in pairs.items()}
    return Pair(sent, {"leftOut": "by default", **{name: pair.read for name, pair in pairs.items()}})


EVENTS = [_split(pairs) for pairs in (_LEAST, _GREATEST, _ODD)]


def exact(value: Any) -> Any:
    """A value in a form in which equality means the same type, the same sign and the same not-a-number."""
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    return type(value).__name__, repr(value)
