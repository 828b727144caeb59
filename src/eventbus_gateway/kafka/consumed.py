"""A record as it comes out of Kafka."""

from typing import NamedTuple

RecordHeaders = list[tuple[str, bytes | None]]


class Consumed(NamedTuple):
    """One record that was read.

    Args:
        topic: name of its topic.
        partition: number of its partition.
        offset: its place there.
        timestamp: milliseconds since the epoch; negative where the record has none.
        key: key as stored, None where there is none.
        value: value as stored, None for a tombstone.
        headers: names and values in their order.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: RecordHeaders
