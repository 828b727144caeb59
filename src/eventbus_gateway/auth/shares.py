"""What the gateway has of something, shared among principals by weight once it gets scarce."""

import math
from typing import NamedTuple

from eventbus_gateway.errors import Overloaded, RateLimited

_SOON_SECONDS = 1.0


class Bounds(NamedTuple):
    """How much of everything the gateway works on at the same time.

    Args:
        requests: requests.
        bytes: bytes of their bodies.
        events: events on their way to Kafka.
        event_bytes: bytes of these.
        reads: reads of topics, streams included.
        streams: streams.
    """

    requests: int
    bytes: int
    events: int
    event_bytes: int
    reads: int
    streams: int


class Holding:
    """What one principal holds of one thing."""

    __slots__ = ("amount", "weight")

    def __init__(self) -> None:
        self.amount = 0
        self.weight = 1
        """The principal's; it counts by the one that it began with as long as it holds something."""


class Shared:
    """One bounded thing of which principals hold some.

    As long as the reserve is untouched, everybody gets what they ask for. Beyond that, each principal gets as much as
    its weight among those who hold some or ask for it; the reserve is what lets one in that comes later, before the
    others have given anything back. Nobody has to be asked to: who holds too much gets no more until it holds less.

    Args:
        what: name for messages, in the plural.
        free: how much of it is not the reserve.
        most: bound.
    """

    __slots__ = ("_free", "_most", "_weights", "_what", "used")

    def __init__(self, what: str, free: float, most: float) -> None:
        self._what = what
        self._free = free
        self._most = most
        self._weights = 0  # of those who hold some
        self.used = 0
        """How much is held by all together."""

    def take(self, holding: Holding, amount: int) -> None:
        """Let a principal hold more; :meth:`give_back` has to follow.

        Args:
            holding: the principal's.
            amount: how much more.

        Raises:
            RateLimited: it holds its share; nothing was taken.
            Overloaded: there is no more for anybody; nothing was taken.
        """
        used = self.used + amount
        if used > self._free:
            self._require_share(holding, amount, used)
        if not holding.amount:
            self._weights += holding.weight
        holding.amount += amount
        self.used = used

    def give_back(self, holding: Holding, amount: int) -> None:
        """Take back what a principal held."""
        self.used -= amount
        holding.amount -= amount
        if not holding.amount:
            self._weights -= holding.weight

    def _require_share(self, holding: Holding, amount: int, used: int) -> None:
        # Whoever holds nothing may always begin, or what is larger than a share could never pass.
        if holding.amount and holding.amount + amount > self._free * holding.weight / self._weights:
            sentence = f"The gateway is busy, and the principal has its share of its {self._what}."
            raise RateLimited(sentence, retry_after=_SOON_SECONDS)
        if used > self._most:
            raise Overloaded(f"The gateway has too many {self._what} under way.", retry_after=_SOON_SECONDS)


class Pools:
    """All that principals share.

    Args:
        bounds: how much the gateway works on at the same time.
        reserve: part of each bound that stays free for those who hold less than their share.
    """

    def __init__(self, bounds: Bounds, reserve: float) -> None:
        free = 1.0 - reserve
        self.requests = Shared("requests", bounds.requests * free, bounds.requests)
        self.bytes = Shared("bytes of requests", bounds.bytes * free, bounds.bytes)
        # The producer keeps these bounds itself, and knows whether a quota of Kafka's is the reason.
        self.events = Shared("unconfirmed events", bounds.events * free, math.inf)
        self.event_bytes = Shared("bytes of unconfirmed events", bounds.event_bytes * free, math.inf)
        self.reads = Shared("reads", bounds.reads * free, bounds.reads)
        self.streams = Shared("streams", bounds.streams * free, bounds.streams)


class Holdings:
    """What one principal holds of all that is shared."""

    __slots__ = ("bytes", "event_bytes", "events", "reads", "requests", "streams")

    def __init__(self) -> None:
        self.requests = Holding()
        self.bytes = Holding()
        self.events = Holding()
        self.event_bytes = Holding()
        self.reads = Holding()
        self.streams = Holding()

    def weigh(self, weight: int) -> None:
        """Give a principal a weight, where it holds nothing by another one."""
        for each in (self.requests, self.bytes, self.events, self.event_bytes, self.reads, self.streams):
            if not each.amount:
                each.weight = weight
