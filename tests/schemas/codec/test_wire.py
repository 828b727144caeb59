"""Integers are read by their length, and as the specification says whatever their length."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventbus_gateway.schemas.codec.wire import (
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    LONG_MIN,
    Damage,
    int_bytes,
    long_bytes,
    read_int,
    read_long,
)

# As many of each length as of any other.
LONGS = st.integers(0, 63).flatmap(lambda bits: st.integers(-(1 << bits), (1 << bits) - 1))
AROUND = st.binary(max_size=8)


def plainly(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position and the position after it, as the specification describes it."""
    end = next(at for at in range(position, len(data)) if data[at] < 128) + 1
    z = sum((byte & 127) << 7 * index for index, byte in enumerate(data[position:end]))
    return (z >> 1) ^ -(z & 1), end


@settings(max_examples=500)
@given(LONGS, AROUND, AROUND)
@example(LONG_MIN, b"", b"")
@example(LONG_MAX, b"", b"")
@example(1_767_346_200_000, b"", b"\x80\x80")
def test_integers_are_read_as_they_were_written(number: int, before: bytes, after: bytes) -> None:
    written = long_bytes(number)
    end = len(before) + len(written)
    assert read_long(before + written + after, len(before)) == (number, end)
    if INT_MIN <= number <= INT_MAX:
        assert read_int(before + int_bytes(number) + after, len(before)) == (number, end)
    else:
        with pytest.raises(Damage):
            read_int(before + written + after, len(before))
    with pytest.raises(IndexError):
        read_long(before + written[:-1], len(before))


@settings(max_examples=500)
@given(st.lists(st.integers(128, 255), max_size=8), st.integers(0, 127), AROUND)
def test_integers_that_are_longer_than_they_need_to_be_are_read(high: list[int], low: int, after: bytes) -> None:
    data = bytes([*high, low]) + after
    assert read_long(data, 0) == plainly(data, 0)


@pytest.mark.parametrize("data", [b"\x80" * 10 + b"\0", b"\xff" * 9 + b"\x02", b"\xff" * 12])
def test_integers_beyond_64_bits_are_damage(data: bytes) -> None:
    with pytest.raises(Damage):
        read_long(data, 0)
