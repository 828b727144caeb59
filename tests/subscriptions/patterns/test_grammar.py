"""What a pattern may look like, and what is said about one that cannot be used."""

from typing import Any

import pytest

from eventbus_gateway.errors import EventError
from eventbus_gateway.subscriptions.patterns import InvalidPattern, Limits, compile_pattern


def fault(pattern: Any, limits: Limits | None = None) -> tuple[str, str]:
    with pytest.raises(InvalidPattern) as refused:
        compile_pattern(pattern, limits or Limits())
    return refused.value.faults[0]


@pytest.mark.parametrize(
    ("pattern", "pointer", "says"),
    [
        ([1], "", "expected an object, got an array"),
        (None, "", "expected an object, got null"),
        ({}, "", "empty object"),
        ({"a": {}}, "/a", "empty object"),
        ({"a": "x"}, "/a", "expected an array of values or an object of fields, got a string"),
        ({"a": None}, "/a", "got null"),
        ({"a": 1}, "/a", "got a number"),
        ({"a": True}, "/a", "got a boolean"),
        ({"a": []}, "/a", "at least one value"),
        ({"a": [["x"]]}, "/a/0", "got an array"),
        ({"a": {"b/c": {"d~e": [[1]]}}}, "/a/b~1c/d~0e/0", "got an array"),
        ({"a": [{}]}, "/a/0", "one operator, got 0 members"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "/a/0", "one operator, got 2 members"),
        ({"a": [{"regex": "x"}]}, "/a/0", "unknown operator"),
        ({"a": ["x", {"prefix": 1}]}, "/a/1/prefix", "expected a string, got a number"),
        ({"a": [{"prefix": ["x"]}]}, "/a/0/prefix", "expected a string, got an array"),
        ({"a": [{"prefix": {"suffix": "x"}}]}, "/a/0/prefix", "unknown operator; expected equals-ignore-case"),
        ({"a": [{"prefix": {"equals-ignore-case": 1}}]}, "/a/0/prefix/equals-ignore-case", "expected a string"),
        ({"a": [{"suffix": None}]}, "/a/0/suffix", "got null"),
        ({"a": [{"suffix": {"equals-ignore-case": []}}]}, "/a/0/suffix/equals-ignore-case", "got an array"),
        ({"a": [{"equals-ignore-case": ["x"]}]}, "/a/0/equals-ignore-case", "expected a string"),
        ({"a": [{"exactly": 1}]}, "/a/0/exactly", "expected a string"),
        ({"a": [{"wildcard": 1}]}, "/a/0/wildcard", "expected a string"),
        ({"a": [{"wildcard": "x**"}]}, "/a/0/wildcard", "two wildcards"),
        ({"a": [{"wildcard": "\\x"}]}, "/a/0/wildcard", "backslash"),
        ({"a": [{"wildcard": "x\\"}]}, "/a/0/wildcard", "backslash"),
        ({"a": [{"exists": "true"}]}, "/a/0/exists", "expected true or false"),
        ({"a": [{"exists": 1}]}, "/a/0/exists", "expected true or false"),
        ({"a": [{"cidr": 1}]}, "/a/0/cidr", "expected a string"),
        ({"a": [{"cidr": "10.0.0.0"}]}, "/a/0/cidr", "one slash"),
        ({"a": [{"cidr": "10.0.0.0/8/8"}]}, "/a/0/cidr", "one slash"),
        ({"a": [{"cidr": "10.0.0.0/-1"}]}, "/a/0/cidr", "number of bits"),
        ({"a": [{"cidr": "10.0.0.0/9999999999"}]}, "/a/0/cidr", "number of bits"),
        ({"a": [{"cidr": "10.0.0/8"}]}, "/a/0/cidr", "IPv4 or IPv6"),
        ({"a": [{"cidr": "10.0.0.0/32"}]}, "/a/0/cidr", "less than 32"),
        ({"a": [{"cidr": "::/128"}]}, "/a/0/cidr", "less than 128"),
        ({"a": [{"numeric": "x"}]}, "/a/0/numeric", "expected an array"),
        ({"a": [{"numeric": []}]}, "/a/0/numeric", "one or two comparisons"),
        ({"a": [{"numeric": ["="]}]}, "/a/0/numeric", "one or two comparisons"),
        ({"a": [{"numeric": [">", 1, "<", 5, "<", 6]}]}, "/a/0/numeric", "one or two comparisons"),
        ({"a": [{"numeric": [5, 5]}]}, "/a/0/numeric/0", "expected one of"),
        ({"a": [{"numeric": ["==", 5]}]}, "/a/0/numeric/0", "expected one of"),
        ({"a": [{"numeric": ["=", "5"]}]}, "/a/0/numeric/1", "expected a number, got a string"),
        ({"a": [{"numeric": ["=", True]}]}, "/a/0/numeric/1", "expected a number, got a boolean"),
        ({"a": [{"numeric": ["<", float("inf")]}]}, "/a/0/numeric/1", "IEEE 754"),
        ({"a": [{"numeric": ["<", 2**53 + 1]}]}, "/a/0/numeric/1", "IEEE 754"),
        ({"a": [{"numeric": ["<", 10**400]}]}, "/a/0/numeric/1", "IEEE 754"),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, "/a/0/numeric", "lower bound"),
        ({"a": [{"numeric": ["=", 5, "<", 6]}]}, "/a/0/numeric", "lower bound"),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "/a/0/numeric", "less than the upper"),
        ({"a": [{"anything-but": []}]}, "/a/0/anything-but", "empty array"),
        ({"a": [{"anything-but": {"prefix": []}}]}, "/a/0/anything-but/prefix", "empty array"),
        ({"a": [{"anything-but": None}]}, "/a/0/anything-but", "a string or a number, got null"),
        ({"a": [{"anything-but": True}]}, "/a/0/anything-but", "a string or a number, got a boolean"),
        ({"a": [{"anything-but": ["x", None]}]}, "/a/0/anything-but/1", "only strings or only numbers"),
        ({"a": [{"anything-but": [1, "x"]}]}, "/a/0/anything-but/1", "only strings or only numbers"),
        ({"a": [{"anything-but": [1, [2]]}]}, "/a/0/anything-but/1", "got an array"),
        ({"a": [{"anything-but": [1, 2**53 + 1]}]}, "/a/0/anything-but/1", "IEEE 754"),
        ({"a": [{"anything-but": {"numeric": ["=", 1]}}]}, "/a/0/anything-but", "unknown operator"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "/a/0/anything-but/prefix", "every string"),
        ({"a": [{"anything-but": {"suffix": ["x", ""]}}]}, "/a/0/anything-but/suffix/1", "every string"),
        ({"a": [{"anything-but": {"suffix": 1}}]}, "/a/0/anything-but/suffix", "expected a string"),
        ({"a": [{"anything-but": {"wildcard": ["x", "**"]}}]}, "/a/0/anything-but/wildcard/1", "two wildcards"),
        ({"$or": {}}, "/$or", "expected an array of objects, got an object"),
        ({"$or": [{"a": [1]}]}, "/$or", "at least two"),
        ({"$or": [{"a": [1]}, 5]}, "/$or/1", "expected an object, got a number"),
        ({"$or": [{"a": [1]}, {}]}, "/$or/1", "empty object"),
        ({"a": {"$or": [{"b": [1]}, {"c": 5}]}}, "/a/$or/1/c", "got a number"),
        ({"$or": [{"numeric": [1]}, {"b": [1]}]}, "/$or/0/numeric", "operator"),
        ({"$or": [{"a": {"prefix": [1]}}, {"b": [1]}]}, "/$or/0/a/prefix", "operator"),
    ],
)
def test_a_fault_names_its_place_and_what_was_expected(pattern: Any, pointer: str, says: str) -> None:
    found, detail = fault(pattern)
    assert found == pointer
    assert says in detail


