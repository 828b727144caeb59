"""What shards work with, the same for all of one process."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.feeds import Sink
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.subscriptions.hand import Hand, Push
from eventbus_gateway.subscriptions.matchings import Matchings
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings


class OpenFeed(Protocol):
    """What one shard reads; ``kafka.feeds.Feed`` is one."""

    def add(self, positions: Mapping[Partition, int]) -> None:
        """Read further partitions."""
        ...

    def resume(self, topic: str, partition: int, offset: int) -> None:
        """Go on after a stop."""
        ...

    def close(self) -> None:
        """Give nothing more."""
        ...


class Feeding(Protocol):
    """Where feeds are opened; ``kafka.feeds.Feeds`` is one."""

    def open(self, sink: Sink, positions: Mapping[Partition, int]) -> OpenFeed:
        """Begin to read for somebody."""
        ...


class GroupPositions(Protocol):
    """Positions of groups; ``kafka.positions.Positions`` is one."""

    async def committed(
        self, group: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, Position | GatewayError]:
        """What a group has committed."""
        ...

    async def commit(
        self, group: str, positions: Mapping[Partition, Position]
    ) -> Mapping[Partition, GatewayError | None]:
        """Commit positions."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """Everything outside of a shard that it needs.

    Args:
        feeds: where its records come from.
        positions: where its progress is kept.
        sink: where its dead letters go.
        outgoing_of: what makes events of a topic's records, by its name.
        partitions_of: how many partitions a topic has; raises UnknownTopic or KafkaUnavailable.
        create_letters: creates a topic for dead letters, where that is allowed.
        count: counts events of a subscription, by its full name, and by what became of them.
        settings: bounds and defaults.
        push: makes what sends the events of a shard to its webhook; None where this process has nothing for it.
        matchings: decides what matches, for all shards together.
        clock: monotonic seconds.
    """

    feeds: Feeding
    positions: GroupPositions
    sink: RecordSink
    outgoing_of: Callable[[str], Outgoing]
    partitions_of: Callable[[str], Awaitable[int]]
    create_letters: Callable[[str], Awaitable[None]]
    count: Callable[[str, str, int], None]
    settings: SubscriptionSettings
    push: Callable[[Subscription, Hand], Push] | None = None
    matchings: Matchings = field(default_factory=Matchings)
    clock: Callable[[], float] = time.monotonic
