"""What requests for events, and about events, are answered with."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from eventbus_gateway.api.http import Request
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.subscriptions.calls import Ask, Settling, ShardStatus
from eventbus_gateway.subscriptions.gathering import Gathering
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.resource import Subscription

FindOwn = Callable[[Request], Awaitable[Subscription]]
"""The caller's own subscription of the name in the path.

Raises:
    UnknownSubscription: the caller has none of this name.
    Forbidden: the caller may not read its topics any more.
    GatewayError: nobody can tell.
"""


class Shards(Protocol):
    """The shards of subscriptions, wherever they are; see ``subscriptions.routing.Routing``."""

    def gathering(self, subscription: Subscription, ask: Ask) -> Gathering: ...

    async def settle(self, subscription: Subscription, settling: Settling) -> list[Outcome | GatewayError]: ...

    async def status(self, subscription: Subscription) -> list[ShardStatus | GatewayError]: ...
