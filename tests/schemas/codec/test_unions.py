"""Which branch a bare value belongs to, and where a tag is needed."""

from typing import Any

import pytest
from tests.schemas.codec.shorthand import codec_of, faults, read, record, refused, through

DATE = {"type": "int", "logicalType": "date"}
MOMENT = {"type": "long", "logicalType": "timestamp-millis"}
UUID = {"type": "string", "logicalType": "uuid"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
ENUM = {"type": "enum", "name": "E", "symbols": ["RED", "AAAA"]}
FIXED = {"type": "fixed", "name": "F", "size": 3}
UUID_TEXT = "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11"


def _inner(name: str, *fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": each} for key, each in fields]}


CAT = _inner("Cat", ("name", "string"), ("lives", "int"))
DOG = _inner("Dog", ("name", "string"), ("breed", "string"))
MAP = {"type": "map", "values": "string"}


def branch(union: list[Any], value: Any, **options: Any) -> int:
    """The index that a value is encoded with."""
    return codec_of(union, **options).encode(value)[0] >> 1


@pytest.mark.parametrize(
    ("union", "value", "index"),
    [
        (["null", "string"], None, 0),
        (["null", "string"], "x", 1),
        (["int", "long"], 5, 0),
        (["int", "long"], 1 << 40, 1),
        (["double", "long"], 5, 1),
        (["double", "int"], 5.0, 0),
        (["double", "int"], 1 << 40, 0),
        (["float", "double"], 0.1, 1),
        ([DATE, "long"], 5, 1),
        ([DATE, MOMENT], "2026-01-02", 0),
        ([DATE, MOMENT], "2026-01-02T00:00:00Z", 1),
        (["string", ENUM], "RED", 0),
        (["bytes", ENUM], "AAAA", 1),
        (["bytes", FIXED], "AAAA", 1),
        (["bytes", FIXED], "AAA=", 0),
        ([DECIMAL, UUID], UUID_TEXT, 1),
        ([FIXED, DECIMAL], "1234", 1),
        (["bytes", "double"], "NaN", 1),
        (["boolean", "int"], True, 0),
        (["null", MAP], {"string": "x"}, 1),
        ([CAT, DOG], {"name": "x", "breed": "y"}, 1),
        ([MAP, CAT], {"name": "x", "lives": 9}, 1),
        ([MAP, CAT], {"name": "x", "other": "y"}, 0),
        (["null", "string"], {"string": "x"}, 1),
        (["string", ENUM], {"E": "RED"}, 1),
        ([CAT, DOG], {"Dog": {"name": "x", "breed": "y"}}, 1),
    ],
)
def test_a_value_belongs_to_the_documented_branch(union: list[Any], value: Any, index: int) -> None:
    assert branch(union, value) == index
    codec = codec_of(union)
    raw = codec.encode(value)
    assert codec.encode(codec.decode(raw)) == raw
    read(union, raw)


@pytest.mark.parametrize(
    ("union", "value"),
    [
        (["string", ENUM], {"E": "RED"}),
        (["string", "bytes"], {"bytes": "AAAA"}),
        (["int", "long"], {"long": 5}),
        (["float", "double"], {"float": 0.5}),
        ([DECIMAL, FIXED], {"F": "1234"}),
        (["string", "double"], {"double": "NaN"}),
        ([CAT, MAP], {"map": {"name": "x"}}),
        ([CAT, _inner("Copy", ("name", "string"), ("lives", "int"))], {"Copy": {"name": "x", "lives": 1}}),
        ([_inner("A", ("b", "string")), {"type": "map", "values": MAP}], {"map": {"map": {}}}),
    ],
)
def test_decoding_tags_only_what_would_be_taken_for_another_branch(union: list[Any], value: Any) -> None:
    assert through(union, value) in (value, _untagged(value))
    codec = codec_of(union)
    raw = codec.encode(value)
    assert codec.encode(codec.decode(raw)) == raw


def _untagged(value: Any) -> Any:
    return next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value


def test_records_that_both_fit_are_ambiguous_until_one_is_named() -> None:
    union = [CAT, _inner("Copy", ("name", "string"), ("lives", "int"))]
    found = faults(codec_of(union), {"name": "x", "lives": 1})
    assert "ambiguous" in found[""]
    assert "Cat or Copy" in found[""]
    assert branch(union, {"Copy": {"name": "x", "lives": 1}}) == 1


def test_a_value_for_no_branch_says_what_was_expected() -> None:
    assert faults(codec_of(["null", "int", CAT]), "x") == {
        "": "expected null, int (32 bits) or an object (Cat), got a string"
    }
    assert "none of them" in faults(codec_of([CAT, DOG]), {"name": "x"})[""]


def test_the_only_record_says_itself_what_does_not_fit() -> None:
    assert set(faults(codec_of(["null", CAT]), {"name": "x", "live": 1})) == {"/lives", "/live"}


def test_a_record_wins_over_a_tag_and_an_ignored_field_does_not() -> None:
    named = _inner("N", ("string", "string"))
    assert branch([named, "string"], {"string": "x"}) == 0
    lenient = record(a={"of": "int", "default": 1})
    assert branch([lenient, "string"], {"string": "x"}, unknown_fields="ignore") == 1
    assert branch([lenient, "string"], {"x": "x"}, unknown_fields="ignore") == 0


def test_avro_dialect_asks_for_tags() -> None:
    codec = codec_of(["null", "string", CAT], dialect="avro")
    assert codec.encode({"string": "x"}) == b"\x02\x02x"
    assert codec.encode(None) == b"\0"
    assert codec.decode(codec.encode({"Cat": {"name": "x", "lives": 9}})) == {"Cat": {"name": "x", "lives": 9}}
    for value in ("x", {"name": "x", "lives": 9}, {"null": None}, {"string": "x", "Cat": 1}, {}):
        assert faults(codec, value)


def test_more_branches_than_are_written_in_line() -> None:
    union = ["null", *(_inner(f"R{index}", (f"k{index}", "int")) for index in range(40)), "string", "long"]
    codec = codec_of({"type": "array", "items": union})
    values = [None, "x", 5, *({f"k{index}": index} for index in range(40))]
    assert codec.decode(codec.encode(values)) == values
    assert refused(union, {"k1": 1, "k2": 2})


def test_a_record_with_a_key_like_a_tag_is_told_apart_from_the_tag() -> None:
    union = ["string", "bytes", _inner("X", ("bytes", "string"))]
    assert branch(union, {"bytes": "AAAA"}) == 1
    assert branch(union, {"bytes": "not base64"}) == 2
    assert through(union, {"X": {"bytes": "AAAA"}}) == {"X": {"bytes": "AAAA"}}
    assert through(union, {"X": {"bytes": "not base64"}}) == {"bytes": "not base64"}
    assert through(union, {"bytes": "AAAA"}) == {"bytes": "AAAA"}


def test_a_record_that_is_a_key_of_itself_is_told_apart_from_its_tag() -> None:
    counts = {"type": "map", "values": "int"}
    union = [_inner("X", ("X", counts)), {"type": "map", "values": counts}]
    values: list[Any] = [{"X": {"X": {"k": 1}}}, {"map": {"X": {"k": 1}}}, {"map": {"X": {}, "Y": {}}}]
    for value in values:
        codec = codec_of(union)
        raw = codec.encode(value)
        assert codec.encode(codec.decode(raw)) == raw
    assert branch(union, {"X": {"X": {"k": 1}}}) == 0
    assert branch(union, {"map": {"X": {"k": 1}}}) == 1
