"""Logical types: what text and numbers they take, held against Python's own types as fastavro reads them."""

import datetime as dt
import decimal
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schemas.codec.generated import SETTINGS
from tests.schemas.codec.shorthand import codec_of, faults, read, refused, through

from eventbus_gateway.errors import CorruptRecord, SchemaUnusable
from eventbus_gateway.schemas.codec import compile_codec


def _long(logical: str) -> dict[str, Any]:
    return {"type": "long", "logicalType": logical}


DATE = {"type": "int", "logicalType": "date"}
TIME = {"type": "int", "logicalType": "time-millis"}
TIME_MICROS = _long("time-micros")
MILLIS, MICROS, NANOS = (_long(f"timestamp-{unit}") for unit in ("millis", "micros", "nanos"))
LOCAL_MILLIS, LOCAL_MICROS, LOCAL_NANOS = (_long(f"local-timestamp-{unit}") for unit in ("millis", "micros", "nanos"))
UUID_TEXT = {"type": "string", "logicalType": "uuid"}
UUID_FIXED = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
DURATION = {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
DECIMAL_FIXED = {"type": "fixed", "name": "N", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2}
BIG_DECIMAL = {"type": "bytes", "logicalType": "big-decimal"}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (DATE, "2026-11-23", dt.date(2026, 11, 23)),
        (DATE, "1969-12-31", dt.date(1969, 12, 31)),
        (DATE, 0, dt.date(1970, 1, 1)),
        (TIME, "23:59:59.999", dt.time(23, 59, 59, 999_000)),
        (TIME, 1, dt.time(0, 0, 0, 1_000)),
        (TIME_MICROS, "12:30:00.000001", dt.time(12, 30, 0, 1)),
        (MILLIS, "2026-11-23T09:30:00Z", dt.datetime(2026, 11, 23, 9, 30, tzinfo=dt.UTC)),
        (MILLIS, "2026-11-23T09:30:00.25+01:30", dt.datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=dt.UTC)),
        (MILLIS, "1960-01-01T00:00:00.001-23:59", dt.datetime(1960, 1, 1, 23, 59, 0, 1_000, tzinfo=dt.UTC)),
        (MICROS, "0001-01-01T00:00:00.000001Z", dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        (MICROS, "9999-12-31T23:59:59.999999Z", dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)),
        (MICROS, "2026-11-23T09:30:00.123456000Z", dt.datetime(2026, 11, 23, 9, 30, 0, 123_456, tzinfo=dt.UTC)),
        (LOCAL_MILLIS, "2026-11-23T09:30:00.007", dt.datetime.fromisoformat("2026-11-23T09:30:00.007")),
        (LOCAL_MICROS, "2026-11-23T09:30:00", dt.datetime.fromisoformat("2026-11-23T09:30")),
        (DECIMAL, "25.00", decimal.Decimal("25.00")),
        (DECIMAL, "-0.01", decimal.Decimal("-0.01")),
        (DECIMAL, "25.1", decimal.Decimal("25.10")),
        (DECIMAL, "25.1000", decimal.Decimal("25.10")),
        (DECIMAL, 25, decimal.Decimal("25.00")),
        (DECIMAL, -9999, decimal.Decimal("-9999.00")),
        (DECIMAL_FIXED, "-9999.99", decimal.Decimal("-9999.99")),
        (DECIMAL_FIXED, "0.05", decimal.Decimal("0.05")),
    ],
)
def test_fastavro_reads_what_the_text_means(schema: dict[str, Any], value: Any, expected: Any) -> None:
    assert read(schema, codec_of(schema).encode(value)) == expected


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (
            DATE,
            [
                "2026-02-30",
                "2026-1-02",
                "20260102",
                "2026-W01-1",
                "2026-01-02T00:00:00Z",
                "",
                "0000-01-01",
                "\u0662\u0660\u0662\u0666-01-02",
            ],
        ),
        (DATE, [True, 1.0, 1 << 31, None]),
        (TIME, ["24:00:00", "12:60:00", "12:00:60", "12:00", "12:00:00Z", "12:00:00.0001", 86_400_000, -1]),
        (TIME_MICROS, ["12:00:00.0000001", 86_400_000_000]),
        (
            MILLIS,
            [
                "2026-11-23T09:30:00",
                "2026-11-23",
                "2026-11-23 09:30:00Z",
                "2026-11-23T09:30:00z",
                "2026-11-23T09:30Z",
            ],
        ),
        (
            MILLIS,
            ["2016-12-31T23:59:60Z", "2026-11-23T24:00:00Z", "2026-11-23T09:30:00.0001Z", "2026-11-23T09:30:00,5Z"],
        ),
        (
            MILLIS,
            ["2026-11-23T09:30:00+24:00", "2026-11-23T09:30:00+0100", "20261123T093000.00Z", "2026-W48-1T09:30:0Z"],
        ),
        (MILLIS, [1 << 63, 1.5, True, "2026-11-23T09:30:00Z\n", "2026-11-23T09:30:00.Z", "2026-02-30T09:30:00Z"]),
        (NANOS, ["1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z"]),
        (LOCAL_MILLIS, ["2026-11-23T09:30:00Z", "2026-11-23T09:30:00+00:00"]),
        (
            DECIMAL,
            [
                "25.001",
                "10000.00",
                "1e2",
                "+1",
                ".5",
                "5.",
                "01.00",
                "00.05",
                " 1",
                "1_0",
                "",
                "-",
                "NaN",
                "\u0661.00",
            ],
        ),
        (DECIMAL, [25.5, 10_000, True, None, "9" * 1_000_000, "0." + "0" * 1_000_000]),
        (BIG_DECIMAL, [1.5, "1e2", "9" * 4_001, "0." + "0" * 4_000]),
        (
            UUID_FIXED,
            ["5f3c1e0a8a544b8e9d540d8a5b1f7c11", "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c1g", "AAAAAAAAAAAAAAAAAAAAAA=="],
        ),
        (
            DURATION,
            ["P", "PT", "P1", "P1S", "PT1D", "P-1D", "P1.5D", "PT0.0001S", "P4294967296D", "1D", "AAAAAAAAAAAAAAAA"],
        ),
    ],
)
def test_text_of_another_form_is_refused(schema: dict[str, Any], values: list[Any]) -> None:
    codec = codec_of(schema)
    for value in values:
        found = faults(codec, value)
        assert found, value
        assert all(str(value) not in detail for detail in found.values() if len(str(value)) > 6)


