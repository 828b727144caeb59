"""Durations in a few hundred numbers."""

from collections.abc import Iterable, Mapping

_EXACT = 128
_BITS = 7


class Histogram:
    """Counts of durations in microseconds: exact below 128, above in buckets no wider than 1/64 of their value.

    Args:
        counts: count by bucket.
    """

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts = dict(counts or {})

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        index = bucket(microseconds)
        self.counts[index] = self.counts.get(index, 0) + 1

    def percentile(self, share: float) -> float:
        """The duration in microseconds that a share of all durations (0 to 1) does not exceed; 0 without any."""
        total = sum(self.counts.values())
        wanted = max(1, -(-total * share // 1))
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= wanted:
                return middle(index)
        return 0.0


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of the durations of many."""
    whole = Histogram()
    for histogram in histograms:
        for index, count in histogram.counts.items():
            whole.counts[index] = whole.counts.get(index, 0) + count
    return whole


def bucket(microseconds: int) -> int:
    """The bucket of a duration; larger durations never have smaller buckets."""
    if microseconds < _EXACT:
        return microseconds
    shift = microseconds.bit_length() - _BITS
    return shift * (_EXACT // 2) + (microseconds >> shift)


def middle(index: int) -> float:
    """The middle of a bucket, in microseconds."""
    if index < _EXACT:
        return float(index)
    shift = index // (_EXACT // 2) - 1
    lowest = (index - shift * (_EXACT // 2)) << shift
    return lowest + ((1 << shift) - 1) / 2
