"""Bytes that are no record of the schema."""

from typing import Any

import pytest
from tests.schemas.codec.shorthand import codec_of, record

from eventbus_gateway.errors import CorruptRecord

_INTS = {"type": "array", "items": "int"}
_MAP = {"type": "map", "values": "int"}


@pytest.mark.parametrize(
    ("schema", "raw", "why"),
    [
        ("int", b"", "ends too early"),
        ("int", b"\x80", "ends too early"),
        ("int", b"\x02\x02", "bytes follow"),
        ("int", b"\x80\x80\x80\x80\x10", "32 bits"),
        ("long", b"\xff" * 10 + b"\x01", "ten bytes"),
        ("long", b"\xff" * 9 + b"\x02", "64 bits"),
        ("boolean", b"\x02", "boolean"),
        ("float", b"\0\0\0", "ends too early"),
        ("double", b"\0" * 7, "ends too early"),
        ("string", b"\x04x", "length"),
        ("string", b"\x01", "length"),
        ("string", b"\x04\xc3\x28", "UTF-8"),
        ("string", b"\x80\x02" + b"x" * 127, "length"),
        ("string", b"\x80\x01\xc3" + b"x" * 63, "UTF-8"),
        ({"type": "array", "items": "string"}, b"\x02\x7ex", "ends too early"),
        ({"type": "string", "logicalType": "uuid"}, b"\x04xx", "UUID is malformed"),
        ("bytes", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "length"),
        ({"type": "fixed", "name": "F", "size": 2}, b"\0", "length"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "symbol"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01", "symbol"),
        (["null", "int"], b"\x04", "branch"),
        (["null", "int"], b"\x01", "branch"),
        ([{"type": "fixed", "name": f"F{index}", "size": 1} for index in range(20)], b"\x01\0", "branch"),
        ([{"type": "fixed", "name": f"F{index}", "size": 1} for index in range(20)], b"\x28\0", "branch"),
        (_INTS, b"\x02", "more items than bytes"),
        (_INTS, b"\x02\x02", "ends too early"),
        (_INTS, b"\x01\x04\x02\0", "as long as it says"),
        (_INTS, b"\x01\x01\x02\0", "does not fit"),
        (_INTS, b"\x01\x7e\x02\0", "does not fit"),
        (_MAP, b"\x02\x02k", "ends too early"),
        (_MAP, b"\x02\x02\xff\0\0", "UTF-8"),
    ],
)
def test_damage_is_named_and_nothing_else_is_raised(schema: Any, raw: bytes, why: str) -> None:
    with pytest.raises(CorruptRecord, match=why):
        codec_of(schema).decode(raw)


def test_blocks_with_and_without_sizes_are_read() -> None:
    assert codec_of(_INTS).decode(b"\x02\x02\x03\x04\x04\x06\0") == [1, 2, 3]
    assert codec_of(_MAP).decode(b"\x01\x06\x02k\x02\0") == {"k": 1}


def test_nesting_beyond_the_bound_is_corrupt() -> None:
    codec = codec_of(record(next=["null", "R"]))
    assert codec.decode(b"\x02" * 63 + b"\0")
    with pytest.raises(CorruptRecord, match="nesting"):
        codec.decode(b"\x02" * 64 + b"\0")


@pytest.mark.parametrize("start", [-1, 3])
def test_a_start_outside_of_the_data_is_corrupt(start: int) -> None:
    with pytest.raises(CorruptRecord):
        codec_of("int").decode(b"\0\0", start)


def test_decoding_starts_after_the_framing() -> None:
    assert codec_of("int").decode(b"\0\0\0\0\x01\x04", 5) == 2
