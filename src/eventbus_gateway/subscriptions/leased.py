"""Events in the hands of clients, and what becomes of a reference that a client gives back."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Generic, Literal, NamedTuple

from eventbus_gateway.runs import runs
from eventbus_gateway.subscriptions.references import Group, References
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.tokens import Reference, prefix, token
from eventbus_gateway.subscriptions.window import Held, P

_new = tuple.__new__

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


class Leased(Generic[P]):
    """One hand-out of an event: what a client gets. Each hand-out has its own; only ``standing`` and ``term`` change.

    Args:
        origin: where the event comes from.
        event: the event.
        delivery_count: how often it has been handed out, this time included.
        term: when the lease ends.
    """

    __slots__ = ("delivery_count", "event", "origin", "standing", "term")

    def __init__(self, origin: Origin, event: Held[P], delivery_count: int, term: "Term[Leased[P]]") -> None:
        self.origin = origin
        self.event = event
        self.delivery_count = delivery_count
        self.term: Term[Leased[P]] | None = term
        self.standing = _LEASED

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


_LEASED = Standing.LEASED


class LeasedColumns(NamedTuple):
    """Hand-outs column by column.

    Args:
        origins: where each event comes from.
        events: the events.
        offsets: their places.
        delivery_counts: how often each has been handed out.
    """

    origins: Sequence[Origin]
    events: Sequence[Held[Any]]
    offsets: Sequence[int]
    delivery_counts: Sequence[int]

    @classmethod
    def of(cls, leased: Iterable[Leased[Any]]) -> "LeasedColumns":
        """The columns of hand-outs."""
        rows = [(each.origin, each.event, each.event.offset, each.delivery_count) for each in leased]
        return cls(*map(list, zip(*rows, strict=True))) if rows else cls((), (), (), ())

    def references(self, count: int) -> References:
        """References to so many of them, from the first one on."""
        origins, _, offsets, delivery_counts = self
        groups: list[Group] = []
        for (origin, deliveries), run in runs(zip(origins[:count], delivery_counts, strict=False)):
            shard, acquisition, topic_index, _, partition, _ = origin
            groups.append(Group(shard, acquisition, topic_index, partition, deliveries, offsets[run]))
        return References(groups)


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