@pytest.mark.parametrize(
    ("schema", "value", "shown"),
    [
        (DATE, 0, "1970-01-01"),
        (DATE, 10_000_000, 10_000_000),
        (MILLIS, 0, "1970-01-01T00:00:00Z"),
        (MILLIS, -1, "1969-12-31T23:59:59.999Z"),
        (MILLIS, 1 << 60, 1 << 60),
        (MICROS, 1, "1970-01-01T00:00:00.000001Z"),
        (NANOS, -(1 << 63), "1677-09-21T00:12:43.145224192Z"),
        (NANOS, "2026-11-23T09:30:00.000000001Z", "2026-11-23T09:30:00.000000001Z"),
        (LOCAL_NANOS, (1 << 63) - 1, "2262-04-11T23:47:16.854775807"),
        (TIME, 0, "00:00:00"),
        (TIME_MICROS, 1, "00:00:00.000001"),
        (DECIMAL, 0, "0.00"),
        (DECIMAL, "-0", "0.00"),
        (BIG_DECIMAL, "-0.0012300", "-0.0012300"),
        (BIG_DECIMAL, 10**300, str(10**300)),
        (BIG_DECIMAL, "9" * 4_000, "9" * 4_000),
        (UUID_FIXED, "5F3C1E0A-8a54-4b8e-9d54-0d8a5b1f7c11", "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11"),
        (DURATION, "P1Y2M3W4DT5H6M7.089S", "P14M25DT18367.089S"),
        (DURATION, "PT0S", "PT0S"),
        (DURATION, "P2M", "P2M"),
    ],
)
def test_decoding_shows_the_shortest_exact_text(schema: dict[str, Any], value: Any, shown: Any) -> None:
    assert through(schema, value) == shown
    assert through(schema, shown) == shown


@SETTINGS
@given(st.datetimes(), st.integers(-1439, 1439))
def test_any_moment_with_any_offset_is_the_moment_that_python_means(moment: dt.datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset)))
    micros = (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    assert codec_of(MICROS).encode(aware.isoformat()) == codec_of(MICROS).encode(micros)
    assert codec_of(LOCAL_MICROS).decode(codec_of(LOCAL_MICROS).encode(moment.isoformat())) == moment.isoformat()


@SETTINGS
@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9999, max_value=9999))
def test_any_decimal_is_the_number_that_python_means(number: decimal.Decimal) -> None:
    for schema in (DECIMAL, DECIMAL_FIXED):
        assert decimal.Decimal(read(schema, codec_of(schema).encode(f"{number:f}"))) == number
        assert decimal.Decimal(through(schema, f"{number:f}")) == number


@SETTINGS
@given(st.uuids())
def test_a_fixed_uuid_is_its_sixteen_bytes(value: uuid.UUID) -> None:
    assert codec_of(UUID_FIXED).encode(str(value)) == value.bytes


@SETTINGS
@given(st.uuids())
def test_a_uuid_in_a_string_keeps_its_letters_as_they_came(value: uuid.UUID) -> None:
    codec = codec_of(UUID_TEXT)
    for text in (str(value), str(value).upper(), str(value).title()):
        assert codec.encode(text) == b"\x48" + text.encode()
        assert codec.decode(codec.encode(text)) == text


