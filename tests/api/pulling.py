"""Subscriptions with everything in memory, whose clock moves when it is told to, and requests to them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx2
import orjson
from tests.serving import Served

from eventbus_gateway.api.http import Request
from eventbus_gateway.api.receive import Receive
from eventbus_gateway.api.routes import Route
from eventbus_gateway.api.settle import Settle
from eventbus_gateway.api.subscription_status import Status
from eventbus_gateway.api.table import lease_routes
from eventbus_gateway.errors import GatewayError, NotOwner, UnknownSubscription, UnknownTopic
from eventbus_gateway.kafka.partitions import Ends, Partition, Position
from eventbus_gateway.subscriptions.calls import (
    Ask,
    HandedOut,
    PartitionStatus,
    Settling,
    ShardCalls,
    ShardStatus,
    Verb,
)
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.leased import Outcome, each_leased, references_to
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.references import tokens_of
from eventbus_gateway.subscriptions.resource import Subscription, created, with_pause
from eventbus_gateway.subscriptions.routing import Routing
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds

PATH = "/v1/subscriptions/{}/{}"
NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


class MemoryShard:
    """A shard that leases what tests put into it.

    Args:
        number: which one.
        topics: names of its topics.
        partitions: its partitions of each.
        desk: whose clock it goes by.
        acquisition: what tells its tokens from those of other states.
    """

    def __init__(
        self, number: int, topics: Sequence[str], partitions: Sequence[int], desk: "Desk", acquisition: int
    ) -> None:
        self.supply: Supply[Any] = Supply(number, acquisition, topics, Bounds(10_000, 10**9))
        self.leases: Leases[Any] = Leases(self.supply, 3)
        self.asked: list[Ask] = []
        self.settled: list[Settling] = []
        self.tried: list[bytes] = []
        self.endpoint: EndpointStatus | None = None
        self.trouble: GatewayError | None = None
        self.told: dict[Partition, dict[str, Any]] = {}
        self.waiting = 0
        self._desk = desk
        self._changed = asyncio.Event()
        for topic in topics:
            for partition in partitions:
                self.supply.add(topic, partition, 0, "")

    def put(self, topic: str, partition: int, data: Sequence[Any]) -> None:
        """Have events ready."""
        start = self.supply.position(topic, partition)
        events = [Event(start + at, NOW + at, None, len(orjson.dumps(each)), each) for at, each in enumerate(data)]
        self.supply.offer(topic, partition, events, start, start + len(events))
        self._changed.set()

    async def receive(self, ask: Ask) -> HandedOut:
        self._check()
        self.asked.append(ask)
        if self._desk.subscription.control.paused:
            return HandedOut([], [])
        seconds = ask.lease_seconds or 30.0
        hand_outs = self.leases.hand_out(self._desk.now, ask.max_events, seconds, ask.max_bytes)
        if self._desk.gate is not None:
            await self._desk.gate.wait()
        events = [
            orjson.dumps(
                {
                    "id": f"{each.origin.topic}/{each.origin.partition}/{each.event.offset}",
                    "data": each.event.payload,
                    "ackToken": each.token,
                    "deliveryCount": each.delivery_count,
                }
            )
            for each in each_leased(hand_outs)
        ]
        return HandedOut(events, tokens_of(references_to(hand_outs, len(events))))

    async def ready(self, seconds: float) -> bool:
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self._check() and not self._has_ready():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
        return True

    def wake(self) -> None:
        """Have who waits look again."""
        self._changed.set()

    async def settle(self, settling: Settling) -> list[Outcome]:
        self._check()
        self.settled.append(settling)
        verb, references, seconds, reason = settling
        now = self._desk.now
        self.leases.advance(now)
        if verb is Verb.ACK:
            return self.leases.ack(references)
        if verb is Verb.RELEASE:
            outcomes = self.leases.release(now, references, seconds)
            self._changed.set()
            return outcomes
        if verb is Verb.EXTEND:
            return self.leases.extend(now, references, seconds)
        return self.leases.reject(references, reason)

    async def status(self) -> ShardStatus:
        self._check()
        partitions = [
            PartitionStatus(*progress, **self.told.get((progress.topic, progress.partition), {}))
            for progress in self.supply.progress()
        ]
        return ShardStatus(self.leases.counts(), tuple(partitions), None, self.endpoint)

    async def attempts(self, limit: int) -> list[bytes]:
        self._check()
        return self.tried[:limit]

    def _has_ready(self) -> bool:
        self.leases.advance(self._desk.now)
        return self.supply.has_ready() and not self._desk.subscription.control.paused

    def _check(self) -> bool:
        if self.trouble is not None:
            raise self.trouble
        return True


class _Nobody:
    """No other replica."""

    def __init__(self) -> None:
        self._never = asyncio.Event()

    def address_of(self, slot: int) -> str | None:
        return None

    def is_own(self, address: str) -> bool:
        return False

    async def wait_change(self) -> None:
        await self._never.wait()

    def shard(self, address: str, subscription_id: str, shard: int) -> ShardCalls:
        raise NotOwner


class Desk:
    """The subscription ``s`` of one owner, and the routes to it.

    Args:
        owner: name of its principal.
        settings: bounds.
    """

    def __init__(self, owner: str = "anonymous", **settings: Any) -> None:
        self.settings = SubscriptionSettings(**{"max_wait_seconds": 60.0, **settings})
        self.owner = owner
        self.gateway: Served
        self.receive: Receive
        self.reset()

    def reset(self, parallelism: int = 1) -> None:
        """Begin anew, with two topics of which each has four partitions."""
        self.now = 1_000.0
        self.gate: asyncio.Event | None = None
        """Nothing is given before it is open, after it was leased."""
        spec = Spec(topics=("a", "b"), parallelism=parallelism)
        self.subscription: Subscription = created(self.owner, "s", spec, NOW)
        self.shards: dict[int, MemoryShard] = {}
        self.ends: dict[Partition, int | GatewayError] = {}
        self.ends_refusal: GatewayError | None = None
        self.committed: dict[Partition, Position | GatewayError] = {}
        self.committed_refusal: GatewayError | None = None
        self.partitions: dict[str, int | GatewayError] = {"a": 4, "b": 4}
        self.groups: list[str] = []
        for number in range(parallelism):
            self.serve(number)

    def serve(self, number: int, acquisition: int = 7) -> MemoryShard:
        """Open a state of a shard; tokens of the former one are void."""
        parallelism = self.subscription.spec.parallelism
        partitions = range(number, 4, parallelism)
        shard = MemoryShard(number, ("a", "b"), partitions, self, acquisition + number)
        self.shards[number] = shard
        return shard

    def pause(self, paused: bool = True) -> None:
        """Pause or resume; who waits is told."""
        self.subscription = with_pause(self.subscription, paused, NOW)
        for shard in self.shards.values():
            shard.wake()

    @property
    def shard(self) -> MemoryShard:
        """The first one."""
        return self.shards[0]

    def waiting(self) -> int:
        """How many wait for an event, counted once per shard."""
        return sum(shard.waiting for shard in self.shards.values())

    def put(self, *data: Any, topic: str = "a", partition: int = 0) -> None:
        """Have events ready."""
        shard = self.shards[partition % self.subscription.spec.parallelism]
        self.gateway.call(lambda: shard.put(topic, partition, data))

    def find(self, subscription_id: str, shard: int) -> ShardCalls | None:
        """See ``LocalShards``."""
        return self.shards.get(shard) if subscription_id == self.subscription.id else None

    def routes(self, gateway: Served) -> Sequence[Route]:
        """The routes, for ``Served``."""
        self.gateway = gateway
        nobody = _Nobody()
        routing = Routing(self, nobody, nobody, 8, patience_seconds=0.2)
        self.receive = Receive(self._own, routing, self.settings, gateway.drain)
        settle = Settle(self._own, routing, self.settings)
        status = Status(self._own, routing, self._ends, self._committed, self._count, "eventbus")
        return lease_routes(self.receive, settle, status)

    async def _own(self, request: Request) -> Subscription:
        if (request.principal.name, request.params["name"]) != (self.owner, "s"):
            raise UnknownSubscription
        return self.subscription

    async def _ends(self, partitions: Collection[Partition]) -> Mapping[Partition, Ends | GatewayError]:
        if self.ends_refusal is not None:
            raise self.ends_refusal
        found = {place: self.ends.get(place, 0) for place in partitions}
        return {place: end if isinstance(end, GatewayError) else Ends(0, end) for place, end in found.items()}

    async def _committed(
        self, group: str, partitions: Collection[Partition]
    ) -> Mapping[Partition, Position | GatewayError]:
        self.groups.append(group)
        if self.committed_refusal is not None:
            raise self.committed_refusal
        return {place: position for place, position in self.committed.items() if place in partitions}

    async def _count(self, topic: str) -> int:
        found = self.partitions.get(topic, UnknownTopic())
        if isinstance(found, GatewayError):
            raise found
        return found


def ask(gateway: Served, verb: str, body: Any = None, name: str = "s", **options: Any) -> httpx2.Response:
    """A request to a subscription; without a body there is none."""
    return gateway.client.post(PATH.format(name, verb), **({"json": body} if body is not None else {}), **options)


def received(gateway: Served, **body: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The events that are given, and what stands for all of them."""
    answer = ask(gateway, "receive", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"ackTokens", "events"}
    assert bool(document["ackTokens"]) == bool(document["events"])
    return document["events"], document["ackTokens"]


def receive(gateway: Served, **body: Any) -> list[dict[str, Any]]:
    """The events that are given."""
    events, _ = received(gateway, **body)
    return events


def tokens(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands for the events."""
    return [event["ackToken"] for event in events]


def settle(gateway: Served, verb: str, ack_tokens: Sequence[str], events: int | None = None, **body: Any) -> Any:
    """What became of tokens, where not all of them failed; without a number of events they stand for one each."""
    answer = ask(gateway, verb, {"ackTokens": list(ack_tokens), **body})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document.keys() == {"succeeded", "failed"}
    assert document["succeeded"] + len(document["failed"]) == (len(ack_tokens) if events is None else events)
    return document
