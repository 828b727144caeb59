"""Since when events are tried."""

from collections.abc import Iterable
from typing import NamedTuple

from eventbus_gateway.subscriptions.tokens import Reference


class Place(NamedTuple):
    """An event of a shard.

    Args:
        topic: index into the topics of the shard's state.
        partition: number of the partition.
        offset: of the record.
    """

    topic: int
    partition: int
    offset: int

    @classmethod
    def of(cls, reference: Reference) -> "Place":
        """The event of a hand-out."""
        return cls(reference.topic, reference.partition, reference.offset)


class Ages:
    """The time of the first attempt of each event that was tried and is not settled.

    There are never more than unacked events in the shard's window. Like the number of an attempt, which is that of
    the hand-out in this state of the shard (``Leased.delivery_count``), it begins anew with another owner: who takes
    a shard over knows positions only. So an event gets more attempts after a fail-over, never fewer.
    """

    def __init__(self) -> None:
        self._first: dict[Place, float] = {}

    def __len__(self) -> int:
        return len(self._first)

    def tried(self, place: Place, now: float) -> float:
        """Note an attempt that starts and say when the event's first one did."""
        return self._first.setdefault(place, now)

    def settled(self, places: Iterable[Place]) -> None:
        """Forget events that are not tried again."""
        for place in places:
            self._first.pop(place, None)