@SETTINGS
@given(st.uuids(), st.integers(0, 35), st.sampled_from("gG:/@`- \n\0\x7f\xb2\u0660\uff10\ud800"))
def test_a_uuid_with_one_character_that_does_not_belong_there_is_refused(
    value: uuid.UUID, place: int, character: str
) -> None:
    text = str(value)
    if text[place] == character:
        character = "0"  # a digit in the place of a dash
    assert refused(UUID_TEXT, text[:place] + character + text[place + 1 :])
    assert refused(UUID_TEXT, text[:place] + text[place + 1 :])
    assert refused(UUID_TEXT, text[:place] + "0" + text[place:])


@pytest.mark.parametrize("value", [None, 5, True, 1.5, [], {}, "", "0" * 36])
def test_what_is_no_text_of_a_uuid_at_all_is_refused(value: object) -> None:
    assert faults(codec_of(UUID_TEXT), value)[""].startswith("expected a UUID, got ")


def test_negative_decimals_take_as_few_bytes_as_java_writes() -> None:
    assert codec_of(DECIMAL).encode("-1.28") == b"\x02\x80"
    assert codec_of(DECIMAL).encode("-1.29") == b"\x04\xff\x7f"
    assert codec_of(DECIMAL).encode("1.28") == b"\x04\x00\x80"


def test_a_big_decimal_is_its_unscaled_bytes_and_its_scale() -> None:
    # BigDecimal("-1.28"): bytes of one byte 0x80, then scale 2.
    assert codec_of(BIG_DECIMAL).encode("-1.28") == b"\x06\x02\x80\x04"
    assert codec_of(BIG_DECIMAL).decode(b"\x06\x02\x05\x03") == "500"


@pytest.mark.parametrize(
    "annotation",
    [
        {"type": "string", "logicalType": "date"},
        {"type": "long", "logicalType": "date"},
        {"type": "int", "logicalType": "timestamp-millis"},
        {"type": "int", "logicalType": "time-micros"},
        {"type": "long", "logicalType": "time-nanos"},
        {"type": "long", "logicalType": 7},
        {"type": "string", "logicalType": "decimal", "precision": 4},
        {"type": "string", "logicalType": "duration"},
        {"type": "int", "logicalType": "uuid"},
    ],
)
def test_a_logical_type_that_does_not_apply_is_ignored(annotation: dict[str, Any]) -> None:
    plain = annotation["type"]
    value = "any text" if plain == "string" else 123
    assert codec_of(annotation).encode(value) == codec_of(plain).encode(value)
    assert through(annotation, value) == value


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"precision": 0},
        {"precision": 4, "scale": 5},
        {"precision": True},
        {"precision": 8},
        {"precision": 4, "scale": -1},
    ],
)
def test_a_decimal_with_wrong_parameters_is_its_underlying_type(parameters: dict[str, Any]) -> None:
    schema = {"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", **parameters}
    assert through(schema, "AAAA") == "AAAA"


def test_a_decimal_beyond_the_supported_precision_makes_the_schema_unusable() -> None:
    with pytest.raises(SchemaUnusable, match="precision"):
        compile_codec(json.dumps({"type": "bytes", "logicalType": "decimal", "precision": 5_000}))


def test_the_avro_dialect_keeps_the_underlying_json() -> None:
    assert codec_of(MILLIS, dialect="avro").decode(codec_of(MILLIS).encode(5)) == 5
    assert refused(MILLIS, "1970-01-01T00:00:00Z", dialect="avro")
    assert codec_of(DECIMAL, dialect="avro").encode("\x01") == b"\x02\x01"
    assert refused(DECIMAL, "\x7f\xff\xff\xff\xff", dialect="avro")
    assert refused(BIG_DECIMAL, "x", dialect="avro")
    assert codec_of(DURATION, dialect="avro").encode("\x01" * 12) == b"\x01" * 12


@pytest.mark.parametrize(
    ("schema", "raw"),
    [
        ({"type": "string", "logicalType": "uuid"}, b"\x02x"),
        (TIME, b"\x01"),
        (TIME_MICROS, b"\xff" * 9 + b"\x01"),
        (DECIMAL, b"\x08\x7f\xff\xff\xff"),
        (DECIMAL_FIXED, b"\x7f\xff\xff"),
        (BIG_DECIMAL, b"\x02\x02"),
        (BIG_DECIMAL, b"\x00"),
        (BIG_DECIMAL, b"\x04\x01\x00"),
        (BIG_DECIMAL, b"\x08\x02\x01\x00\x00"),
        (BIG_DECIMAL, b"\x0a\x02\x01\xff\xff\x7f"),
    ],
)
def test_a_record_that_breaks_its_logical_type_is_corrupt(schema: dict[str, Any], raw: bytes) -> None:
    with pytest.raises(CorruptRecord):
        codec_of(schema).decode(raw)
