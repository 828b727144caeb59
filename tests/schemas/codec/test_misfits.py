"""What does not fit: every hole that other encoders leave is closed, and every fault is named."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.schemas.codec.shorthand import codec_of, faults, read, record, refused, through

from eventbus_gateway.errors import InvalidEvent
from eventbus_gateway.schemas.codec import compile_codec

EXAMPLES = Path(__file__).parents[3] / "examples"
UUID = {"type": "string", "logicalType": "uuid"}


def test_the_example_event_is_encoded_and_decoded() -> None:
    event = orjson.loads((EXAMPLES / "appointments.json").read_bytes())
    codec = compile_codec((EXAMPLES / "appointments.avsc").read_text(), prefix=b"\0\0\0\0\x07")
    raw = codec.encode(event)
    assert codec.name == "health.example.appointments.Appointment"
    assert raw.startswith(b"\0\0\0\0\x07")
    assert codec.decode(raw, 5) == event
    schema = json.loads((EXAMPLES / "appointments.avsc").read_text())
    assert str(read(schema, raw[5:])["copay"]) == "25.00"


def test_a_boolean_is_not_accepted_for_an_int() -> None:
    assert refused("int", True)
    assert refused("long", False)
    assert refused("double", True)


def test_a_fraction_is_not_cut_to_an_int() -> None:
    assert refused("int", 1.9)
    assert refused("long", 1.0)


@pytest.mark.parametrize(("kind", "bits"), [("int", 31), ("long", 63)])
def test_an_integer_must_fit_its_bits(kind: str, bits: int) -> None:
    assert refused(kind, 1 << bits)
    assert refused(kind, -(1 << bits) - 1)
    assert through(kind, (1 << bits) - 1) == (1 << bits) - 1
    assert through(kind, -(1 << bits)) == -(1 << bits)
    assert refused("int", 1 << 40)


def test_a_string_is_not_a_boolean() -> None:
    assert refused("boolean", "false")
    assert refused("boolean", 0)


def test_a_string_is_not_an_array_of_its_characters() -> None:
    assert refused({"type": "array", "items": "string"}, "abc")


def test_a_float_does_not_overflow_to_infinity() -> None:
    assert refused("float", 1e300)
    assert refused("float", 3.5e38)
    assert refused("double", 10**400)
    assert refused("double", float("inf"))
    assert refused("double", float("nan"))


def test_a_malformed_uuid_is_refused() -> None:
    assert refused(UUID, "abc")
    assert refused(UUID, "5f3c1e0a8a544b8e9d540d8a5b1f7c11")
    assert refused(UUID, "{5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11}")
    assert refused(UUID, "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11\n")


def test_an_unknown_field_is_refused_or_ignored_as_asked() -> None:
    schema = record(a="int")
    assert faults(codec_of(schema), {"a": 1, "b/~": 2}) == {"/b~1~0": "expected only fields of R, got an unknown one"}
    assert through(schema, {"a": 1, "b": 2}, unknown_fields="ignore") == {"a": 1}


def test_an_unknown_field_does_not_stand_in_for_a_missing_one() -> None:
    schema = record(a="int", b={"of": "int", "default": 1})
    assert set(faults(codec_of(schema), {"a": 1, "c": 2})) == {"/c"}


def test_the_integer_of_a_double_must_be_exact() -> None:
    assert through("double", 1 << 53) == 2.0**53
    assert through("double", (1 << 60) + (1 << 40)) == float((1 << 60) + (1 << 40))
    assert refused("double", (1 << 53) + 1)
    assert refused("float", (1 << 24) + 1)
    assert through("float", -(1 << 24)) == -(2.0**24)


def test_an_unpaired_surrogate_is_refused() -> None:
    assert refused("string", "\ud800")
    assert refused({"type": "map", "values": "int"}, {"\ud800": 1})
    assert refused(record(a="int"), {"a": 1, "\ud800": 1})


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_what_json_lacks_is_a_string(kind: str, name: str) -> None:
    assert through(kind, name) == name
    assert refused(kind, name.lower())


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "Q Q==", "QQ==\n", "QQ===", "-_-_", "QUJD=", "é"])
def test_base64_is_strict(text: str) -> None:
    assert refused("bytes", text)


def test_bytes_and_fixed_are_base64_in_plain_and_characters_in_avro() -> None:
    fixed = {"type": "fixed", "name": "F", "size": 2}
    assert codec_of("bytes").encode("/w==") == b"\x02\xff"
    assert codec_of("bytes", dialect="avro").encode("ÿ") == b"\x02\xff"
    assert codec_of(fixed).encode("//8=") == b"\xff\xff"
    assert codec_of(fixed, dialect="avro").encode("ÿÿ") == b"\xff\xff"
    assert refused(fixed, "/w==")
    assert refused(fixed, "ÿ", dialect="avro")
    assert refused("bytes", "Ā", dialect="avro")


def test_an_unknown_symbol_is_refused_even_where_the_enum_has_a_default() -> None:
    schema = {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}
    found = faults(codec_of(schema), "SECRET")
    assert found == {"": "expected one of A or B, got another string"}


def test_every_fault_is_listed_with_its_place_and_without_its_value() -> None:
    schema = record(
        a="int",
        b={"type": "array", "items": ["null", "string"]},
        c={"type": "map", "values": {"type": "record", "name": "Inner", "fields": [{"name": "d", "type": UUID}]}},
        e="boolean",
    )
    event = {
        "a": "s3cr3t",
        "b": ["x", 7, None, {"string": 424242}],
        "c": {"k/1": {"d": "s3cr3t"}, "k2": {}},
        "f": "s3cr3t",
    }
    found = faults(codec_of(schema), event)
    assert found == {
        "/a": "expected int (32 bits), got a string",
        "/b/1": "expected null or string, got an integer",
        "/b/3/string": "expected string, got an integer",
        "/c/k~11/d": "expected a UUID, got another string",
        "/c/k2/d": "expected a UUID, got nothing: the field is missing",
        "/e": "expected boolean, got nothing: the field is missing",
        "/f": "expected only fields of R, got an unknown one",
    }


def test_the_list_of_faults_is_cut_and_says_so() -> None:
    with pytest.raises(InvalidEvent, match="more than 100 faults, the first 100 are listed") as refusal:
        codec_of({"type": "array", "items": "int"}).encode(["x"] * 1000)
    assert [fault.pointer for fault in refusal.value.faults] == [f"/{index}" for index in range(100)]
    with pytest.raises(InvalidEvent, match=": 100 faults"):
        codec_of({"type": "array", "items": "int"}).encode(["x"] * 100)


def test_a_long_pointer_is_cut() -> None:
    (pointer,) = faults(codec_of({"type": "map", "values": "int"}), {"k" * 10_000: None})
    assert pointer == "/" + "k" * 510 + "…"


def test_nesting_is_bounded_where_the_schema_recurses() -> None:
    codec = codec_of(record(next=["null", "R"]))

    def chain(records: int) -> Any:
        value: Any = None
        for _ in range(records):
            value = {"next": {"R": value}} if value and records % 2 else {"next": value}
        return value

    for records in (63, 64):
        assert codec.decode(codec.encode(chain(records))) == codec.decode(b"\2" * (records - 1) + b"\0")
    assert faults(codec, chain(66)) == {"/next" * 64: "expected at most 64 levels of nesting, got more"}


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (record(a="int"), [None, [], "x", 1, True, 1.5]),
        (record(), [None, [], "", 0]),
        ({"type": "array", "items": "int"}, [None, {}, "", 0]),
        ({"type": "map", "values": "int"}, [None, [], "", 0]),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, [None, [], {}, "", 0, "B"]),
        ("string", [None, [], {}, 0, True]),
        ("null", [0, "", False]),
        ("bytes", [None, 0, []]),
    ],
)
def test_another_json_kind_is_a_misfit_and_never_a_crash(schema: Any, values: list[Any]) -> None:
    for value in values:
        assert refused(schema, value)


def test_too_many_items_of_no_bytes_are_refused() -> None:
    codec = codec_of(record(a={"type": "array", "items": "null"}), prefix=b"framing")
    assert codec.decode(codec.encode({"a": [None] * 60_000}), 7) == {"a": [None] * 60_000}
    assert "items that take no bytes" in faults(codec, {"a": [None] * 70_000})[""]
