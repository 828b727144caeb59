"""The measurement of patterns measures what it says."""

import random

import orjson
from loadtests.patterns import PATTERNS, SINGLE, event, exact_index, measure

from eventbus_gateway.subscriptions.patterns import compile_filter


def fields(node: object) -> int:
    return sum(map(fields, node.values())) if isinstance(node, dict) else 1


def test_the_events_have_the_size_and_the_fields_that_they_are_said_to_have() -> None:
    chance = random.Random(3)
    events = [event(chance) for _ in range(400)]
    assert {fields(one) for one in events} == {20}
    assert 880 <= sum(len(orjson.dumps(one)) for one in events) / len(events) <= 920
    matched = sum(compile_filter(SINGLE).matches(one) for one in events)
    assert 60 < matched < 140
    index = exact_index()
    assert len(index) == PATTERNS
    assert 1 < sum(len(index.matching(one)) for one in events) / len(events) < 20


def test_both_numbers_are_reported_beside_their_floor() -> None:
    results = measure(0.02)
    assert [result.name for result in results] == ["patterns-1", "patterns-1000"]
    assert all(
        result.cpu_us_per_event > 0 and (result.floor_us or 0) > 0 and result.rss_mib > 0 for result in results
    )