def test_a_fault_never_quotes_a_value() -> None:
    for entry in ({"prefix": ["secret"]}, {"anything-but": ["x", ["secret"]]}, {"cidr": "secret"}, {"secret": 1}):
        with pytest.raises(InvalidPattern) as refused:
            compile_pattern({"a": [entry]})
        assert "secret" not in str(refused.value) + repr(refused.value.faults)


def test_a_fault_is_an_error_with_a_code() -> None:
    with pytest.raises(EventError) as refused:
        compile_pattern({"a": [[]]})
    assert isinstance(refused.value, InvalidPattern)
    assert refused.value.code == "invalid_filter"
    assert not refused.value.retryable


def test_operators_are_names_of_fields_outside_of_or() -> None:
    assert compile_pattern({"prefix": {"numeric": [1]}}).matches({"prefix": {"numeric": 1}})


def test_fields_after_an_or_belong_to_all_its_alternatives() -> None:
    pattern = compile_pattern({"$or": [{"a": [1]}, {"b": [1]}], "c": [1]})
    assert pattern.matches({"b": 1, "c": 1})
    assert not pattern.matches({"b": 1})
    assert not pattern.matches({"c": 1})


def test_several_or_multiply() -> None:
    pattern = compile_pattern({"$or": [{"a": [1]}, {"b": [1]}], "x": {"$or": [{"c": [1]}, {"d": [1]}]}})
    assert len(pattern.branches) == 4
    assert pattern.matches({"a": 1, "x": {"d": 1}})
    assert not pattern.matches({"a": 1, "b": 1})


