"""Replicas that serve shards with everything in memory, behind the internal port that real ones have."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from pydantic import SecretStr
from tests.leaks import marked

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.asgi import AsgiAdapter
from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.peers import PEER_BODIES, PeerRoutes
from eventbus_gateway.api.routes import Router
from eventbus_gateway.api.server import Server, address_of, listen
from eventbus_gateway.api.settings import HttpSettings
from eventbus_gateway.api.table import internal_routes
from eventbus_gateway.auth.chain import Anonymous
from eventbus_gateway.auth.policy import Policy
from eventbus_gateway.errors import GatewayError, NotOwner
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, PartitionStatus, Settling, ShardCalls, ShardStatus
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.leases import Counts
from eventbus_gateway.subscriptions.peers import Peers
from eventbus_gateway.subscriptions.references import References, tokens_of
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.tokens import Reference, parse, token_of
from eventbus_gateway.telemetry import Metrics

SECRET = SecretStr(marked("a secret of replicas that only tests use", "the peer secret"))
OTHER_SECRET = SecretStr("a secret of replicas that nobody else has")
PATIENCE = 30.0
"""Seconds that a test waits for what must happen."""
STATUS = ShardStatus(
    Counts(1, 2, 3, 4, 5),
    (
        PartitionStatus("appointments", 0, 17, 12, 5, 1_700_000_000_000, 3, 9, "kafka_unavailable"),
        PartitionStatus("visits", 2, 0, 0, 0, None),
    ),
    "positions_unavailable",
    EndpointStatus("open", 3, 12.5, 1_700_000_060_000, 503, None, 1_700_000_000_000),
)


class Shelf:
    """A shard whose events somebody puts there; it remembers what was asked of it.

    Args:
        events: what is ready.
    """

    def __init__(self, *events: bytes) -> None:
        self.events = list(events)
        self.asked: list[Ask] = []
        self.settled: list[Settling] = []
        self.tried: list[bytes] = []
        self.raw: list[bytes] = []
        """What it hands out in place of events."""
        self.outcomes: dict[Reference, Outcome] = {}
        self.waiting = 0
        self.is_owned = True
        self.trouble: GatewayError | None = None
        self._changed = asyncio.Event()

    def put(self, *events: bytes) -> None:
        """Have more events ready."""
        self.events += events
        self._tell()

    def disown(self) -> None:
        """Serve it no more."""
        self.is_owned = False
        self._tell()

    async def until_waiting(self, number: int) -> None:
        """Wait until so many wait for it."""
        async with asyncio.timeout(PATIENCE):
            while self.waiting != number:
                await self._changed.wait()

    async def receive(self, ask: Ask) -> HandedOut:
        self._check()
        self.asked.append(ask)
        if self.raw:
            return HandedOut(self.raw, [])
        taken: list[bytes] = []
        size = 0
        while self.events and len(taken) < ask.max_events and size < ask.max_bytes:
            taken.append(self.events.pop(0))
            size += len(taken[-1])
        return HandedOut(taken, tokens_of(References.of(references_in(taken))))

    async def ready(self, seconds: float) -> bool:
        self.waiting += 1
        self._tell()
        try:
            async with asyncio.timeout(seconds):
                while self._check() and not self.events:
                    await self._changed.wait()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
            self._tell()
        return True

    async def settle(self, settling: Settling) -> list[Outcome]:
        self._check()
        self.settled.append(settling)
        return [self.outcomes.get(Reference(*reference), Outcome.OK) for reference in settling.references]

    async def status(self) -> ShardStatus:
        self._check()
        return STATUS

    async def attempts(self, limit: int) -> list[bytes]:
        self._check()
        return self.tried[:limit]

    def _check(self) -> bool:
        if not self.is_owned:
            raise NotOwner
        if self.trouble is not None:
            raise self.trouble
        return True

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Shelves:
    """The shards that one process serves.

    Args:
        shelves: by id of the subscription and number.
    """

    def __init__(self, shelves: dict[tuple[str, int], Shelf] | None = None) -> None:
        self.shelves = shelves if shelves is not None else {}

    def find(self, subscription_id: str, shard: int) -> ShardCalls | None:
        return self.shelves.get((subscription_id, shard))


class Replica:
    """The internal port of one process.

    Args:
        shelves: what it serves.
        secret: what replicas have in common.
        max_requests: of other replicas at the same time.
    """

    def __init__(self, shelves: Shelves, secret: SecretStr | None = SECRET, max_requests: int = 100) -> None:
        self.shelves = shelves
        self.drain = Drain()
        self.routes = PeerRoutes(shelves, secret, self.drain, max_wait_seconds=60.0, max_requests=max_requests)
        metrics, http, ids = Metrics(), HttpSettings(), IdSource()
        probes = internal_routes(Internal(metrics, lambda: "ready"))
        gateway = Gateway(Router([*probes, *self.routes.routes()]), Anonymous(), Policy(None), metrics)
        admission = Admission(http.max_in_flight_requests, http.max_in_flight_bytes)
        self.edge = Edge(gateway, admission, http, PEER_BODIES, ids)
        adapter = AsgiAdapter(gateway, admission, PEER_BODIES, ids)
        self._listener = listen("127.0.0.1", 0)
        self.server = Server(adapter, self.edge, self._listener, drain_seconds=10)
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where others reach it."""
        return "{}:{}".format(*address_of(self._listener))

    async def start(self) -> None:
        self.edge.start()
        self._serving = await self.server.start()

    async def stop(self) -> None:
        """End as a process does at SIGTERM; again does nothing."""
        if self._serving is None:
            return
        self.drain.begin()
        self.server.should_exit = True
        await self._serving
        self.edge.stop()
        self._serving = None


@contextlib.asynccontextmanager
async def replica(shelves: Shelves | None = None, **options: Any) -> AsyncIterator[Replica]:
    """A replica while the context is open; takes what :class:`Replica` takes."""
    one = Replica(shelves if shelves is not None else Shelves(), **options)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


@contextlib.asynccontextmanager
async def connections(**settings: Any) -> AsyncIterator[Peers]:
    """A process's connections to others while the context is open."""
    peers = Peers(SubscriptionSettings(**{"peer_secret": SECRET, **settings}))
    await peers.start()
    try:
        yield peers
    finally:
        await peers.close()


def event(number: int, data: bytes = b"{}") -> bytes:
    """An event as shards hand it out."""
    token = token_of(Reference(0, 7, 0, 0, number, 1)).encode()
    return b'{"offset":%d,"data":%b,"ackToken":"%b","deliveryCount":1}' % (number, data, token)


def references_in(events: Sequence[bytes]) -> list[Reference]:
    """What the own tokens of events stand for."""
    found = [parse(orjson.loads(each)["ackToken"]) for each in events]
    return [reference for reference in found if reference is not None]


def references(shards: Sequence[int]) -> list[Reference]:
    """References to different events, of these shards."""
    return [Reference(shard, 2**64 - 1 - place, 0, shard, place, 1 + place % 3) for place, shard in enumerate(shards)]
