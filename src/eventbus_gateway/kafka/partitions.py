"""Places in topics."""

from typing import NamedTuple

Partition = tuple[str, int]
"""Name of a topic and number of one of its partitions."""


class Position(NamedTuple):
    """What a group has committed for a partition.

    Args:
        offset: the next offset to read.
        metadata: what was stored beside it; empty where there is nothing.
    """

    offset: int
    metadata: str = ""


class Ends(NamedTuple):
    """What of a partition can be read.

    Args:
        low: the earliest offset that is still there.
        high: one more than the last offset.
    """

    low: int
    high: int
