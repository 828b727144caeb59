"""What is asked of a shard, by whoever works for it: this process or another replica."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.leases import Counts
from eventbus_gateway.subscriptions.references import References
from eventbus_gateway.subscriptions.tokens import AnyReference


class Ask(NamedTuple):
    """What a receive wants.

    Args:
        max_events: number of events at the most.
        max_bytes: no further event once the sizes of those before reach this.
        lease_seconds: how long the client has for them; None takes what the subscription says.
    """

    max_events: int
    max_bytes: int
    lease_seconds: float | None


class Verb(Enum):
    """What a client says of events that it was handed."""

    ACK = "ack"
    RELEASE = "release"
    EXTEND = "extend"
    REJECT = "reject"


class Settling(NamedTuple):
    """What a client says of some events.

    Args:
        verb: what.
        references: which hand-outs, all of one shard; best as ``References``.
        seconds: delay of a release, new lease of an extension.
        reason: why a client rejects them.
    """

    verb: Verb
    references: References | Sequence[AnyReference]
    seconds: float = 0.0
    reason: str = ""


class HandedOut(NamedTuple):
    """Events as clients get them.

    Args:
        events: JSON objects with ``ackToken`` and ``deliveryCount``.
        ack_tokens: for each shard that they come from, the token that stands for all of its events here.
    """

    events: list[bytes]
    ack_tokens: list[str]


class PartitionStatus(NamedTuple):
    """How far one partition is.

    Args:
        topic: name of the topic.
        partition: number of the partition.
        position: next offset to read.
        watermark: everything below it is done.
        unacked: events that are held.
        oldest_timestamp: of the oldest of them, milliseconds since the epoch; None without any.
        lost_from: first offset that retention deleted before it was read, None where nothing was lost.
        lost_until: first offset after that.
        trouble: code of the error that keeps the partition from being read, None while there is none.
    """

    topic: str
    partition: int
    position: int
    watermark: int
    unacked: int
    oldest_timestamp: int | None
    lost_from: int | None = None
    lost_until: int | None = None
    trouble: str | None = None


class ShardStatus(NamedTuple):
    """One shard at one moment.

    Args:
        counts: its unacked events.
        partitions: how far each is.
        trouble: code of the error that keeps the shard from working, None while there is none.
        endpoint: how its webhook is, None where clients pull.
    """

    counts: Counts
    partitions: tuple[PartitionStatus, ...]
    trouble: str | None = None
    endpoint: EndpointStatus | None = None


class ShardCalls(Protocol):
    """A shard, wherever it is.

    Every method raises ``NotOwner`` where it is not served there (any more), and what it did not do then never
    happens.
    """

    async def receive(self, ask: Ask) -> HandedOut:
        """Lease what is ready now."""
        ...

    async def ready(self, seconds: float) -> bool:
        """Wait for an event that can be handed out; says whether there is one. To be cancelled at any time."""
        ...

    async def settle(self, settling: Settling) -> list[Outcome]:
        """Do what a client says of events, one outcome per reference in their order."""
        ...

    async def status(self) -> ShardStatus:
        """How far the shard is."""
        ...

    async def attempts(self, limit: int) -> list[bytes]:
        """The latest attempts at its webhook as JSON objects, the latest first."""
        ...


class LocalShards(Protocol):
    """The shards that this process serves."""

    def find(self, subscription_id: str, shard: int) -> ShardCalls | None:
        """The shard, None where this process does not serve it (or not yet)."""
        ...
