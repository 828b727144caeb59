"""Compiled patterns, decisions from attributes and the index agree with the simple way, whatever they are given."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.subscriptions.patterns import oracle

from eventbus_gateway.subscriptions.patterns import PatternIndex, compile_pattern

# Few names and values, so that patterns and events meet.
NAMES = st.sampled_from(["type", "data", "a", "b", "a-b"])
TEXTS = st.text("aAb*", max_size=3)
NUMBERS = st.sampled_from([-1, 0, 1, 1.0, 1.5, 2])
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none())


def objects(values: st.SearchStrategy[Any], max_size: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, values, max_size=max_size)


VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.one_of(objects(inner), st.lists(inner, max_size=3)), max_leaves=8
)
# Attributes are scalars; everything else is anywhere.
EVENTS = st.builds(
    lambda attributes, rest: {**rest, **attributes},
    st.fixed_dictionaries({}, optional={"type": SCALARS}),
    objects(VALUES, 4),
)

WILDCARDS = st.text("aAb*", max_size=4).map(lambda text: text.replace("**", "*").replace("**", "*"))
RANGES = st.tuples(st.sampled_from([">", ">="]), st.integers(-1, 0), st.sampled_from(["<", "<="]), st.integers(1, 2))
COMPARISONS = st.one_of(st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), NUMBERS), RANGES).map(list)
FULL = TEXTS.filter(bool)
IGNORING_CASE = TEXTS.map(lambda text: {"equals-ignore-case": text})
EXCLUDED = st.one_of(
    TEXTS,
    NUMBERS,
    st.lists(TEXTS, min_size=1, max_size=2),
    st.lists(NUMBERS, min_size=1, max_size=2),
    st.one_of(FULL, st.lists(FULL, min_size=1, max_size=2)).map(lambda text: {"prefix": text}),
    st.one_of(FULL, st.lists(FULL, min_size=1, max_size=2)).map(lambda text: {"suffix": text}),
    IGNORING_CASE,
    WILDCARDS.map(lambda text: {"wildcard": text}),
)
OPERATORS = st.one_of(
    st.booleans().map(lambda there: {"exists": there}),
    TEXTS.map(lambda text: {"exactly": text}),
    st.one_of(TEXTS, IGNORING_CASE).map(lambda text: {"prefix": text}),
    st.one_of(TEXTS, IGNORING_CASE).map(lambda text: {"suffix": text}),
    IGNORING_CASE,
    WILDCARDS.map(lambda text: {"wildcard": text}),
    EXCLUDED.map(lambda text: {"anything-but": text}),
    COMPARISONS.map(lambda comparisons: {"numeric": comparisons}),
)
CONDITIONS = st.lists(st.one_of(SCALARS, OPERATORS), min_size=1, max_size=3)


def full(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, values, min_size=1, max_size=3)


def with_or(members: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda fields, either, first: {"$or": either, **fields} if first else {**fields, "$or": either},
        members,
        st.lists(members, min_size=2, max_size=3),
        st.booleans(),
    )


PATTERNS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    full(CONDITIONS), lambda inner: st.one_of(full(st.one_of(CONDITIONS, inner)), with_or(inner)), max_leaves=5
)


# Arrays everywhere, few names below them, and patterns that look at the same names.
SHORT = st.sampled_from(["a", "b", "a-b"])
BITS = st.sampled_from([0, 1])


def arrays_of(members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.one_of(members, st.dictionaries(SHORT, st.one_of(BITS, members), min_size=2)), max_size=3)


NESTED = st.dictionaries(
    SHORT, arrays_of(st.one_of(BITS, arrays_of(st.one_of(BITS, arrays_of(BITS))))), min_size=1, max_size=3
)
BIT_CONDITIONS = st.lists(
    st.one_of(BITS, BITS, BITS, st.booleans().map(lambda there: {"exists": there})), min_size=1, max_size=2
)
BIT_OBJECTS = st.dictionaries(SHORT, BIT_CONDITIONS, min_size=2, max_size=3)
NESTED_PATTERNS = st.dictionaries(
    SHORT,
    st.one_of(BIT_OBJECTS, st.dictionaries(SHORT, st.one_of(BIT_CONDITIONS, BIT_OBJECTS), min_size=2, max_size=3)),
    min_size=1,
    max_size=2,
)


@settings(max_examples=1000, deadline=None)
@given(NESTED_PATTERNS, NESTED)
def test_values_below_arrays_agree_as_in_the_simple_way(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    compiled = compile_pattern(pattern)
    index: PatternIndex[int] = PatternIndex()
    index.add(1, compiled)
    expected = oracle.matches(pattern, event)
    assert compiled.matches(event) == expected
    assert index.matching(event) == ([1] if expected else [])


@settings(max_examples=500, deadline=None)
@given(PATTERNS, EVENTS)
def test_a_compiled_pattern_matches_what_the_simple_way_matches(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    assert compile_pattern(pattern).matches(event) == oracle.matches(pattern, event)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, EVENTS)
def test_what_attributes_decide_is_what_the_whole_event_decides(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    compiled = compile_pattern(pattern)
    decided = compiled.decide({name: value for name, value in event.items() if name != "data"})
    assert decided in {None, compiled.matches(event)}
    assert decided is not None or compiled.needs_data


@settings(max_examples=300, deadline=None)
@given(PATTERNS, EVENTS)
def test_only_fields_that_a_pattern_names_make_a_difference(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    compiled = compile_pattern(pattern)
    named = {name: value for name, value in event.items() if name in compiled.fields}
    assert compiled.matches(named) == compiled.matches(event)


@settings(max_examples=200, deadline=None)
@given(st.lists(PATTERNS, max_size=6), st.lists(EVENTS, min_size=1, max_size=3), st.data())
def test_an_index_finds_what_its_patterns_match_also_after_removals(
    patterns: list[dict[str, Any]], events: list[dict[str, Any]], data: st.DataObject
) -> None:
    index: PatternIndex[int] = PatternIndex()
    for number, pattern in enumerate(patterns):
        index.add(number, compile_pattern(pattern))
    removed = data.draw(st.sets(st.sampled_from(range(len(patterns))))) if patterns else set()
    for number in removed:
        index.remove(number)
    for number in sorted(removed)[:1]:
        index.add(number, compile_pattern(patterns[number]))
    held = set(range(len(patterns))) - set(sorted(removed)[1:])
    assert len(index) == len(held)
    for event in events:
        found = index.matching(event)
        assert sorted(found) == [number for number in sorted(held) if oracle.matches(patterns[number], event)]
        decided = index.decide({name: value for name, value in event.items() if name != "data"})
        assert set(decided.matching) <= set(found) <= set(decided.matching) | set(decided.undecided)
        assert not set(decided.matching) & set(decided.undecided)
