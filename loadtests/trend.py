"""Whether something that is looked at again and again grows: least squares, and what counts as flat."""

from collections.abc import Sequence
from statistics import StatisticsError, linear_regression, pstdev
from typing import NamedTuple

_SHARE = 2.0
"""A straight line rises by 3.5 times its own standard deviation, and noise without a trend by much less than once;
twice tells them apart."""


class Trend(NamedTuple):
    """A straight line through what was seen.

    Args:
        name: what was looked at.
        samples: how often.
        slope: per minute.
        growth: of the line, from the first to the last sample.
        deviation: standard deviation of all samples.
        lowest: of all samples.
        highest: of all samples.
    """

    name: str
    samples: int
    slope: float
    growth: float
    deviation: float
    lowest: float
    highest: float

    def rises_by_more_than(self, allowed: float) -> bool:
        """Whether it grows by more than that, and not by chance: for what is counted."""
        return self.growth > max(allowed, _SHARE * self.deviation)


def trend(name: str, times: Sequence[float], values: Sequence[float]) -> Trend:
    """The line of least squares.

    Args:
        name: what was looked at.
        times: when, in seconds.
        values: what was seen then.

    Raises:
        ValueError: there are too few samples for a line.
    """
    try:
        slope, _ = linear_regression(times, values)
    except StatisticsError as error:
        raise ValueError(f"{name}: {error}") from None
    growth = slope * (times[-1] - times[0])
    return Trend(name, len(values), slope * 60, growth, pstdev(values), min(values), max(values))
