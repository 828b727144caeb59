"""Values below arrays agree on the element they come from."""

from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import PatternIndex, compile_pattern

NAMES = {"people": [{"first": "Anna", "last": "Smith"}, {"first": "John", "last": "Doe", "ids": [1, 2]}]}


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"a": [2]}, {"a": [1, 2]}, True),
        ({"a": [3]}, {"a": [1, 2]}, False),
        ({"a": [2]}, {"a": [[1], [[2]]]}, True),
        ({"a": [{"anything-but": 1}]}, {"a": [1, 2]}, True),
        ({"a": [{"anything-but": 1}]}, {"a": [1, 1]}, False),
        ({"a": [{"exists": True}]}, {"a": []}, False),
        ({"a": [{"exists": False}]}, {"a": []}, True),
        ({"a": [{"exists": False}]}, {"a": [{}, [], {"b": 1}]}, True),
        ({"a": [{"exists": False}]}, {"a": [{}, None]}, False),
        ({"people": {"first": ["Anna"], "last": ["Smith"]}}, NAMES, True),
        ({"people": {"first": ["Anna"], "last": ["Doe"]}}, NAMES, False),
        ({"people": {"first": ["John"], "ids": [2]}}, NAMES, True),
        ({"people": {"first": ["Anna"], "ids": [2]}}, NAMES, False),
        ({"people": {"first": ["Anna"], "ids": [{"exists": False}]}}, NAMES, True),
        ({"people": {"first": ["John"], "ids": [{"exists": False}]}}, NAMES, False),
        # In the order of the names, ids is decided before any element is chosen.
        ({"people": {"last": ["Smith"], "ids": [{"exists": False}]}}, NAMES, False),
        ({"people": {"ids": [{"exists": False}]}}, NAMES, False),
        ({"a": {"x": [1]}, "b": {"y": [2]}}, {"a": [{"x": 0}, {"x": 1}], "b": [{"y": 2}]}, True),
        ({"a": {"b": {"x": [1]}, "c": [2]}}, {"a": [{"b": [{"x": 1}]}, {"c": 2}]}, False),
        ({"a": {"b": {"x": [1]}, "c": [2]}}, {"a": [{"b": [{"x": 0}, {"x": 1}], "c": 2}]}, True),
        ({"a": {"b": {"x": [1], "y": [1]}}}, {"a": [{"b": [{"x": 1}]}, {"b": [{"y": 1}]}]}, False),
        ({"a": {"b": {"x": [1], "y": [1]}}}, {"a": [{"b": [{"x": 1}, {"y": 1}]}]}, False),
        ({"a": {"b": {"x": [1], "y": [1]}}}, {"a": [{"b": [{"x": 1, "y": 1}, {}]}]}, True),
        ({"a": {"b": {"x": [1]}, "b-c": [1], "c": [1]}}, {"a": [{"b": [{"x": 1}], "b-c": 1}, {"c": 1}]}, False),
        ({"a": {"b": {"x": [1]}, "b-c": [1], "c": [1]}}, {"a": [{"b": [{"x": 1}], "b-c": 1, "c": 1}]}, True),
        # A scalar of an array belongs to no element of it.
        ({"a": [5], "a.x": [1]}, {"a": [5, {"x": 1}]}, True),
        ({"a": {"x": [1], "y": [1]}}, {"a": [[{"x": 1}, {"y": 1}]]}, False),
        ({"a": {"x": [1], "y": [1]}}, {"a": [[{"x": 1, "y": 1}]]}, True),
        # Keys with dots beside arrays of the same way: they agree with every element.
        ({"a": {"a": [1]}, "a.b": [5]}, {"a": [{"a": 1}, {"a": 2}], "a.b": 5}, True),
        ({"a": {"a": [1]}, "a.b": [{"exists": False}]}, {"a": [{"a": 1}, {"a": 2}], "a.b": 5}, False),
        ({"x": {"a": {"a": [1]}, "a.b": [{"exists": False}]}}, {"x": [{"a": [{"a": 1}, {"a": 2}], "a.b": 5}]}, False),
        ({"a": {"a": [1]}, "a.b": [{"exists": False}]}, {"a": [{"a": 1}, {"b": 2}]}, True),
        ({"a": {"a": [1]}, "a.b": [2]}, {"a": [{"a": 1}, {"b": 2}]}, False),
        ({"a": {"a": [1]}, "a.b": [2]}, {"a": [{"a": 1, "b": 2}, {}]}, True),
    ],
)
def test_an_event_with_arrays_matches(pattern: dict[str, Any], event: dict[str, Any], expected: bool) -> None:
    compiled = compile_pattern(pattern)
    index: PatternIndex[int] = PatternIndex()
    index.add(1, compiled)
    assert compiled.matches(event) == expected
    assert index.matching(event) == ([1] if expected else [])


def test_the_same_element_may_be_there_twice() -> None:
    element = {"x": 1, "y": [1, 2]}
    event = {"a": [element, element]}
    assert compile_pattern({"a": {"x": [1], "y": [2]}}).matches(event)
    assert not compile_pattern({"a": {"x": [1], "y": [3]}}).matches(event)
