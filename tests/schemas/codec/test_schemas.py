"""Schema texts: names, references, and what makes one unusable."""

import json
from typing import Any

import pytest
from tests.schemas.codec.shorthand import codec_of, record

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec import compile_codec

_MONEY = json.dumps(
    {"type": "record", "name": "Money", "namespace": "pay", "fields": [{"name": "cents", "type": "long"}]}
)
_BILL = json.dumps(
    {"type": "record", "name": "Bill", "namespace": "pay", "fields": [{"name": "sum", "type": "Money"}]}
)


def test_a_schema_refers_to_types_of_other_schemas() -> None:
    text = json.dumps({"type": "record", "name": "a.Order", "fields": [{"name": "bill", "type": "pay.Bill"}]})
    codec = compile_codec(text, named=[_MONEY, _BILL, _MONEY])
    assert codec.name == "a.Order"
    assert codec.encode({"bill": {"sum": {"cents": 1}}}) == b"\x02"


def test_a_referenced_type_can_be_the_whole_schema() -> None:
    codec = compile_codec('"pay.Bill"', named=[_MONEY, _BILL])
    assert codec.name == "pay.Bill"
    assert codec.decode(codec.encode({"sum": {"cents": -1}})) == {"sum": {"cents": -1}}


def test_a_reference_must_come_after_what_it_needs() -> None:
    with pytest.raises(SchemaUnusable, match=r"The type 'Money' is not defined"):
        compile_codec('"pay.Bill"', named=[_BILL, _MONEY])


def test_names_are_looked_up_in_the_enclosing_namespace_and_then_outside() -> None:
    outer = {"type": "fixed", "name": "Outer", "size": 1, "namespace": ""}
    inner = {"type": "fixed", "name": "Outer", "size": 2, "namespace": "n"}
    schema = {
        "type": "record",
        "name": "n.R",
        "fields": [
            {"name": "a", "type": outer},
            {"name": "b", "type": "Outer"},
            {"name": "c", "type": inner},
            {"name": "d", "type": "Outer"},
            {"name": "e", "type": "n.Outer"},
        ],
    }
    value = {"a": "AA==", "b": "AA==", "c": "AAA=", "d": "AAA=", "e": "AAA="}
    assert codec_of(schema).encode(value) == b"\0" * 8


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("string", "string"),
        ({"type": "array", "items": "int"}, "array"),
        (["null"], "union"),
        ({"type": "long"}, "long"),
    ],
)
def test_a_schema_without_a_name_is_called_by_its_type(schema: Any, name: str) -> None:
    assert codec_of(schema).name == name


def test_a_type_may_be_wrapped_in_a_type() -> None:
    assert codec_of({"type": {"type": {"type": "int"}}}).encode(1) == b"\x02"
    assert codec_of({"type": ["null", "int"]}).encode(1) == b"\x02\x02"


_FIELD = {"name": "a", "type": "int"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "7",
        '"nothing"',
        '"record"',
        "[]",
        "{}",
        '["null", "null"]',
        '["null", ["int"]]',
        '[{"type": "array", "items": "int"}, {"type": "array", "items": "long"}]',
        '{"type": "array"}',
        '{"type": "map"}',
        '{"type": "map", "values": 7}',
        '{"type": "fixed", "name": "F"}',
        '{"type": "fixed", "name": "F", "size": -1}',
        '{"type": "fixed", "name": "F", "size": true}',
        '{"type": "fixed", "name": "F", "size": 100000000000}',
        '{"type": "fixed", "size": 1}',
        '{"type": "enum", "name": "E"}',
        '{"type": "enum", "name": "E", "symbols": ["A", "A"]}',
        '{"type": "enum", "name": "E", "symbols": ["A-B"]}',
        '{"type": "enum", "name": "E", "symbols": [7]}',
        '{"type": "record", "name": "R"}',
        '{"type": "record", "name": "R", "fields": {}}',
        '{"type": "record", "name": "R", "fields": [7]}',
        '{"type": "record", "name": "R-R", "fields": []}',
        '{"type": "record", "name": "int", "fields": []}',
        '{"type": "record", "name": "R", "namespace": 7, "fields": []}',
        '{"type": "record", "name": "R", "fields": [{"name": "a"}]}',
        '{"type": "record", "name": "R", "fields": [{"type": "int"}]}',
        '{"type": "record", "name": "R", "fields": [{"name": "a b", "type": "int"}]}',
        json.dumps({"type": "record", "name": "R", "fields": [_FIELD, _FIELD]}),
        json.dumps(record(a={"type": "record", "name": "R", "fields": []})),
    ],
)
def test_what_is_no_avro_schema_is_unusable_and_says_why(text: str) -> None:
    with pytest.raises(SchemaUnusable, match=r"^[A-Z].*\.$"):
        compile_codec(text)


def test_names_from_a_schema_never_become_program_text() -> None:
    for name in ("a');raise SystemExit#", "a\nimport os", '"""', "__class__ "):
        with pytest.raises(SchemaUnusable):
            codec_of(record(**{name: "int"}))
    alias = "'];raise SystemExit#\n"
    codec = codec_of(record(a={"of": "int", "aliases": [alias]}))
    assert codec.encode({alias: 1}) == b"\x02"


def test_python_keywords_are_good_names() -> None:
    codec = codec_of(record(**{"class": "int", "def": "int", "x": "int", "d": "int", "data": "int", "p": "int"}))
    value = {"class": 1, "def": 2, "x": 3, "d": 4, "data": 5, "p": 6}
    assert codec.decode(codec.encode(value)) == value
