"""Generated schemas and data: fastavro is the oracle for every byte."""

import io
import json
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schemas.codec.generated import (
    JSON,
    SETTINGS,
    avro_json,
    changed,
    damaged,
    schemas,
    schemas_with_data,
    without_logical_types,
)

from eventbus_gateway.errors import CorruptRecord, InvalidEvent
from eventbus_gateway.schemas.codec import Codec, compile_codec
from eventbus_gateway.schemas.codec.schema import Dialect, Unknown

QUICK = settings(SETTINGS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
BOTH: tuple[Dialect, ...] = ("plain", "avro")
EITHER: tuple[Unknown, ...] = ("refuse", "ignore")


def wired(schema: dict[str, Any], datum: Any) -> bytes:
    """What fastavro writes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(without_logical_types(schema)), datum)
    return out.getvalue()


def read_whole(schema: dict[str, Any], raw: bytes) -> Any:
    """What fastavro reads; all of it is used up."""
    stream = io.BytesIO(raw)
    datum = fastavro.schemaless_reader(
        stream, fastavro.parse_schema(without_logical_types(schema)), return_record_name=True
    )
    assert stream.tell() == len(raw)
    return datum


def accepted(codec: Codec, value: Any) -> bytes | None:
    """What the codec encodes; where it refuses, that it says why, and where it accepts, that it finds no fault."""
    try:
        raw = codec.encode(value)
    except InvalidEvent as refusal:
        return None if refusal.faults else b"refused without a fault"
    assert not codec.faults(value).faults
    return raw


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("unknown", EITHER)
def test_what_is_decoded_encodes_to_the_bytes_that_fastavro_writes(dialect: Dialect, unknown: Unknown) -> None:
    @QUICK
    @given(schemas_with_data())
    def check(case: tuple[dict[str, Any], Any]) -> None:
        schema, datum = case
        raw = wired(schema, datum)
        codec = compile_codec(json.dumps(schema), dialect=dialect, unknown_fields=unknown)
        value = codec.decode(raw)
        parsed = orjson.loads(orjson.dumps(value))
        assert parsed == value
        assert accepted(codec, parsed) == raw

    check()


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("unknown", EITHER)
def test_a_changed_event_is_encoded_or_explained_but_never_both(dialect: Dialect, unknown: Unknown) -> None:
    @QUICK
    @given(st.data(), schemas_with_data())
    def check(source: st.DataObject, case: tuple[dict[str, Any], Any]) -> None:
        schema, datum = case
        codec = compile_codec(json.dumps(schema), dialect=dialect, unknown_fields=unknown)
        value = source.draw(changed(codec.decode(wired(schema, datum))))
        raw = accepted(codec, value)
        if raw is not None:
            read_whole(schema, raw)
            assert codec.encode(codec.decode(raw)) == raw

    check()


@QUICK
@given(schemas(), JSON)
def test_any_json_is_encoded_or_explained(schema: dict[str, Any], value: Any) -> None:
    codec = compile_codec(json.dumps(schema))
    raw = accepted(codec, value)
    if raw is not None:
        read_whole(schema, raw)


@pytest.mark.parametrize("dialect", BOTH)
def test_damaged_bytes_decode_to_something_that_encodes_or_are_corrupt(dialect: Dialect) -> None:
    @QUICK
    @given(st.data(), schemas_with_data())
    def check(source: st.DataObject, case: tuple[dict[str, Any], Any]) -> None:
        schema, datum = case
        codec = compile_codec(json.dumps(schema), dialect=dialect)
        raw = source.draw(damaged(wired(schema, datum)) | st.binary(max_size=30))
        try:
            value = codec.decode(raw)
        except CorruptRecord:
            return
        orjson.dumps(value)
        assert codec.decode(codec.encode(value)) == value

    check()


@QUICK
@given(schemas_with_data())
def test_the_avro_dialect_is_the_json_encoding_of_the_specification(case: tuple[dict[str, Any], Any]) -> None:
    schema, datum = case
    assert compile_codec(json.dumps(schema), dialect="avro").decode(wired(schema, datum)) == avro_json(datum)
