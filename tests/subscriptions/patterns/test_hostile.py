"""Patterns and events that were made to cost much do not."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import InvalidPattern, Limits, PatternIndex, compile_pattern
from eventbus_gateway.subscriptions.patterns.limits import DEFAULT_LIMITS

MEGABYTE = 1_000_000


@contextmanager
def soon(seconds: float = 5) -> Iterator[None]:
    """Far more than is needed, and far less than what a product of sizes would take."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def refusal(pattern: Any, limits: Limits = DEFAULT_LIMITS) -> str:
    with soon(), pytest.raises(InvalidPattern) as refused:
        compile_pattern(pattern, limits)
    return refused.value.detail


def nested(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"a": [1]}
    for _ in range(levels - 1):
        tree = {"a": tree}
    return tree


def ors(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"x": [1]}
    for level in range(levels):
        tree = {f"n{level}": tree, "$or": [{f"a{level}": [1]}, {f"b{level}": [1]}]}
    return tree


def deep(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (nested(100_000), "objects inside each other"),
        ({"a": deep(1, 100_000)}, "not nested this deep"),
        ({"a": list(range(100_000))}, "values"),
        ({"a": [{"anything-but": list(range(100_000))}]}, "values"),
        ({"a": [{"prefix": f"{number}"} for number in range(500)]}, "operators"),
        ({"a": [{"anything-but": {"suffix": [f"{number}" for number in range(500)]}}]}, "operators"),
        ({f"a{number}": ["10.0.0.1"] for number in range(100)}, "operators"),
        ({f"a{number}": [1] for number in range(100_000)}, "fields together"),
        ({"$or": [{"a": [number]} for number in range(100_000)]}, "combinations"),
        (ors(25), "fields together"),
        ({f"n{n}": {"$or": [{"a": [1]}, {"b": [1]}]} for n in range(20)}, "together"),
        ({"a": ["x" * 2_000]}, "characters"),
        ({"a": [{"wildcard": "*a" * 1_000}]}, "characters"),
        ({"x" * 2_000: [1]}, "characters"),
        ({"a." * 100_000: [1]}, "characters"),
    ],
)
def test_a_pattern_beyond_a_limit_is_refused_soon(pattern: Any, says: str) -> None:
    assert says in refusal(pattern)


def test_a_pattern_at_its_limits_is_taken() -> None:
    limits = Limits(depth=3, branches=4, terms=8, values=20, operators=2, text=3)
    pair: list[dict[str, Any]] = [{"a": [1]}, {"b": [1]}]
    assert len(compile_pattern({"$or": pair, "c": {"$or": pair}}, limits).branches) == 4
    refusal({"$or": [*pair, {"d": [1]}], "c": {"$or": pair}}, limits)
    compile_pattern(nested(3), limits)
    refusal(nested(4), limits)
    compile_pattern({"abc": ["abc"]}, limits)
    refusal({"abcd": ["abc"]}, limits)
    refusal({"abc": ["abcd"]}, limits)
    compile_pattern({"a": [{"prefix": "a"}, {"suffix": "b"}]}, limits)
    refusal({"a": [{"prefix": "a"}], "b": [{"anything-but": {"suffix": ["b", "c"]}}]}, limits)
    compile_pattern({"a": list(range(19))}, limits)
    refusal({"a": list(range(20))}, limits)


@pytest.mark.parametrize(
    ("wildcard", "text"),
    [
        ("*a" * 500 + "*b", "a" * MEGABYTE),
        ("*aab" * 250 + "*c*", "aa" * MEGABYTE),
        ("*" + "a" * 500 + "b" + "a" * 500 + "*", "a" * MEGABYTE),
        ("a*" * 500 + "\\*", "a" * MEGABYTE),
    ],
)
def test_wildcards_do_not_backtrack(wildcard: str, text: str) -> None:
    pattern = compile_pattern({"a": [{"wildcard": wildcard}, {"anything-but": {"wildcard": ["*", wildcard]}}]})
    with soon():
        assert not pattern.matches({"a": text})


def test_ignoring_case_does_not_backtrack() -> None:
    text = "ß" * 1_000
    for entry in (
        {"equals-ignore-case": text},
        {"prefix": {"equals-ignore-case": text}},
        {"suffix": {"equals-ignore-case": text}},
    ):
        pattern = compile_pattern({"a": [entry]})
        with soon():
            assert not pattern.matches({"a": "s" * MEGABYTE})
            assert not pattern.matches({"a": "SS" * 999 + "S"})
            assert pattern.matches({"a": "SSß" * 500})


