"""Everything that subscriptions need in Kafka, for the length of a block, on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from confluent_kafka import Producer
from tests.kafka.support import PATIENCE
from tests.kafka.tables import replica

from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.cluster import Cluster
from eventbus_gateway.kafka.internal_topics import InternalTopics
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.subscriptions.dead_letter_topics import DeadLetterTopics
from eventbus_gateway.subscriptions.lifecycle import Lifecycle
from eventbus_gateway.subscriptions.places import Places
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.retired import RetiredGroups
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.store import SubscriptionStore
from eventbus_gateway.subscriptions.vault import Vault

NOON = 1_700_000_000.0
"""Seconds since the epoch."""


class Living(NamedTuple):
    """One replica's parts."""

    lifecycle: Lifecycle
    store: SubscriptionStore
    table: Table
    positions: Positions
    places: Places
    topics: InternalTopics
    cluster: Cluster
    sink: KafkaProducer
    retired: RetiredGroups
    settings: SubscriptionSettings

    async def committed(self, subscription: Subscription, *places: Partition) -> dict[Partition, Position]:
        """What the group of a subscription's present state has committed."""
        return await self.places.committed(subscription, places)

    async def commit(self, subscription: Subscription, positions: dict[Partition, Position]) -> None:
        """Commit as the owner of its shards would."""
        await self.places.commit(subscription, positions)


@asynccontextmanager
async def living(
    bootstrap: str,
    table: str,
    *,
    settings: SubscriptionSettings | None = None,
    retire_seconds: float = 600.0,
    now: Callable[[], float] = lambda: NOON,
    vault: Vault | None = None,
) -> AsyncIterator[Living]:
    """A replica without shards.

    Args:
        bootstrap: where Kafka is.
        table: topic of the subscriptions.
        settings: of subscriptions.
        retire_seconds: how long groups are kept that are not used any more.
        now: seconds since the epoch.
        vault: seals secrets.
    """
    settings = settings or SubscriptionSettings()
    kafka = KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=2, reconnect_backoff_max_seconds=0.2)
    administration = Administration(kafka)
    async with replica(bootstrap, table) as own:
        await administration.start()
        positions = Positions(administration, kafka, ConsumeSettings(positions_timeout_seconds=PATIENCE))
        cluster = Cluster(kafka, own.sink)
        places = Places(positions, cluster, settings.group_prefix)
        topics = InternalTopics(administration, PATIENCE)
        retired = RetiredGroups(places, retire_seconds)
        store = SubscriptionStore(own.table, settings, vault)
        lifecycle = Lifecycle(store, places, DeadLetterTopics(topics, settings), retired, now)
        try:
            yield Living(lifecycle, store, own.table, positions, places, topics, cluster, own.sink, retired, settings)
        finally:
            await retired.close()
            await cluster.close()
            await administration.close()


def spec(*topics: str, **fields: Any) -> Spec:
    """What an owner says."""
    return Spec.model_validate({"topics": list(topics), **fields})


def write(bootstrap: str, topic: str, count: int, *, partition: int = 0) -> None:
    """Records with a timestamp a second apart, from noon on."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "enable.idempotence": True})
    for number in range(count):
        producer.produce(topic, b"v", partition=partition, timestamp=int(NOON * 1_000) + 1_000 * number)
    assert producer.flush(PATIENCE) == 0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario to its end."""

    async def go() -> None:
        await scenario()

    asyncio.run(go())
