"""Filters name the fields of the gateway's events, by our names or by EventBridge's."""

from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import InvalidPattern, Limits, compile_filter

EVENT = {"type": "Booked", "source": "/s", "subject": "a/1", "tenant": "north", "data": {"status": "NEW"}}


@pytest.mark.parametrize(
    "filter_",
    [
        {"type": ["Booked"], "data": {"status": ["NEW"]}},
        {"detail-type": ["Booked"], "detail": {"status": ["NEW"]}},
        {"resources": ["a/1"]},
        {"subject": ["a/1"]},
        {"tenant": ["north"]},
        {"data.status": ["NEW"]},
        {"detail.status": ["NEW"]},
        {"$or": [{"detail-type": ["Moved"]}, {"detail": {"status": ["NEW"]}}]},
        {"$or": [{"$or": [{"type": ["x"]}, {"resources": ["a/1"]}]}, {"type": ["y"]}]},
    ],
)
def test_either_name_finds_the_field(filter_: dict[str, Any]) -> None:
    assert compile_filter(filter_).matches(EVENT)


def test_names_are_only_translated_at_the_top() -> None:
    pattern = compile_filter({"data": {"detail": [1], "resources": [2]}})
    assert pattern.matches({"data": {"detail": 1, "resources": 2}})
    assert pattern.paths == {("data", "detail"), ("data", "resources")}
    assert compile_filter({"detail-type": ["x"]}).fields == {"type"}


@pytest.mark.parametrize(
    ("filter_", "pointer", "says"),
    [
        ({"detailType": ["x"]}, "/detailType", "lower-case"),
        ({"my-extension": ["x"]}, "/my-extension", "lower-case"),
        ({"": ["x"]}, "/", "lower-case"),
        ({"type.x": ["x"]}, "/type.x", "lower-case"),
        ({"a/b": ["x"]}, "/a~1b", "lower-case"),
        ({"type": {"x": ["y"]}}, "/type", "no fields of its own"),
        ({"detail-type": {"x": ["y"]}}, "/detail-type", "no fields of its own"),
        ({"type": ["x"], "detail-type": ["y"]}, "/detail-type", "given before"),
        ({"type": ["x"], "$or": [{"type": ["y"]}, {"source": ["z"]}]}, "/$or/0/type", "given before"),
        ({"detail": {"x": ["y"]}, "data.x": ["y"]}, "/data.x", "given before"),
        ({"detail-type": [{"prefix": 1}]}, "/detail-type/0/prefix", "expected a string"),
        ([], "", "expected an object"),
        ({}, "", "empty object"),
    ],
)
def test_what_can_only_be_a_mistake_is_refused_where_it_stands(filter_: Any, pointer: str, says: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        compile_filter(filter_)
    assert refused.value.faults[0].pointer == pointer
    assert says in refused.value.detail


def test_its_limits_can_be_set() -> None:
    with pytest.raises(InvalidPattern):
        compile_filter({"type": ["a", "b"]}, Limits(values=2))
    compile_filter({"type": ["a", "b"]}, Limits(values=3))
