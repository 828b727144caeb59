"""Events in the hands of clients, and what becomes of a reference that a client gives back."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, Generic, Literal, NamedTuple

from eventbus_gateway.subscriptions.references import Group, References
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.tokens import Reference, prefix, token
from eventbus_gateway.subscriptions.window import OFFSET_OF, SIZE_OF, Held, P

_new = tuple.__new__
_ALIKE = attrgetter("origin", "delivery_count")
_OFFSETS = attrgetter("offsets")

Order = Literal["key", "partition", "none"]


class Outcome(Enum):
    """What became of one reference.

    ``OK``: done as asked. ``STALE``: handed out by a former state of the shard, or handed out again since.
    ``EXPIRED``: the lease is over, its event is on its way to be delivered again or to the dead letters.
    ``SETTLED``: the event was acked, rejected or filtered out before. ``UNKNOWN``: no such hand-out.
    """

    OK = "ok"
    STALE = "stale"
    EXPIRED = "expired"
    SETTLED = "settled"
    UNKNOWN = "unknown"


class Standing(Enum):
    """Where an event is that was handed out at least once and is not acked.

    ``BLOCKED``: it came back while an earlier one of its lane is unacked, together with which it had been handed out.
    """

    LEASED = 1
    DELAYED = 2
    READY = 3
    DEAD = 4
    BLOCKED = 5


class Origin(NamedTuple):
    """Where the events of one partition come from.

    Args:
        shard: index of the shard within the subscription.
        acquisition: random number of the state that hands them out.
        topic_index: place of the topic in the list of the state's topics.
        topic: its name.
        partition: number of the partition.
        prefix: what all tokens of the partition have in common.
    """

    shard: int
    acquisition: int
    topic_index: int
    topic: str
    partition: int
    prefix: bytes

    @classmethod
    def of(cls, shard: int, acquisition: int, topic_index: int, topic: str, partition: int) -> "Origin":
        """The origin with its prefix."""
        start = prefix(shard, acquisition, topic_index, partition)
        return cls(shard, acquisition, topic_index, topic, partition, start)

    def group(self, delivery_count: int, offsets: Sequence[int]) -> Group:
        """References to its events.

        Args:
            delivery_count: how often each had been handed out, this time included.
            offsets: their places.
        """
        return Group(self.shard, self.acquisition, self.topic_index, self.partition, delivery_count, offsets)


class Lease(NamedTuple):
    """How an event stands that was handed out; events of a partition that are handed out together share one.

    It never changes: an event of which something else is to be said from now on gets another one.

    Args:
        delivery_count: how often the event has been handed out.
        standing: where it is.
        term: what it waits for, be it the end of its lease or of a delay; None where it waits for nothing.
    """

    delivery_count: int
    standing: Standing
    term: Term[Any] | None


class Leased(NamedTuple, Generic[P]):
    """One hand-out of an event: what a client gets.

    Args:
        origin: where the event comes from.
        event: the event.
        delivery_count: how often it has been handed out, this time included.
    """

    origin: Origin
    event: Held[P]
    delivery_count: int

    @property
    def token(self) -> str:
        """The text by which a client names this hand-out."""
        return token(self.origin.prefix, self.event.offset, self.delivery_count)

    @property
    def reference(self) -> Reference:
        """What the token stands for."""
        shard, acquisition, topic_index, _, partition, _ = self.origin
        # Past the named tuple's own constructor, which takes as long again.
        return _new(Reference, (shard, acquisition, topic_index, partition, self.event.offset, self.delivery_count))


class HandOut(NamedTuple, Generic[P]):
    """Events of one partition that are handed out together, all for the same time.

    Args:
        origin: where they come from.
        delivery_count: how often each has been handed out, this time included.
        events: the events, one at the least.
        offsets: their places.
        size: the sum of their sizes.
    """

    origin: Origin
    delivery_count: int
    events: Sequence[Held[P]]
    offsets: Sequence[int]
    size: int

    @classmethod
    def of(cls, origin: Origin, delivery_count: int, events: Sequence[Held[P]]) -> "HandOut[P]":
        """The hand-out of events."""
        return cls(origin, delivery_count, events, list(map(OFFSET_OF, events)), sum(map(SIZE_OF, events)))


def each_leased(hand_outs: Iterable[HandOut[P]]) -> list[Leased[P]]:
    """Hand-outs one by one."""
    return [_new(Leased, (origin, event, count)) for origin, count, events, *_ in hand_outs for event in events]


def references_to(hand_outs: Iterable[HandOut[Any]], count: int) -> References:
    """References to so many events, from the first one on."""
    groups: list[Group] = []
    for (origin, deliveries), run in groupby(hand_outs, _ALIKE):
        offsets = list(chain.from_iterable(map(_OFFSETS, run)))[:count]
        if not offsets:
            break
        groups.append(origin.group(deliveries, offsets))
        count -= len(offsets)
    return References(groups)


def groups_of(leased: Iterable[Leased[Any]]) -> Iterator[tuple[Origin, Group]]:
    """References to hand-outs of different events, and where those of each group come from."""
    for (origin, deliveries), run in groupby(leased, _ALIKE):
        yield origin, origin.group(deliveries, [each.event.offset for each in run])


class LeasedColumns(NamedTuple):
    """Hand-outs column by column.

    Args:
        prefixes: what the token of each begins with.
        events: the events.
        offsets: their places.
        delivery_counts: how often each has been handed out.
    """

    prefixes: list[bytes]
    events: list[Held[Any]]
    offsets: list[int]
    delivery_counts: list[int]

    @classmethod
    def of(cls, hand_outs: Iterable[HandOut[Any]]) -> "LeasedColumns":
        """The columns of hand-outs."""
        columns = cls([], [], [], [])
        for origin, delivery_count, events, offsets, _ in hand_outs:
            columns.prefixes.extend([origin.prefix] * len(events))
            columns.events.extend(events)
            columns.offsets.extend(offsets)
            columns.delivery_counts.extend([delivery_count] * len(events))
        return columns


class Cause(Enum):
    """Why an event is not handed out any more.

    ``KEPT``: it is a dead letter that a redrive did not want, and stays one.
    """

    MAX_DELIVERIES = "max_deliveries"
    REJECTED = "rejected"
    KEPT = "kept"


class DeadLetter(NamedTuple, Generic[P]):
    """An event to be stored among the dead letters; it holds its partition's watermark until it is.

    Args:
        leased: its last hand-out.
        cause: why.
        reason: what the client said that rejected it.
    """

    leased: Leased[P]
    cause: Cause
    reason: str
