"""Values that follow one another and are equal."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")


def runs(column: Iterable[T]) -> Iterator[tuple[T, slice]]:
    """Each run of equal values: the value, and where it stands.

    Args:
        column: the values; each is compared with the one before.
    """
    values = list(column)
    # Most columns are one run, which takes a third of the time to find out.
    if values and are_alike(values):
        yield values[0], slice(0, len(values))
        return
    start = 0
    for value, run in groupby(values):
        stop = start + len(list(run))
        yield value, slice(start, stop)
        start = stop


def are_alike(column: Sequence[object]) -> bool:
    """Whether all values are equal.

    Args:
        column: the values; one at the least.
    """
    # The ends first: most columns with different values differ there.
    return column[0] == column[-1] and column.count(column[0]) == len(column)
