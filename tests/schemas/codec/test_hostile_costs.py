"""A mebibyte made to hurt costs bounded time, whether it is encoded, explained or decoded."""

import json
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from eventbus_gateway.errors import CorruptRecord, Fault, InvalidEvent, SchemaUnusable
from eventbus_gateway.schemas.codec import compile_codec

MEBIBYTE = 1_048_576
SECONDS = 3.0
"""CPU time that one mebibyte may cost both ways; the worst case takes about one second on an idle machine."""

_TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [
        {"name": "value", "type": ["null", "long", "string"], "default": None},
        {"name": "left", "type": ["null", "Tree"], "default": None},
        {"name": "right", "type": ["null", "Tree", {"type": "map", "values": "Tree"}], "default": None},
        {"name": "all", "type": {"type": "array", "items": ["Tree", "string"]}, "default": []},
    ],
}


def _record(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": key, "type": each} for key, each in fields.items()]}


def _nested(opening: str, closing: str, inner: str = "null") -> str:
    return opening * 500 + inner + closing * 500


def _many(item: str) -> str:
    return "[" + ",".join([item] * ((MEBIBYTE - 16) // (len(item) + 1))) + "]"


_SIBLINGS = [
    {
        "type": "record",
        "name": f"S{index}",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": f"only{index}", "type": "long"},
            {"name": "note", "type": "string", "default": ""},
        ],
    }
    for index in range(500)
]
_ENUMS = [{"type": "enum", "name": f"E{index}", "symbols": [f"A{index}", "Z"]} for index in range(200)]
_DECIMALS = {"type": "bytes", "logicalType": "decimal", "precision": 4000, "scale": 4000}

EVENTS: dict[str, tuple[Any, str]] = {
    "deep objects": (_TREE, _nested('{"left":', "}")),
    "deep objects, many times": ({"type": "array", "items": _TREE}, _many(_nested('{"left":', "}"))),
    "deep tags": (_TREE, _nested('{"left":{"Tree":', "}}")),
    "deep maps in unions": (_TREE, _nested('{"right":{"k":', "}}", '{"x":1}')),
    "fitting wide recursion": (_TREE, '{"all":' + _many('{"all":[{"all":["x",{}]}]}') + "}"),
    "wide recursion with a fault at the end": (_TREE, '{"all":' + _many('{"all":[{"all":["x",{}]}]}')[:-1] + ",7]}"),
    "unknown fields": (_TREE, "{" + ",".join(f'"u{index}":1' for index in range(100_000)) + "}"),
    "objects for a large union": (
        {"type": "array", "items": _SIBLINGS},
        _many('{"id":1,"only7":2,"only8":3}'),
    ),
    "fitting objects of a large union": ({"type": "array", "items": _SIBLINGS}, _many('{"id":1,"only499":2}')),
    "small objects for a large union": ({"type": "array", "items": _SIBLINGS}, _many('{"id":1}')),
    "empty objects for a large union": ({"type": "array", "items": ["null", *_SIBLINGS]}, _many("{}")),
    "fitting strings of many enums": ({"type": "array", "items": _ENUMS}, _many('"Z"')),
    "an array of faults": ({"type": "array", "items": "int"}, _many('"x"')),
    "an array with one fault": ({"type": "array", "items": "int"}, _many("1")[:-1] + ',"x"]'),
    "huge digit strings": ({"type": "array", "items": _DECIMALS}, '["' + "9" * (MEBIBYTE - 10) + '"]'),
    "fitting long decimals": ({"type": "array", "items": _DECIMALS}, _many('"0.' + "9" * 4000 + '"')),
    "fitting long big decimals": (
        {"type": "array", "items": {"type": "bytes", "logicalType": "big-decimal"}},
        _many('"' + "9" * 4000 + '"'),
    ),
    "timestamps that are none": (
        {"type": "array", "items": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        _many('"2026-11-23T09:30:00.0000001Z"'),
    ),
    "a long string for a timestamp": (
        _record(a={"type": "long", "logicalType": "timestamp-micros"}),
        '{"a":"' + "1" * (MEBIBYTE - 10) + '"}',
    ),
    "a long string for a duration": (
        _record(a={"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}),
        '{"a":"P' + "1" * (MEBIBYTE - 10) + '"}',
    ),
    "one long key": ({"type": "map", "values": "int"}, '{"' + "~/" * (MEBIBYTE // 2 - 5) + '":"x"}'),
    "nulls": ({"type": "array", "items": "null"}, _many("null")),
    "base64 that is none": ({"type": "array", "items": "bytes"}, '["' + "A" * (MEBIBYTE - 9) + '"]'),
}


def _cpu(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


@pytest.mark.parametrize("name", EVENTS)
def test_a_hostile_event_costs_bounded_time(name: str) -> None:
    schema, text = EVENTS[name]
    value = orjson.loads(text)
    codec = compile_codec(json.dumps(schema))

    def both_ways() -> None:
        try:
            codec.decode(codec.encode(value))
        except InvalidEvent as refusal:
            faults.extend(refusal.faults)

    faults: list[Fault] = []
    assert _cpu(both_ways) < SECONDS
    assert len(faults) <= 100
    assert all(len(fault.pointer) <= 512 and len(fault.detail) <= 500 for fault in faults)
    assert bool(faults) is not name.startswith("fitting")


RECORDS: dict[str, tuple[Any, bytes]] = {
    "a huge count": ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    "a huge count of nulls": ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"),
    "a huge count of empty records": (
        {"type": "array", "items": _record()},
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0",
    ),
    "many blocks of nulls": (
        {"type": "array", "items": {"type": "array", "items": "null"}},
        b"\xc0\x84\x3d" + b"\xfe\xff\x03\0" * (MEBIBYTE // 4),
    ),
    "the smallest count of all": ({"type": "array", "items": "int"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0"),
    "a huge string": ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    "many small blocks": ({"type": "array", "items": "int"}, b"\x02\x02" * (MEBIBYTE // 2)),
    "deep trees": (_TREE, b"\0\x02" * (MEBIBYTE // 2)),
    "wide trees": (_TREE, b"\0\0\0\x80\x80\x20" + b"\0\0\0\0\0" * (MEBIBYTE // 5)),
    "an integer without end": ("long", b"\xff" * MEBIBYTE),
    "one long decimal": (
        {"type": "bytes", "logicalType": "decimal", "precision": 9},
        b"\xfe\xff\x7f" + b"\x7f" * 1_048_575,
    ),
    "one long big decimal": (
        {"type": "bytes", "logicalType": "big-decimal"},
        b"\xfe\xff\x7f" + b"\xf4\xff\x7f" + b"\x7f" * 1_048_570 + b"\0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_hostile_record_costs_bounded_time(name: str) -> None:
    schema, raw = RECORDS[name]
    codec = compile_codec(json.dumps(schema))

    def decode() -> None:
        with pytest.raises(CorruptRecord):
            codec.decode(raw)

    assert _cpu(decode) < SECONDS


def _chain(length: int, default: Any = None) -> dict[str, Any]:
    """Records that each hold the one before twice, declared side by side."""
    fields: list[dict[str, Any]] = [{"name": "f0", "type": {"type": "record", "name": "C0", "fields": []}}]
    for index in range(1, length):
        inner = [{"name": name, "type": f"C{index - 1}"} for name in ("a", "b")]
        if default is not None:
            inner = [{**each, "default": default} for each in inner]
        fields.append({"name": f"f{index}", "type": {"type": "record", "name": f"C{index}", "fields": inner}})
    if default is not None:
        fields[0]["type"]["fields"] = [{"name": "x", "type": "string", "default": "x" * 10}]
    return {"type": "record", "name": "Top", "fields": fields}


def _nested_schema(levels: int) -> Any:
    schema: Any = "int"
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


HOSTILE_SCHEMAS: dict[str, str] = {
    "deep text": json.dumps(_nested_schema(300)),
    "text too deep for JSON": "[" * 100_000,
    "records that double without a byte": json.dumps(_chain(40)),
    "defaults that double": json.dumps(_chain(40, {})),
    "a long chain of records": json.dumps(_chain(3000)),
    "a record that needs itself": json.dumps(_record(a="R")),
    "a default that needs itself": json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": ["R", "null"], "default": {}}]}
    ),
    "too many symbols": json.dumps({"type": "enum", "name": "E", "symbols": [f"S{i}" for i in range(150_000)]}),
    "too many branches": json.dumps([{"type": "fixed", "name": f"F{i}", "size": 1} for i in range(1_500)]),
    "too many fields": json.dumps(_record(**{f"f{i}": "int" for i in range(30_000)})),
    "a decimal of many digits": json.dumps({"type": "bytes", "logicalType": "decimal", "precision": 10**6}),
}


@pytest.mark.parametrize("name", HOSTILE_SCHEMAS)
def test_a_hostile_schema_is_refused_in_bounded_time(name: str) -> None:
    text = HOSTILE_SCHEMAS[name]

    def refuse() -> None:
        with pytest.raises(SchemaUnusable, match=r"^[A-Z].*\.$"):
            compile_codec(text)

    assert _cpu(refuse) < SECONDS


def test_a_large_schema_is_compiled_in_linear_time() -> None:
    def cpu_of(fields: int) -> float:
        union = ["null", "string", "long", {"type": "array", "items": ["null", "double"]}]
        text = json.dumps(_record(**{f"f{index}": union for index in range(fields)}))
        return _cpu(lambda: compile_codec(text))

    assert cpu_of(600) < 6 * cpu_of(200) + 0.5


def test_nested_unions_do_not_multiply_the_generated_code() -> None:
    schema: Any = "int"
    for _ in range(20):
        schema = ["null", "string", {"type": "array", "items": schema}, {"type": "map", "values": schema}][:3]
    assert _cpu(lambda: compile_codec(json.dumps(schema))) < SECONDS