def test_a_field_that_is_given_twice_counts_as_given_last_or_is_refused() -> None:
    twice = {"a": [1], "$or": [{"a": [2]}, {"b": [1]}]}
    pattern = compile_pattern(twice)
    assert pattern.matches({"a": 2})
    assert pattern.matches({"a": 1, "b": 1})
    assert not pattern.matches({"a": 1})
    with pytest.raises(InvalidPattern) as refused:
        compile_pattern(twice, repeated="refused")
    assert refused.value.faults[0].pointer == "/$or/0/a"
    with pytest.raises(InvalidPattern):
        compile_pattern({"a": {"b": [1]}, "a.b": [1]}, repeated="refused")


def test_a_dotted_name_is_the_key_of_that_name_or_else_the_way_through_objects() -> None:
    pattern = compile_pattern({"x": {"a.b": [1]}})
    assert pattern.matches({"x": {"a.b": 1}})
    assert pattern.matches({"x": {"a": {"b": 1}}})
    assert pattern.matches({"x": {"a": [{"b": 1}]}})
    assert pattern.matches({"x": [{"a": {"b": 1}}]})
    assert not pattern.matches({"x": {"a.b": 2, "a": {"b": 1}}})
    assert not pattern.matches({"x": {"a": 1}})
    assert not pattern.matches({"x": 1})
    assert compile_pattern({"a.b.c": [{"exists": False}]}).matches({"a": {"b": {"c": {}}}})
    assert compile_pattern({"": {".": [1]}}).matches({"": {".": 1}})


def test_a_pattern_knows_where_it_looks() -> None:
    pattern = compile_pattern(
        {"type": ["x"], "$or": [{"data": {"a": [1]}}, {"source": ["y"], "data": {"b": {"c": [1]}}}]}
    )
    assert pattern.fields == {"type", "source", "data"}
    assert pattern.paths == {("type",), ("source",), ("data", "a"), ("data", "b", "c")}
    assert pattern.needs_data
    assert not compile_pattern({"type": ["x"], "database": [1]}).needs_data
    assert compile_pattern({"data.a": [1]}).needs_data


def test_attributes_decide_as_far_as_they_can() -> None:
    pattern = compile_pattern(
        {
            "type": ["x"],
            "$or": [{"subject": ["s"]}, {"data": {"a": [1]}}, {"time": [{"prefix": "2026"}], "data": [5]}],
        }
    )
    assert pattern.decide({"type": "y", "subject": "s"}) is False
    assert pattern.decide({"type": "x", "subject": "s"}) is True
    assert pattern.decide({"type": "x"}) is None
    assert compile_pattern({"type": ["x"], "data": [1]}).decide({"type": "y"}) is False
    assert compile_pattern({"data": [{"exists": False}]}).decide({"type": "y"}) is None
    assert compile_pattern({"key": [{"exists": False}]}).decide({"type": "y"}) is True
    tags = compile_pattern({"tags": {"a": [1], "b": [2]}, "data": [1]})
    assert tags.decide({"tags": [{"a": 1}, {"b": 2}]}) is False
    assert tags.decide({"tags": [{"a": 1, "b": 2}]}) is None
