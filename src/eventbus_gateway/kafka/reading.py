"""What somebody asks who reads a topic without a group, and what comes of it."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from eventbus_gateway.kafka.consumed import Consumed


class Edge(Enum):
    """A place in a topic that every partition has."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Ask(NamedTuple):
    """One read.

    Args:
        topic: what is read.
        start: the next offset per partition, or an edge. Partitions that are not named are read from their beginning:
            they were added after the positions were taken.
        partitions: how many the topic is known to have.
        limit: records at the most, 1 or more.
        max_bytes: bytes of keys, values and headers after which no more records are taken; what has been read ahead
            can go beyond that.
        wait: seconds to wait for the first record where there is none yet.
    """

    topic: str
    start: Mapping[int, int] | Edge
    partitions: int
    limit: int
    max_bytes: int
    wait: float


class Gone(Enum):
    """Why records cannot be read any more."""

    EXPIRED = "expired"
    """They were deleted from the beginning of the partition, as retention does."""
    RECREATED = "recreated"
    """The partition ends before the position: the topic was deleted and created again, or its end was lost."""


class Lost(NamedTuple):
    """A position that the topic does not have any more.

    Args:
        partition: where.
        asked: the position.
        resumed: where reading goes on: the earliest record.
        reason: why.
    """

    partition: int
    asked: int
    resumed: int
    reason: Gone


class Page(NamedTuple):
    """What was read.

    Args:
        records: in order within each partition.
        start: where the read began, for every partition; after what was lost.
        positions: the next offset for every partition.
        lost: positions that were not there.
    """

    records: list[Consumed]
    start: Mapping[int, int]
    positions: Mapping[int, int]
    lost: list[Lost]


class EventReader(Protocol):
    """Reads topics without a group; nothing is remembered between two reads."""

    async def read(self, ask: Ask) -> Page:
        """Read what is there, or wait for the first record; whoever cancels this leaves nothing behind.

        Without records the positions can still have moved: over transaction markers, or over what was lost.

        Raises:
            Overloaded: too many reads are under way.
            UnknownTopic: the topic does not exist.
            TopicUnreadable: it cannot be read now.
            KafkaUnavailable: nobody can tell what is there.
        """
        ...

    async def at_time(self, topic: str, partitions: int, timestamp: int) -> Mapping[int, int]:
        """Positions of the first records that are not older than a time, the ends where there are none.

        Args:
            topic: where to look.
            partitions: how many it has.
            timestamp: milliseconds since the epoch.

        Raises:
            UnknownTopic, TopicUnreadable, KafkaUnavailable: as for :meth:`read`.
        """
        ...
