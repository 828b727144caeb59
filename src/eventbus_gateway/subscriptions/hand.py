"""The events of a shard as whoever pushes them has them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.resource import Subscription


class EndpointStatus(NamedTuple):
    """A webhook's endpoint as one shard sees it.

    Args:
        state: ``closed``, ``open`` or ``half-open``, as of a breaker; ``disabled`` when the receiver said 410.
        in_flight: requests under way.
        limit: requests that may be under way, as it adapts.
        opens_at: milliseconds since the epoch at which an open breaker lets a probe through; None while it is not.
        last_status: status of the last answer, None before the first one.
        last_failure: why the last request had no answer, None where it had one.
        last_success_at: milliseconds since the epoch of the last success, None before the first one.
    """

    state: str
    in_flight: int
    limit: float
    opens_at: int | None = None
    last_status: int | None = None
    last_failure: str | None = None
    last_success_at: int | None = None


class Hand(NamedTuple):
    """The events of one shard.

    Args:
        leases: hands them out and takes them back.
        may: whether that may be done at this moment: nobody else can be the owner.
        changed: to be told after anything that may have made room, events ready, or progress to commit.
        counted: to be told how many events became what.
    """

    leases: Leases[Consumed]
    may: Callable[[], bool]
    changed: Callable[[], None]
    counted: Callable[[str, int], None]


class Push(Protocol):
    """What sends the events of a shard to a receiver; ``webhooks.dispatcher.Dispatcher`` is one."""

    @property
    def trouble(self) -> str | None:
        """Code of what keeps everything from being sent, None while there is nothing."""
        ...

    def look(self) -> None:
        """Something may be ready now, or have changed."""
        ...

    def update(self, subscription: Subscription) -> None:
        """Take in what changed of the subscription without another state."""
        ...

    def status(self) -> EndpointStatus:
        """How the endpoint is."""
        ...

    def attempts(self, limit: int) -> list[bytes]:
        """The latest attempts as JSON objects, the latest first."""
        ...

    async def close(self) -> None:
        """Begin nothing more and wait a moment for what is under way."""
        ...

    def drop(self) -> None:
        """Begin nothing more, and forget what is under way."""
        ...
