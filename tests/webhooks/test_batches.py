"""When a batch is sent and how much goes into it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.webhooks.batches import Filling, fitting


def test_a_batch_is_due_when_it_is_full_or_its_first_event_has_waited() -> None:
    filling = Filling(max_events=3, wait_seconds=2.0)
    assert filling.due_at(0, 10.0) is None
    assert filling.due_at(1, 11.0) == 13.0
    assert filling.due_at(2, 12.0) == 13.0
    assert filling.due_at(3, 12.5) == 12.5
    assert filling.due_at(2, 15.0) == 15.0


def test_the_wait_begins_anew_with_each_batch_and_with_nothing_at_hand() -> None:
    filling = Filling(max_events=3, wait_seconds=2.0)
    filling.due_at(1, 10.0)
    filling.sent()
    assert filling.due_at(1, 11.0) == 13.0
    filling.due_at(0, 12.0)
    assert filling.due_at(1, 20.0) == 22.0


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([], 0), ([5], 1), ([100], 1), ([5, 5], 2), ([6, 6, 5], 2), ([6, 6, 4, 1], 3), ([1] * 9, 4), ([3, 100, 3], 1)],
)
def test_a_batch_has_as_many_events_as_fit_and_one_at_least(sizes: list[int], count: int) -> None:
    assert fitting(sizes, 4, 20) == count


@given(st.lists(st.text(max_size=12), max_size=30), st.integers(1, 30), st.integers(2, 120))
def test_what_fits_is_within_the_bounds_as_json_and_one_more_would_not_be(
    texts: list[str], most: int, max_bytes: int
) -> None:
    count = fitting((len(orjson.dumps(text)) for text in texts), most, max_bytes)
    assert count <= most
    assert count <= 1 or len(orjson.dumps(texts[:count])) <= max_bytes
    if count < len(texts):
        assert count == most or len(orjson.dumps(texts[: count + 1])) > max_bytes
        assert count >= 1
