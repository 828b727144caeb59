"""``POST /v1/subscriptions/{name}/receive``: lease events."""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.ended import ended
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.lease_bodies import receive_body
from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.errors import GatewayError, Overloaded
from eventbus_gateway.subscriptions.calls import Ask, Settling, ShardStatus
from eventbus_gateway.subscriptions.gathering import Gathering
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

_DEFAULT_EVENTS = 100

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


class Receive:
    """Leases events to callers, who may wait for the first one.

    Args:
        own: finds the caller's subscription.
        shards: where events come from.
        settings: bounds.
        drain: the end of the process; waits end with it.
    """

    def __init__(self, own: FindOwn, shards: Shards, settings: SubscriptionSettings, drain: Drain) -> None:
        self._own = own
        self._shards = shards
        self._settings = settings
        self._drain = drain
        self._by_owner: Counter[str] = Counter()
        self.polls = 0
        """Receives under way."""

    async def __call__(self, request: Request) -> Answer:
        """The answer to a receive.

        Raises:
            GatewayError: see ``receive_body``, ``FindOwn`` and ``Gathering.waited``.
        """
        asked = receive_body(request, self._settings)
        subscription = await self._own(request)
        most = asked.max_events or min(_DEFAULT_EVENTS, self._settings.max_receive_events)
        ask = Ask(most, self._settings.max_receive_bytes, asked.lease_seconds)
        with self._counted(subscription.owner, request.account):
            # What is there needs nobody who watches whether the caller still waits, which costs two tasks.
            gathering = self._shards.gathering(subscription, ask)
            events = [] if self._drain.begun else await gathering.at_hand()
            if not events:
                async with ended(self._drain, request.gone) as end:
                    events = await gathering.waited(asked.wait_seconds, end)
                # What was leased to a caller that is none any more comes again when its lease ends.
                await request.recheck()
        return Answer(200, b'{"events":[%s]}' % b",".join(events))

    @contextlib.contextmanager
    def _counted(self, owner: str, account: Account | None) -> Iterator[None]:
        settings = self._settings
        if self.polls >= settings.max_concurrent_polls:
            raise Overloaded("Too many receives are under way.", retry_after=1.0)
        if self._by_owner[owner] >= settings.max_concurrent_polls_per_owner:
            raise Overloaded("Too many receives of this principal are under way.", retry_after=1.0)
        if account is not None:
            account.begin_poll()
        self.polls += 1
        self._by_owner[owner] += 1
        try:
            yield
        finally:
            if account is not None:
                account.end_poll()
            self.polls -= 1
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]
