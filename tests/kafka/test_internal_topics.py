"""Topics that the gateway needs: created where it may, named where it may not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic
from tests.broker import Broker, free_port
from tests.kafka.support import PATIENCE

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.internal_topics import (
    COMPACTED,
    Finding,
    InternalTopics,
    PresentTopic,
    WantedTopic,
    compared,
    create_commands,
)
from eventbus_gateway.kafka.settings import KafkaSettings

TABLE = WantedTopic("_t.table", 1, None, COMPACTED)
SLOTS = WantedTopic("_t.slots", 64, 3, {"cleanup.policy": "delete"})


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        (PresentTopic(1, "compact"), None),
        (PresentTopic(1, None), None),
        (None, "The topic _t.table does not exist, or the gateway may not see it."),
        (PresentTopic(2, "compact"), "The topic _t.table has 2 partitions and must have 1."),
        (PresentTopic(1, "delete"), "The topic _t.table has cleanup.policy delete and must have compact."),
        (
            PresentTopic(1, "compact,delete"),
            "The topic _t.table has cleanup.policy compact,delete and must have compact.",
        ),
    ],
)
def test_what_is_wrong_with_a_topic_is_a_sentence(present: PresentTopic | None, sentence: str | None) -> None:
    expected = None if sentence is None else Finding(TABLE.name, sentence, present is None)
    assert compared(TABLE, present) == expected


def test_a_topic_without_a_policy_of_its_own_may_have_any() -> None:
    assert compared(WantedTopic("t", 2), PresentTopic(2, "compact")) is None


def test_an_administrator_gets_a_command_for_each_topic() -> None:
    table, slots = create_commands([TABLE, SLOTS], "b1:9092,b2:9092")
    assert table == (
        "kafka-topics.sh --bootstrap-server b1:9092,b2:9092 --create --if-not-exists --topic _t.table --partitions 1 "
        + " ".join(f"--config {name}={value}" for name, value in COMPACTED.items())
    )
    assert slots.endswith("--partitions 64 --replication-factor 3 --config cleanup.policy=delete")


@asynccontextmanager
async def topics(bootstrap: str, seconds: float = 20.0) -> AsyncIterator[InternalTopics]:
    administration = Administration(KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=1.0))
    await administration.start()
    try:
        yield InternalTopics(administration, seconds)
    finally:
        await administration.close()


def test_missing_topics_are_created_as_they_must_be_and_existing_ones_left_alone(broker: Broker) -> None:
    slots = SLOTS._replace(replication_factor=None)

    async def run() -> None:
        async with topics(broker.bootstrap) as one:
            assert [finding.topic for finding in await one.examine([TABLE, slots])] == [TABLE.name, slots.name]
            # Replicas that start together do this at the same time.
            assert await asyncio.gather(*(one.ensure([TABLE, slots]) for _ in range(3))) == [[], [], []]
            assert await one.examine([TABLE, slots]) == []
            assert await one.ensure([TABLE, slots]) == []
            assert await one.ensure([]) == []

    asyncio.run(run())
    metadata = broker.admin.list_topics(timeout=PATIENCE).topics
    assert (len(metadata[TABLE.name].partitions), len(metadata[slots.name].partitions)) == (1, 64)


def test_topics_that_are_not_as_they_must_be_are_reported_and_not_changed(broker: Broker) -> None:
    broker.create_topic("_w.table", 1, config={"cleanup.policy": "delete"})
    broker.create_topic("_w.slots", 4)

    async def run() -> None:
        async with topics(broker.bootstrap) as one:
            wanted = [TABLE._replace(name="_w.table"), SLOTS._replace(name="_w.slots")]
            found = [
                Finding("_w.table", "The topic _w.table has cleanup.policy delete and must have compact.", False),
                Finding("_w.slots", "The topic _w.slots has 4 partitions and must have 64.", False),
            ]
            assert await one.ensure(wanted) == found
            assert await one.examine(wanted) == found

    asyncio.run(run())
    assert len(broker.admin.list_topics(timeout=PATIENCE).topics["_w.slots"].partitions) == 4


@pytest.mark.broker
def test_a_topic_that_cannot_be_created_is_named_with_the_reason_and_the_others_are_created() -> None:
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }

    async def run(broker: Broker) -> None:
        async with topics(broker.bootstrap) as one:
            many = TABLE._replace(name="_many", replication_factor=5)
            (finding,) = await one.ensure([many, TABLE._replace(name="_one")])
            assert finding.topic == "_many"
            assert "too few brokers" in finding.sentence
            await asyncio.to_thread(_deny_creating, broker)
            (finding,) = await one.ensure([TABLE._replace(name="_forbidden"), TABLE._replace(name="_one")])
            assert finding == Finding(
                "_forbidden",
                "The topic _forbidden does not exist, or the gateway may not see it. The gateway may not create it.",
                True,
            )

    with Broker(config) as broker:
        asyncio.run(run(broker))


def _deny_creating(broker: Broker) -> None:
    cluster = (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*")
    topic = (ResourceType.TOPIC, "_forbidden", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*")
    rules = [
        # The broker itself needs the rest, and has no other name here.
        AclBinding(*cluster, AclOperation.ALL, AclPermissionType.ALLOW),
        AclBinding(*cluster, AclOperation.CREATE, AclPermissionType.DENY),
        AclBinding(*topic, AclOperation.CREATE, AclPermissionType.DENY),
    ]
    for answer in broker.admin.create_acls(rules).values():
        answer.result(PATIENCE)
    # The rules are stored by now, and count a moment later.
    deadline = time.monotonic() + PATIENCE
    while _may_create(broker, "_forbidden"):
        assert time.monotonic() < deadline


def _may_create(broker: Broker, name: str) -> bool:
    asked = broker.admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)
    try:
        asked[name].result(PATIENCE)
    except KafkaException:
        return False
    return True


def test_an_unreachable_kafka_is_told_apart_from_missing_topics() -> None:
    async def run() -> None:
        async with topics(f"127.0.0.1:{free_port()}", 0.5) as one:
            with pytest.raises(KafkaUnavailable):
                await one.ensure([TABLE])

    asyncio.run(run())
