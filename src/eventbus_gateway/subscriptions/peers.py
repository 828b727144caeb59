"""Asks other replicas about the shards that they serve."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

import aiohttp

from eventbus_gateway.errors import NotOwner, OwnerUnavailable
from eventbus_gateway.subscriptions import peer_wire
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, Settling, ShardCalls, ShardStatus
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.peer_errors import answered_error
from eventbus_gateway.subscriptions.peer_wire import Call, NotUnderstood
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.shared_waits import SharedWaits

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 2.0
_IDLE_SECONDS = 15.0
"""Shorter than a replica keeps an idle connection: a request must not meet its end."""
_AVOID_SECONDS = 1.0
"""A replica that let a call run out of time is not asked again before; callers must not queue up behind it."""
_MAX_AVOIDED = 1_024
_WAIT_SECONDS = 10.0
"""Longest wait at another replica; whoever has more time asks again, so that waits take turns where there are more of
them than connections."""
_FACTOR, _EXTRA_BYTES = 8, 67_108_864
"""The answer to a receive is as large as its events become, which only their owner knows; this is far beyond it."""
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"

T = TypeVar("T")


class Peers:
    """Connections to other replicas.

    All methods belong to the event loop that called ``start()``.

    Args:
        settings: secret, times and bounds.
        clock: seconds that never go back.

    Raises:
        ValueError: there is no secret.
    """

    def __init__(self, settings: SubscriptionSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        if settings.peer_secret is None:
            raise ValueError("replicas need a secret to talk to each other")
        self._settings = settings
        self._clock = clock
        self._headers = {"authorization": peer_wire.credential(settings.peer_secret)}
        self._max_bytes = _FACTOR * settings.max_receive_bytes + _EXTRA_BYTES
        self._avoided: dict[str, float] = {}
        # Apart from each other, so that an ack never queues behind waits.
        self._calls: aiohttp.ClientSession | None = None
        self._waits: aiohttp.ClientSession | None = None
        self._shared = SharedWaits()

    async def start(self) -> None:
        """Be ready to connect; nobody is connected to before there is something to ask."""
        self._calls, self._waits = self._session(), self._session()

    async def close(self) -> None:
        """End all waits and connections."""
        await self._shared.close()
        for session in (self._calls, self._waits):
            if session is not None:
                await session.close()

    def shard(self, address: str, subscription_id: str, shard: int) -> ShardCalls:
        """A shard of another replica.

        Args:
            address: ``host:port`` of its internal port.
            subscription_id: id of the subscription.
            shard: number of the shard.
        """
        return RemoteShard(self, address, subscription_id, shard)

    async def call(self, address: str, path: str, body: bytes, expected: str) -> bytes:
        """Ask something that is answered at once.

        Args:
            address: ``host:port`` of the replica.
            path: what is asked.
            body: its JSON.
            expected: media type of the answer.

        Raises:
            NotOwner: nothing was done: the replica does not serve the shard, or could not be reached at all.
            OwnerUnavailable: there is no answer; it may have been done or not.
            GatewayError: what the replica has answered.
        """
        return await self._post(self._calls, address, path, body, expected, 0.0)

    async def wait(self, address: str, path: str, seconds: float) -> bool:
        """Ask for something to happen; raises as ``call`` does.

        Args:
            address: ``host:port`` of the replica.
            path: what is asked.
            seconds: how long to wait at the most; False may come earlier.
        """

        async def ask() -> bool:
            body = peer_wire.seconds_to_bytes(_WAIT_SECONDS)
            answer = await self._post(self._waits, address, path, body, _JSON, _WAIT_SECONDS)
            return _understood(peer_wire.readiness_from_bytes, answer)

        return await self._shared.join((address, path), min(seconds, _WAIT_SECONDS), ask)

    def _session(self) -> aiohttp.ClientSession:
        limit = self._settings.max_peer_connections
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=limit, keepalive_timeout=_IDLE_SECONDS)
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def _post(
        self,
        session: aiohttp.ClientSession | None,
        address: str,
        path: str,
        body: bytes,
        expected: str,
        seconds: float,
    ) -> bytes:
        if session is None:
            raise NotOwner("This replica does not ask others yet.")
        self._require_sound(address)
        patience = self._settings.peer_timeout_seconds
        timeout = aiohttp.ClientTimeout(
            total=2 * patience + seconds,
            connect=patience + seconds,
            sock_connect=min(patience, _CONNECT_SECONDS),
            sock_read=patience + seconds,
        )
        try:
            async with session.post(
                f"http://{address}{path}",
                data=body,
                headers={"content-type": _JSON},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return await self._content(response, expected)
        except aiohttp.ConnectionTimeoutError:
            # Waits may only have waited for their turn.
            if session is self._calls:
                self._avoid(address)
            raise _unreached() from None
        except aiohttp.ClientConnectorError:
            raise _unreached() from None
        except TimeoutError:
            self._avoid(address)
            raise _unanswered() from None
        except (aiohttp.ClientError, OSError):
            raise _unanswered() from None

    async def _content(self, response: aiohttp.ClientResponse, expected: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_bytes:
                logger.error("an answer of another replica is larger than %d bytes", self._max_bytes)
                raise _unanswered()
            chunks.append(chunk)
        body = b"".join(chunks)
        if response.content_type == _PROBLEM:
            raise answered_error(body, response.headers.get("retry-after"))
        if response.content_type != expected:
            logger.error("an answer of another replica has the media type %.100s", response.content_type)
            raise _unanswered()
        return body

    def _require_sound(self, address: str) -> None:
        until = self._avoided.get(address)
        if until is None:
            return
        if self._clock() < until:
            raise NotOwner("The replica that serves a part of the subscription does not answer.")
        del self._avoided[address]

    def _avoid(self, address: str) -> None:
        if len(self._avoided) >= _MAX_AVOIDED:
            self._avoided.clear()
        self._avoided[address] = self._clock() + _AVOID_SECONDS


class RemoteShard:
    """A shard of another replica; see ``ShardCalls``.

    ``NotOwner`` comes also from a replica that cannot be reached at all: nothing was done there either. After
    ``OwnerUnavailable`` it is open whether something was; what a lost answer has leased comes back after its lease.

    Args:
        peers: connections.
        address: ``host:port`` of the replica.
        subscription_id: id of the subscription.
        shard: number of the shard.
    """

    def __init__(self, peers: Peers, address: str, subscription_id: str, shard: int) -> None:
        self._peers = peers
        self._address = address
        self._paths = {call: peer_wire.path(subscription_id, shard, call) for call in Call}

    async def receive(self, ask: Ask) -> HandedOut:
        """See ``ShardCalls``."""
        body = await self._call(Call.RECEIVE, peer_wire.ask_to_bytes(ask), peer_wire.EVENTS)
        return _understood(peer_wire.handed_out_from_bytes, body)

    async def ready(self, seconds: float) -> bool:
        """See ``ShardCalls``; False may come earlier."""
        if seconds > 0:
            return await self._peers.wait(self._address, self._paths[Call.READY], seconds)
        body = await self._call(Call.READY, peer_wire.seconds_to_bytes(0.0))
        return _understood(peer_wire.readiness_from_bytes, body)

    async def settle(self, settling: Settling) -> list[Outcome]:
        """See ``ShardCalls``."""
        body = await self._call(Call.SETTLE, peer_wire.settling_to_bytes(settling))
        return _understood(lambda answer: peer_wire.outcomes_from_bytes(answer, len(settling.references)), body)

    async def status(self) -> ShardStatus:
        """See ``ShardCalls``."""
        return _understood(peer_wire.status_from_bytes, await self._call(Call.STATUS, b"{}"))

    async def attempts(self, limit: int) -> list[bytes]:
        """See ``ShardCalls``."""
        body = await self._call(Call.ATTEMPTS, peer_wire.limit_to_bytes(limit), peer_wire.EVENTS)
        return _understood(peer_wire.events_from_bytes, body)

    async def _call(self, call: Call, body: bytes, expected: str = _JSON) -> bytes:
        return await self._peers.call(self._address, self._paths[call], body, expected)


def _understood(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except NotUnderstood as error:
        logger.error("an answer of another replica is not understood: %s", error)  # noqa: TRY400 - the text says it all
        raise _unanswered() from None


def _unreached() -> NotOwner:
    return NotOwner("The replica that serves a part of the subscription takes no connection.")


def _unanswered() -> OwnerUnavailable:
    return OwnerUnavailable("The replica that serves a part of the subscription does not answer.", retry_after=1.0)
