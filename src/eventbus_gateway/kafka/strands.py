"""What the planner of reading knows: strands, tails and lanes, and the orders that it gives.

A *strand* is one subscriber's way through one partition. The shared reader has a *tail* for each partition where
somebody stands near the end. Each further reader is a *lane*, which belongs for some time to a subscriber that is
behind.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.partitions import Partition

SHARED = 0
"""Number of the shared reader; lanes are numbered from one."""


MOST_IN_HAND = 2
"""Batches that a reader hands over before the first of them is taken."""


class Place(Enum):
    """Where a strand is."""

    SEEKING = "seeking"
    """It is not known what the partition holds, or trying again has to wait."""
    QUEUED = "queued"
    """It waits until a lane is free."""
    CATCHING_UP = "catching_up"
    """A lane reads for it."""
    TAILING = "tailing"
    """The shared reader reads for it."""
    IDLE = "idle"
    """Its subscriber wants no more for now."""
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class Strand:
    """One subscriber's way through one partition.

    Args:
        subscriber: whose it is.
        partition: topic and partition.
        position: the next offset that the subscriber has not been given.
        place: where it is.
        stopped: whether the subscriber wants no more for now; on a lane it can go on from what is at hand.
        ticket: number of the reading on the lane, while there is one.
        retry_at: when a seeking strand may be tried again, in seconds of the planner's clock.
        asking: whether the ends of its partition are being asked for.
        failures: attempts since something was read.
        out_of_range: whether the broker refused the position.
        trouble: why it cannot be read, as its subscriber was told.
    """

    subscriber: "Subscriber"
    partition: Partition
    position: int
    place: Place = Place.SEEKING
    stopped: bool = False
    ticket: int = 0
    retry_at: float = float("-inf")
    asking: bool = False
    failures: int = 0
    out_of_range: bool = False
    trouble: GatewayError | None = None


@dataclass(slots=True, eq=False)
class Subscriber:
    """Who reads.

    Args:
        sink: whom records are given to; of no interest to the planner.
        strands: by partition.
        lane: number of its lane, while it has one.
    """

    sink: Any
    strands: dict[Partition, Strand] = field(default_factory=dict)
    lane: int | None = None


@dataclass(slots=True, eq=False)
class Tail:
    """What the shared reader reads of one partition.

    Args:
        ticket: number of the reading.
        partition: topic and partition.
        position: everything below it has been given to all members; no member stands below it.
        members: strands that are given what comes.
    """

    ticket: int
    partition: Partition
    position: int
    members: dict[Strand, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Lane:
    """A reader for subscribers that are behind.

    Args:
        number: of the reader.
        subscriber: to whom it belongs now.
        strands: what it reads.
        since: when it was given to the subscriber.
        served: whether anything was read since then.
        halted_since: since when all strands are stopped.
        crowded_since: since when it cannot go on because a stopped strand has not taken what is at hand.
    """

    number: int
    subscriber: Subscriber | None = None
    strands: dict[Partition, Strand] = field(default_factory=dict)
    since: float = 0.0
    served: bool = False
    halted_since: float | None = None
    crowded_since: float | None = None


class Read(NamedTuple):
    """An order: read a partition from an offset on.

    Args:
        reader: number of the reader.
        partition: topic and partition.
        offset: the first offset to read.
        ticket: number of the reading; comes back with everything that is read.
    """

    reader: int
    partition: Partition
    offset: int
    ticket: int


class Leave(NamedTuple):
    """An order: read a partition no more.

    Args:
        reader: number of the reader.
        partition: topic and partition.
        ticket: number of the reading.
    """

    reader: int
    partition: Partition
    ticket: int


class Slice(NamedTuple):
    """What one reading brought.

    Args:
        ticket: number of the reading.
        records: in the order of their offsets.
        next_offset: where the reading goes on; what lies between the records does not exist.
        at_end: whether there was nothing more at that time.
    """

    ticket: int
    records: list[Consumed]
    next_offset: int
    at_end: bool = False


class Fault(NamedTuple):
    """Why a reading does not go on.

    Args:
        ticket: number of the reading.
        error: what subscribers are told.
        out_of_range: whether the broker has nothing at the position.
    """

    ticket: int
    error: GatewayError
    out_of_range: bool = False


Order = Read | Leave
Batch = list[Slice | Fault]
