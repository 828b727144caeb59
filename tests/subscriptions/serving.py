"""Shards with everything below them, on a real broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.broker.process import create_topic
from tests.kafka.support import PATIENCE

from eventbus_gateway.errors import NotOwner, UnknownTopic
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.feeds import Feeds
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.reading_thread import reading_threads
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.calls import Ask, Settling, Verb
from eventbus_gateway.subscriptions.codecs import Codec
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.means import Means
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import Subscription, created
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.shard import Shard
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.tokens import Reference, parse


class NoCodecs:
    """Codecs of topics that need none."""

    def ready(self, schema_id: SchemaId) -> Codec | None:
        raise AssertionError(schema_id)

    async def load(self, schema_id: SchemaId) -> Codec:
        raise AssertionError(schema_id)


class Ground:
    """What shards stand on, and what became of their events."""

    def __init__(self, means: Means, positions: Positions) -> None:
        self.means = means
        self.positions = positions
        self.counts: dict[str, int] = {}
        self.is_owner = True
        self.reopened = 0

    def shard(self, subscription: Subscription, number: int = 0) -> Shard:
        return Shard(subscription, number, self.means, lambda: self.is_owner, self._reopen)

    def _reopen(self) -> None:
        self.reopened += 1

    async def committed(self, subscription: Subscription, *places: Partition) -> Mapping[Partition, Any]:
        return await self.positions.committed(subscription.group("eventbus"), places)

    async def ends(self, *places: Partition) -> Mapping[Partition, Any]:
        return await self.positions.ends(places)


@asynccontextmanager
async def ground(
    bootstrap: str, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> AsyncIterator[Ground]:
    """What shards work with; everything is closed at the end of the block."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=1, reconnect_backoff_max_seconds=0.2)
    consume = ConsumeSettings(retry_seconds=0.1, positions_timeout_seconds=5, fetch_wait_ms=50)
    administration = Administration(kafka)
    await administration.start()
    positions = Positions(administration, kafka, consume)
    feeds = Feeds(reading_threads(kafka, consume), positions.ends, consume)
    producer = KafkaProducer(kafka)
    await producer.start()
    counts: dict[str, int] = {}

    def count(_: str, what: str, number: int) -> None:
        counts[what] = counts.get(what, 0) + number

    async def partitions_of(topic: str) -> int:
        topics = await producer.topics()
        if topic not in topics:
            raise UnknownTopic
        return topics[topic]

    async def create(topic: str) -> None:
        await asyncio.to_thread(create_topic, AdminClient({"bootstrap.servers": bootstrap}), NewTopic(topic, 1, 1))

    outgoings: dict[str, Outgoing] = {}

    def outgoing_of(topic: str) -> Outgoing:
        form = Form(topic, False, False, "/test", "test", NoCodecs())
        return outgoings.setdefault(topic, Outgoing(form))

    wanted = SubscriptionSettings.model_validate({"commit_interval_seconds": 0.05, **settings})
    means = Means(feeds, positions, producer, outgoing_of, partitions_of, create, count, wanted, clock=clock)
    made = Ground(means, positions)
    made.counts = counts
    try:
        yield made
    finally:
        await feeds.close()
        await administration.close()
        await producer.drain(5)


def subscription(*topics: str, name: str = "care", **spec: Any) -> Subscription:
    """A subscription that begins at the earliest event, since its group has committed nothing."""
    return created("team", name, Spec.model_validate({"topics": topics, **spec}), int(time.time() * 1000))


def publish(bootstrap: str, topic: str, values: Sequence[Any], *, partition: int = 0, key: str | None = None) -> None:
    """Store JSON events and wait until they are stored."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, orjson.dumps(value), key, partition=partition)
    assert producer.flush(PATIENCE) == 0


async def received(shard: Shard, count: int, lease_seconds: float | None = 60.0) -> list[dict[str, Any]]:
    """So many events, however many receives that takes."""
    events: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while len(events) < count:
        assert time.monotonic() < deadline, f"{len(events)} of {count} events"
        if await shard.ready(0.5):
            ask = Ask(count - len(events), 1_000_000, lease_seconds)
            events += [orjson.loads(event) for event in (await shard.receive(ask)).events]
    return events


def references(events: Sequence[Mapping[str, Any]]) -> list[Reference]:
    """What the tokens of events stand for."""
    found = [parse(event["ackToken"]) for event in events]
    return [reference for reference in found if reference is not None]


async def acked(shard: Shard, events: Sequence[Mapping[str, Any]]) -> None:
    """Ack events, each of which must be ours."""
    outcomes = await shard.settle(Settling(Verb.ACK, references(events)))
    assert outcomes == [Outcome.OK] * len(events)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds; it may be a coroutine function."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def opened(shard: Shard) -> Shard:
    """A shard that reads."""
    await shard.open()
    return shard


async def is_refused(shard: Shard) -> bool:
    """Whether the shard says that it is not served here."""
    try:
        await shard.receive(Ask(1, 1, 1.0))
    except NotOwner:
        return True
    return False
