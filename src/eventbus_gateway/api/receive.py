"""``POST /v1/subscriptions/{name}/receive``: be done with events, and lease others."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson

from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.ended import ended
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.lease_bodies import receive_body
from eventbus_gateway.api.leasing import FindOwn, Shards
from eventbus_gateway.api.settle import settle, told
from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.errors import Overloaded
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, Settling, Verb
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

_DEFAULT_EVENTS = 100


class Receive:
    """Leases events to callers, who may ack those that they had before and wait for the first new one.

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
            GatewayError: see ``receive_body``, ``FindOwn``, ``settle`` and ``Gathering.waited``.
        """
        asked = receive_body(request, self._settings)
        subscription = await self._own(request)
        most = asked.max_events or min(_DEFAULT_EVENTS, self._settings.max_receive_events)
        ask = Ask(most, self._settings.max_receive_bytes, asked.lease_seconds)
        with self._counted(subscription.owner, request.account):
            # Before anything is leased: what waits behind these events of its key can come at once.
            acked = b"" if asked.ack_tokens is None else await self._acked(subscription, asked.ack_tokens)
            wait_seconds = asked.wait_seconds
            del asked  # its tokens, while it waits
            # What is there needs nobody who watches whether the caller still waits.
            gathering = self._shards.gathering(subscription, ask)
            found = HandedOut([], []) if self._drain.begun else await gathering.at_hand()
            if not found.events:
                async with ended(self._drain, request.gone) as end:
                    found = await gathering.waited(wait_seconds, end)
                # What was leased to a caller that is none any more comes again when its lease ends.
                await request.recheck()
        head = b'{%b"ackTokens":%b,"events":[' % (acked, orjson.dumps(found.ack_tokens))
        return Answer(200, _listed(head, found.events, b"]}"))

    async def _acked(self, subscription: Subscription, tokens: Sequence[str]) -> bytes:
        """What became of the acks, as a member of the answer."""
        most = self._settings.max_receive_events
        settled = await settle(self._shards, subscription, tokens, Settling(Verb.ACK, ()), most)
        return b'"acked":%b,' % told(settled)

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


def _listed(head: bytes, events: list[bytes], tail: bytes) -> bytes:
    """Events between commas, copied once: an answer has a hundred kilobytes, for which copies ask for memory anew."""
    if len(events) > 1:
        return b",".join([head + events[0], *events[1:-1], events[-1] + tail])
    return b"".join((head, *events, tail))
