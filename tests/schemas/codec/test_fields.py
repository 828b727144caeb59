"""Defaults and aliases of fields."""

import json
from typing import Any

import pytest
from tests.schemas.codec.shorthand import codec_of, faults, record, through

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec import compile_codec

_DATE = {"type": "int", "logicalType": "date"}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
_ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
_FIXED = {"type": "fixed", "name": "F", "size": 2}
_INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "string", "default": "why"}],
}


@pytest.mark.parametrize(
    ("schema", "default", "decoded"),
    [
        ("null", None, None),
        ("boolean", True, True),
        ("int", -5, -5),
        ("long", 1 << 40, 1 << 40),
        ("float", 1, 1.0),
        ("double", 2.5, 2.5),
        ("double", "NaN", "NaN"),
        ("string", "é", "é"),
        ("bytes", "ÿ\u0000", "/wA="),
        (_FIXED, "ÿÿ", "//8="),
        (_ENUM, "B", "B"),
        (_DATE, 1, "1970-01-02"),
        (_DECIMAL, "\u0001\u0000", "2.56"),
        ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
        ({"type": "array", "items": "int"}, [], []),
        ({"type": "map", "values": "bytes"}, {"k": "ÿ"}, {"k": "/w=="}),
        (_INNER, {"x": 1}, {"x": 1, "y": "why"}),
        (_INNER, {"x": 1, "y": ""}, {"x": 1, "y": ""}),
        (["null", "string"], None, None),
        (["string", "null"], "x", "x"),
        (["null", "string"], "x", "x"),
        (["null", _INNER], {"x": 1}, {"x": 1, "y": "why"}),
        (["bytes", "null"], "ÿ", "/w=="),
    ],
)
def test_a_missing_field_takes_its_default(schema: Any, default: Any, decoded: Any) -> None:
    whole = record(before="int", field={"of": schema, "default": default}, after="int")
    event = {"before": 1, "after": 2}
    assert through(whole, event) == {"before": 1, "field": decoded, "after": 2}
    codec = codec_of(whole)
    assert codec.encode(event) == codec.encode({**event, "field": decoded})


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        ("int", "1"),
        ("int", 1.0),
        ("int", 1 << 40),
        ("int", None),
        ("null", 0),
        ("boolean", 0),
        ("string", 1),
        ("bytes", "Ā"),
        ("double", "1"),
        ("double", True),
        (_FIXED, "x"),
        (_ENUM, "C"),
        (_DECIMAL, "\u007f\u00ff\u00ff"),
        ({"type": "string", "logicalType": "uuid"}, ""),
        ({"type": "array", "items": "int"}, {}),
        ({"type": "map", "values": "int"}, []),
        (_INNER, {}),
        (_INNER, {"x": 1, "z": 1}),
        (["null", "string"], 1),
    ],
)
@pytest.mark.parametrize("dialect", ["plain", "avro"])
def test_a_default_that_does_not_fit_makes_the_schema_unusable(schema: Any, default: Any, dialect: Any) -> None:
    with pytest.raises(SchemaUnusable, match="default of field 'field' of 'R'"):
        codec_of(record(field={"of": schema, "default": default}), dialect=dialect)


def test_the_avro_dialect_fills_in_no_defaults() -> None:
    codec = codec_of(record(a={"of": "int", "default": 1}), dialect="avro")
    assert set(faults(codec, {})) == {"/a"}


def test_a_record_of_defaults_only_takes_an_empty_object() -> None:
    schema = record(a={"of": ["null", "int"], "default": None}, b={"of": "null", "default": None})
    assert through(schema, {}) == {"a": None, "b": None}
    assert set(faults(codec_of(schema), {"c": 1})) == {"/c"}


def test_a_field_is_accepted_under_an_alias() -> None:
    schema = record(
        name={"of": "string", "aliases": ["title", "label"]}, n={"of": "int", "default": 3, "aliases": ["m"]}
    )
    codec = codec_of(schema)
    assert codec.decode(codec.encode({"label": "x", "m": 1})) == {"name": "x", "n": 1}
    assert codec.decode(codec.encode({"title": "x"})) == {"name": "x", "n": 3}
    assert faults(codec, {"label": 5}) == {"/label": "expected string, got an integer"}
    assert set(faults(codec, {})) == {"/name"}
    assert set(faults(codec, {"name": "x", "u": 1})) == {"/u"}


@pytest.mark.parametrize("unknown", ["refuse", "ignore"])
def test_a_field_under_its_name_and_an_alias_is_a_fault(unknown: Any) -> None:
    codec = codec_of(record(name={"of": "string", "aliases": ["title", "label"]}), unknown_fields=unknown)
    assert set(faults(codec, {"name": "x", "label": "x"})) == {"/label"}
    assert set(faults(codec, {"title": "x", "label": "x"})) == {"/title", "/label"}


def test_an_alias_that_two_fields_claim_is_ignored() -> None:
    schema = record(a={"of": "int", "aliases": ["c", "b"]}, b={"of": "int", "aliases": ["c"]})
    assert set(faults(codec_of(schema), {"c": 1, "b": 1})) == {"/a", "/c"}


def test_aliases_of_a_record_in_a_union_tell_it_apart() -> None:
    one = {"type": "record", "name": "One", "fields": [{"name": "a", "type": "int", "aliases": ["old"]}]}
    two = {"type": "record", "name": "Two", "fields": [{"name": "b", "type": "int"}]}
    assert through([one, two], {"old": 1}) == {"a": 1}


def test_defaults_refer_to_each_other_through_records() -> None:
    top = record(a={"of": _INNER, "default": {"x": 7}}, b={"of": "Inner", "default": {"x": 8, "y": "z"}})
    assert compile_codec(json.dumps(top)).decode(compile_codec(json.dumps(top)).encode({})) == {
        "a": {"x": 7, "y": "why"},
        "b": {"x": 8, "y": "z"},
    }