def test_many_terms_in_a_long_array_cost_no_product() -> None:
    names = [f"n{number}" for number in range(12)]
    elements = [dict.fromkeys(names, number) for number in range(5_000)]
    half = {name: [{"numeric": [">=", 0]}] for name in names}
    for last in (5_000, 4_999):
        pattern = compile_pattern({"a": {**half, "n9": [last]}})
        index: PatternIndex[int] = PatternIndex()
        index.add(1, pattern)
        event = {"a": elements}
        with soon():
            assert pattern.matches(event) == (last == 4_999)
            assert index.matching(event) == ([1] if last == 4_999 else [])


def test_arrays_inside_arrays_cost_no_product() -> None:
    inner = [{"x": 1}, {"y": 1}] * 100
    event = {"a": [{"b": inner, "c": inner, "d": inner} for _ in range(50)]}
    parts = {name: {"x": [1]} for name in "bcd"}
    with soon():
        assert compile_pattern({"a": parts}).matches(event)
        assert not compile_pattern({"a": {**parts, "d": {"x": [1], "y": [1]}}}).matches(event)
        assert not compile_pattern({"a": {**parts, "e": [1]}}).matches(event)


def test_keys_with_dots_beside_arrays_of_the_same_way_cost_no_product() -> None:
    elements = [{"x": number, "y": number, "z": -1} for number in range(3_000)]
    event = {"a": {"b": elements, "b.c": elements}, "a.b": elements}
    pattern = compile_pattern(
        {
            "a": {"b": {"x": [{"exists": True}]}, "b.c": {"x": [{"exists": True}], "z": [0]}},
            "a.b": {"y": [{"exists": True}]},
        }
    )
    with soon():
        assert not pattern.matches(event)


def test_an_array_that_an_event_holds_twice_is_two_arrays() -> None:
    inner = [{"x": 1}, {"y": 1}]
    event = {"a": [{"b": inner, "n": 1}, {"b": inner, "n": 2}], "c": inner}
    assert compile_pattern({"a": {"b": {"y": [1]}, "n": [2]}, "c": {"x": [1]}}).matches(event)
    assert not compile_pattern({"a": {"b": {"y": [1]}, "n": [3]}}).matches(event)
    assert not compile_pattern({"a": {"b": {"x": [1], "y": [1]}}}).matches(event)


def test_an_event_may_nest_deeper_than_the_stack() -> None:
    event = {"a": deep([{"x": 1}, 5], 50_000), "b": deep({"x": 1}, 50_000)}
    with soon():
        assert compile_pattern({"a": [5], "b": {"x": [1]}}).matches(event)
        assert not compile_pattern({"a": {"x": [2]}, "b": {"x": [1]}}).matches(event)
        assert compile_pattern({"b": [{"exists": False}]}).matches(event)


def test_many_branches_over_a_long_array_share_their_work() -> None:
    event = {"a": [{"x": number, "y": f"t{number}"} for number in range(20_000)]}
    branches = [{"a": {"x": [number], "y": [f"t{number + 1}"]}} for number in range(200)]
    assert len(json.dumps(event)) > MEGABYTE / 2
    with soon():
        assert not compile_pattern({"$or": branches}).matches(event)


def test_addresses_are_read_once_for_all_blocks_of_a_field() -> None:
    addresses = [f"10.{number // 65_536}.{number // 256 % 256}.{number % 256}" for number in range(20_000)]
    blocks = [{"cidr": f"11.{number}.0.0/{number % 16 + 16}"} for number in range(250)]
    with soon():
        assert not compile_pattern({"a": [*blocks, "11.0.0.1"]}).matches({"a": addresses})


def test_values_that_are_no_numbers_at_all_are_no_trouble() -> None:
    pattern = compile_pattern({"a": [{"numeric": [">", 0]}, 5, {"anything-but": [1]}]})
    with soon():
        assert pattern.matches({"a": float("nan")})
        assert pattern.matches({"a": 10**5_000})
        assert not compile_pattern({"a": [{"numeric": [">", 0]}, 5]}).matches({"a": 10**5_000})
