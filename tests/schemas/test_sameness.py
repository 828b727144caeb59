"""Which differences between two texts make two schemas."""

import pytest

from eventbus_gateway.schemas.sameness import MAX_DEPTH, normal_form

ORDER = """{"type": "record", "name": "Order", "namespace": "com.example", "doc": "An order.", "fields": [
    {"name": "id", "type": "string"},
    {"name": "to", "type": {"type": "record", "name": "Address", "fields": [{"name": "next", "type": "Order"}]}},
    {"name": "more", "type": {"type": "array", "items": ["null", "Address"]}, "default": []},
    {"name": "by", "type": {"type": "map", "values": {"type": "enum", "name": "Kind", "symbols": ["A"]}}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"""

SAME = [
    ("Order white space", ORDER, ORDER.replace("\n", " ").replace("  ", "")),
    ("string", '"string"', '{"type": "string"}'),
    ("nested type", '"string"', '{"type": {"type": "string"}}'),
    (
        "full names",
        ORDER,
        ORDER.replace('"Order", "namespace": "com.example"', '"com.example.Order"')
        .replace('"Address"', '"com.example.Address"')
        .replace('"type": "Order"', '"type": "com.example.Order"'),
    ),
    ("order of keys", '{"type": "fixed", "name": "F", "size": 2}', '{"size": 2, "name": "F", "type": "fixed"}'),
    ("wrapped primitives", ORDER, ORDER.replace('"string"', '{"type": "string"}')),
    (
        "namespace of its own",
        '{"type": "enum", "name": "a.b.E", "symbols": []}',
        '{"type": "enum", "name": "E", "namespace": "a.b", "symbols": []}',
    ),
]

DIFFERENT = [
    ("name", ORDER, ORDER.replace("Kind", "Sort")),
    ("namespace", ORDER, ORDER.replace("com.example", "com.other")),
    ("doc", ORDER, ORDER.replace("An order.", "The order.")),
    ("default", ORDER, ORDER.replace("[]", "[null]")),
    ("logical type", ORDER, ORDER.replace("timestamp-millis", "timestamp-micros")),
    ("order of branches", '["null", "int"]', '["int", "null"]'),
    ("properties", '"string"', '{"type": "string", "avro.java.string": "String"}'),
    ("symbols", ORDER, ORDER.replace('["A"]', '["B"]')),
    ("number of a default", '{"type": "int", "default": 1}', '{"type": "int", "default": true}'),
]


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_a_way_of_writing_does_not_make_another_schema(one: str, other: str) -> None:
    assert one != other
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT])
def test_everything_else_makes_another_schema(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "null",
        "{}",
        '{"type": "record"}',
        '{"type": "record", "name": "A", "fields": {}}',
        '{"type": "record", "name": "A", "fields": [1]}',
        '{"type": "record", "name": "A", "fields": [{"name": "a"}]}',
        '{"type": "enum", "name": "E", "namespace": 1}',
        '{"type": "array"}',
        "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
    ],
)
def test_what_cannot_be_a_schema_has_no_normal_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        normal_form(text)
