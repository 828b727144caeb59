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
    start = 0
    for value, run in groupby(column):
        stop = start + len(list(run))
        yield value, slice(start, stop)
        start = stop
