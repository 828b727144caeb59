"""Runs of equal values."""

from itertools import groupby

from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.runs import runs


@given(st.lists(st.sampled_from("ab")))
@example([])
@example(["a", "b", "a"])
def test_runs_are_those_of_equal_values_that_follow_one_another(column: list[str]) -> None:
    found = list(runs(iter(column)))
    assert [value for value, _ in found] == [value for value, _ in groupby(column)]
    assert [part for value, run in found for part in [(value, column[run])]] == [
        (value, list(run)) for value, run in groupby(column)
    ]
    assert [place for _, run in found for place in range(*run.indices(len(column)))] == list(range(len(column)))
