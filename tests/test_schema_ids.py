"""How schemas are named in records, and what compressed records may cost."""

import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.errors import CorruptRecord
from eventbus_gateway.schema_ids import CONFLUENT, Framing, GlueFraming

LIMIT = 100_000
GLUE = GlueFraming(compresses=False, max_bytes=LIMIT)
PACKED = GlueFraming(compresses=True, max_bytes=LIMIT)
VERSION = UUID("b7912285-527d-42de-88ee-e389a763225f")


@given(st.integers(0, 2**31 - 1))
def test_confluents_frame_is_a_zero_and_four_bytes(schema_id: int) -> None:
    frame = CONFLUENT.prefix(schema_id)
    assert frame == bytes(1) + schema_id.to_bytes(4, "big")
    assert CONFLUENT.schema_id(frame) == schema_id
    framing: Framing = CONFLUENT
    assert framing.unpack(frame) is None


@given(st.uuids())
def test_glues_frame_is_a_three_a_zero_and_the_uuid(schema_id: UUID) -> None:
    frame = GLUE.prefix(schema_id)
    assert frame == b"\x03\x00" + schema_id.bytes
    assert GLUE.schema_id(frame) == schema_id
    assert GLUE.unpack(frame) is None


@given(st.binary(max_size=1_000))
def test_what_is_packed_comes_back(data: bytes) -> None:
    assert PACKED.pack is not None
    packed = PACKED.pack(PACKED.prefix(VERSION) + data)
    assert packed[:18] == b"\x03\x05" + VERSION.bytes
    assert zlib.decompress(packed[18:]) == data
    for framing in (GLUE, PACKED):
        assert framing.schema_id(packed[:18]) == VERSION
        unpack = framing.unpack(packed[:18])
        assert unpack is not None
        assert unpack(packed) == data


def test_only_who_is_told_to_compresses() -> None:
    assert GLUE.pack is None
    assert CONFLUENT.pack is None


@pytest.mark.parametrize(
    ("framing", "frame"),
    [
        (CONFLUENT, b""),
        (CONFLUENT, b"\0\0\0\7"),
        (CONFLUENT, b"\1\0\0\0\7"),
        (CONFLUENT, b"\x03\x00" + VERSION.bytes[:3]),
        (GLUE, b""),
        (GLUE, b"\x03\x00" + VERSION.bytes[:15]),
        (GLUE, b"\x03\x01" + VERSION.bytes),
        (GLUE, b"\x02\x00" + VERSION.bytes),
        (GLUE, b"\0\0\0\0\7" + bytes(13)),
    ],
)
def test_what_is_no_frame_names_no_schema(framing: Framing, frame: bytes) -> None:
    assert framing.schema_id(frame) is None


def _unpacked(data: bytes) -> bytes:
    value = b"\x03\x05" + VERSION.bytes + data
    unpack = GLUE.unpack(value[:18])
    assert unpack is not None
    return unpack(value)


def test_data_of_exactly_the_bound_is_unpacked_and_one_byte_more_is_not() -> None:
    assert len(_unpacked(zlib.compress(bytes(LIMIT)))) == LIMIT
    with pytest.raises(CorruptRecord, match="more than 100000 bytes"):
        _unpacked(zlib.compress(bytes(LIMIT + 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed",
        zlib.compress(b"cut off" * 100)[:-1],
        zlib.compress(b"with more behind it") + b"\0",
        zlib.compress(b"damaged" * 100)[:-5] + b"\1\2\3\4\5",
    ],
)
def test_damaged_data_is_a_corrupt_record(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        _unpacked(data)


def test_a_bomb_costs_no_more_memory_than_the_bound_allows() -> None:
    import tracemalloc  # noqa: PLC0415 - slows down whatever runs while it is on

    bomb = zlib.compress(bytes(100_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecord):
            _unpacked(bomb)
        assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    finally:
        tracemalloc.stop()
