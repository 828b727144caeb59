"""Many patterns on one topic are found together."""

import random
import time
from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import Pattern, PatternIndex, compile_filter, compile_pattern


def index_of(patterns: dict[str, Any]) -> PatternIndex[str]:
    index: PatternIndex[str] = PatternIndex()
    for name, pattern in patterns.items():
        index.add(name, None if pattern is None else compile_pattern(pattern))
    return index


def test_it_answers_with_everything_that_matches_and_nothing_else() -> None:
    index = index_of(
        {
            "exact": {"type": ["a"], "data": {"x": [1]}},
            "either": {"type": ["a", "b"]},
            "prefix": {"type": [{"prefix": "a"}], "data": {"x": [1, 2]}},
            "absent": {"data": {"y": [{"exists": False}]}},
            "other": {"type": ["b"]},
            "all": None,
        }
    )
    assert set(index.matching({"type": "a", "data": {"x": 1}})) == {"exact", "either", "prefix", "absent", "all"}
    assert set(index.matching({"type": "b", "data": {"x": 1, "y": None}})) == {"either", "other", "all"}
    assert set(index.matching({})) == {"absent", "all"}


def test_an_empty_index_matches_nothing() -> None:
    index: PatternIndex[str] = PatternIndex()
    assert index.matching({"type": "a"}) == []
    assert index.decide({"type": "a"}) == ([], [])


def test_what_matches_by_several_alternatives_is_there_once() -> None:
    index = index_of({"or": {"$or": [{"a": [1]}, {"b": [1]}, {"b": [{"prefix": "x"}]}]}, "all": None})
    assert sorted(index.matching({"a": 1, "b": 1})) == ["all", "or"]


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", None])
def test_values_of_different_kinds_are_kept_apart(value: Any) -> None:
    index = index_of({"true": {"a": [True]}, "one": {"a": [1]}, "text": {"a": ["1"]}, "null": {"a": [None]}})
    names = {bool: "true", int: "one", float: "one", str: "text", type(None): "null"}
    assert index.matching({"a": value}) == [names[type(value)]]


def test_fields_below_arrays_agree() -> None:
    index = index_of(
        {
            "agreeing": {"a": {"x": [1], "y": [2]}},
            "apart": {"a": {"x": [1], "y": [3]}},
            "missing": {"a": {"x": [1], "z": [{"exists": False}]}},
            "elsewhere": {"b": [5]},
        }
    )
    event = {"a": [{"x": 1, "y": 2}, {"x": 0, "y": 3, "z": 1}], "b": [4, 5]}
    assert set(index.matching(event)) == {"agreeing", "missing", "elsewhere"}


def test_what_is_removed_is_found_no_more_and_its_place_is_used_again() -> None:
    index: PatternIndex[int] = PatternIndex()
    for number in range(100):
        index.add(number, compile_pattern({"a": [number % 10], "$or": [{"b": [1]}, {"c": [{"prefix": "x"}]}]}))
    for number in range(0, 100, 2):
        index.remove(number)
    index.remove(1_000)
    assert len(index) == 50
    assert index.matching({"a": 2, "b": 1}) == []
    assert sorted(index.matching({"a": 3, "c": "xy"})) == list(range(3, 100, 10))
    for number in range(0, 100, 2):
        index.add(number, compile_pattern({"a": [3]}))
    assert sorted(index.matching({"a": 3})) == list(range(0, 100, 2))


def test_what_is_added_again_is_replaced() -> None:
    index = index_of({"x": {"a": [1]}})
    index.add("x", compile_pattern({"b": [1]}))
    assert index.matching({"a": 1}) == []
    assert index.matching({"b": 1}) == ["x"]
    index.add("x", None)
    assert index.matching({}) == ["x"]
    index.remove("x")
    assert index.matching({}) == []
    assert len(index) == 0


def test_attributes_decide_what_they_can() -> None:
    index = index_of(
        {
            "attributes": {"type": ["a"], "subject": [{"prefix": "s"}]},
            "data": {"type": ["a"], "data": {"x": [1]}},
            "either": {"type": ["a"], "$or": [{"data": {"x": [1]}}, {"key": ["k"]}]},
            "out": {"type": ["b"], "data": {"x": [1]}},
            "prefixed out": {"subject": [{"prefix": "t"}], "data": {"x": [1]}},
            "all": None,
        }
    )
    decided = index.decide({"type": "a", "subject": "s1"})
    assert set(decided.matching) == {"attributes", "all"}
    assert set(decided.undecided) == {"data", "either"}
    assert set(index.decide({"type": "a", "key": "k"}).matching) == {"either", "all"}


def test_a_thousand_random_patterns_are_found_as_one_by_one() -> None:
    chance = random.Random(7)
    fields = [f"f{number}" for number in range(6)]

    def value() -> Any:
        return chance.choice([chance.randrange(3), f"v{chance.randrange(3)}", None, True])

    patterns: dict[int, Pattern] = {
        number: compile_pattern(
            {field: [value(), value()] for field in chance.sample(fields, chance.randrange(1, 4))}
        )
        for number in range(1_000)
    }
    index: PatternIndex[int] = PatternIndex()
    for number, pattern in patterns.items():
        index.add(number, pattern)
    matched = 0
    for _ in range(100):
        event = {field: value() for field in chance.sample(fields, 5)}
        expected = [number for number, pattern in patterns.items() if pattern.matches(event)]
        assert sorted(index.matching(event)) == expected
        matched += len(expected)
    assert matched > 1_000


def seconds_per_event(count: int) -> float:
    index: PatternIndex[int] = PatternIndex()
    for number in range(count):
        index.add(
            number,
            compile_filter({"type": ["booked"], "data": {"status": ["NEW"], "clinic": {"id": [f"clinic-{number}"]}}}),
        )
    event = {"type": "booked", "data": {"status": "NEW", "clinic": {"id": "clinic-7"}}}
    assert index.matching(event) == [7]
    best = float("inf")
    for _ in range(20):
        start = time.process_time()
        for _ in range(100):
            index.matching(event)
        best = min(best, (time.process_time() - start) / 100)
    return best


def test_a_hundred_times_as_many_exact_patterns_do_not_take_ten_times_as_long() -> None:
    assert seconds_per_event(5_000) < 10 * seconds_per_event(50)
