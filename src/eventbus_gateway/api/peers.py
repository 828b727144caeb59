"""What other replicas ask about the shards that this one serves, on the internal port.

A request that came from another replica is answered here or not at all: it is never passed on.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import SecretStr

from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.ended import ended
from eventbus_gateway.api.http import JSON, Answer, Request
from eventbus_gateway.api.routes import Access, Route
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.errors import InvalidParameter, NotOwner, Overloaded, Unauthenticated
from eventbus_gateway.subscriptions import peer_wire
from eventbus_gateway.subscriptions.calls import LocalShards, ShardCalls
from eventbus_gateway.subscriptions.peer_wire import Call, NotUnderstood

T = TypeVar("T")

PEER_BODIES = PublishSettings()
"""Bounds on bodies of the internal port, whatever callers of the public one may send."""

_EVENTS = peer_wire.EVENTS.encode()


class PeerRoutes:
    """Answers other replicas.

    Args:
        local: the shards that this process serves.
        secret: what replicas have in common; None refuses everybody.
        drain: the end of the process; waits end with it.
        max_wait_seconds: longest wait.
        max_requests: requests at the same time; below what the internal port takes, so that probes are answered.
    """

    def __init__(
        self,
        local: LocalShards,
        secret: SecretStr | None,
        drain: Drain,
        *,
        max_wait_seconds: float,
        max_requests: int,
    ) -> None:
        self._local = local
        self._credential = None if secret is None else peer_wire.credential(secret).encode()
        self._drain = drain
        self._max_wait_seconds = max_wait_seconds
        self._max_requests = max_requests
        self.requests = 0
        """Requests of other replicas under way."""

    def routes(self) -> list[Route]:
        """The rows of the route table; who calls is looked at here, since the port itself is open to probes."""
        handlers = {
            Call.RECEIVE: self._receive,
            Call.READY: self._ready,
            Call.SETTLE: self._settle,
            Call.STATUS: self._status,
            Call.ATTEMPTS: self._attempts,
        }
        template = f"{peer_wire.PATH}{{subscription}}/{{shard}}/"
        return [
            Route("POST", template + call.value, Access.OPEN, self._guarded(handler))
            for call, handler in handlers.items()
        ]

    def _guarded(
        self, handler: Callable[[Request, ShardCalls], Awaitable[Answer]]
    ) -> Callable[[Request], Awaitable[Answer]]:
        async def guarded(request: Request) -> Answer:
            self._require_peer(request)
            if self.requests >= self._max_requests:
                raise Overloaded("Too many requests of other replicas are being worked on.", retry_after=1.0)
            self.requests += 1
            try:
                return await handler(request, self._shard(request))
            finally:
                self.requests -= 1

        return guarded

    def _require_peer(self, request: Request) -> None:
        given = request.headers.get(b"authorization", b"")
        if self._credential is None or not hmac.compare_digest(given, self._credential):
            raise Unauthenticated("Only replicas with the same secret are answered here.")

    def _shard(self, request: Request) -> ShardCalls:
        number = request.params["shard"]
        if not (number.isascii() and number.isdigit() and len(number) < 6):
            raise InvalidParameter("The shard is no number.")
        found = self._local.find(request.params["subscription"], int(number))
        if found is None:
            raise NotOwner
        return found

    async def _receive(self, request: Request, shard: ShardCalls) -> Answer:
        ask = _understood(peer_wire.ask_from_bytes, request.body)
        if ask.max_events < 1 or ask.max_bytes < 1:
            raise InvalidParameter("Less than one event, or less than one byte, is asked for.")
        handed_out = await shard.receive(ask)
        return Answer(200, peer_wire.events_to_bytes(handed_out.events), _EVENTS)

    async def _ready(self, request: Request, shard: ShardCalls) -> Answer:
        seconds = min(_understood(peer_wire.seconds_from_bytes, request.body), self._max_wait_seconds)
        if seconds <= 0:
            return _json(peer_wire.readiness_to_bytes(await shard.ready(0.0)))
        async with ended(self._drain, request.gone) as end:
            work = asyncio.ensure_future(shard.ready(seconds))
            either: list[asyncio.Future[Any]] = [work, end]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    return _json(peer_wire.readiness_to_bytes(work.result()))
            finally:
                if not work.done():
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
        # With "no" it would be asked again at once, until its next owner has announced itself.
        raise NotOwner("This replica is about to end.")

    async def _settle(self, request: Request, shard: ShardCalls) -> Answer:
        settling = _understood(peer_wire.settling_from_bytes, request.body)
        return _json(peer_wire.outcomes_to_bytes(await shard.settle(settling)))

    async def _status(self, _: Request, shard: ShardCalls) -> Answer:
        return _json(peer_wire.status_to_bytes(await shard.status()))

    async def _attempts(self, request: Request, shard: ShardCalls) -> Answer:
        limit = _understood(peer_wire.limit_from_bytes, request.body)
        return Answer(200, peer_wire.events_to_bytes(await shard.attempts(limit)), _EVENTS)


def _understood(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except NotUnderstood as error:
        raise InvalidParameter(f"The body is not understood: {error}.") from None


def _json(body: bytes) -> Answer:
    return Answer(200, body, JSON)
