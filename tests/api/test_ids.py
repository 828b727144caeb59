"""Identifiers and times that the gateway fills in."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.subscriptions.instants import Timestamps

# Up to the end of the year 9999, which is where RFC 3339 ends.
MILLISECONDS = st.integers(0, 253_402_300_799_999)


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid_of_version_seven_with_the_time_in_front(millisecond: int) -> None:
    text = IdSource(lambda: millisecond * 1_000_000 + 999_999)()
    found = uuid.UUID(text)
    assert text == str(found)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == millisecond


def test_ids_of_one_millisecond_are_all_different() -> None:
    ids = IdSource(lambda: 1_700_000_000_000_000_000)
    assert len({ids() for _ in range(20_000)}) == 20_000


def test_nearly_every_bit_behind_the_time_is_random() -> None:
    clock = count(0, 1_000_000)
    ids = IdSource(lambda: next(clock))
    ones = zeros = 0
    for _ in range(300):
        number = uuid.UUID(ids()).int
        ones |= number
        zeros |= ~number
    random_bits = ((1 << 12) - 1) << 64 | (1 << 62) - 1
    # One bit may stay free for counting within a millisecond.
    assert (ones & zeros & random_bits).bit_count() >= 73


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=20))
def test_ids_of_one_source_ascend_whatever_the_clock_does(milliseconds: list[int]) -> None:
    clock = iter(milliseconds)
    ids = IdSource(lambda: next(clock) * 1_000_000)
    made = [ids() for _ in milliseconds]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_two_sources_never_share_their_randomness() -> None:
    first, second = IdSource(lambda: 0), IdSource(lambda: 0)
    assert {first() for _ in range(100)}.isdisjoint({second() for _ in range(100)})


def test_an_id_has_the_time_of_the_clock_that_everybody_has() -> None:
    before = time.time_ns() // 1_000_000
    millisecond = uuid.UUID(IdSource()()).int >> 80
    assert before <= millisecond <= time.time_ns() // 1_000_000


@given(st.lists(MILLISECONDS, min_size=1, max_size=20))
def test_times_are_rfc_3339_in_utc_with_milliseconds(milliseconds: list[int]) -> None:
    rendered = Timestamps()
    for instant in milliseconds:
        text = rendered(instant)
        assert len(text) == len("2026-01-31T09:30:00.123Z")
        assert text.endswith("Z")
        parsed = datetime.fromisoformat(text)
        assert (parsed - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == instant
