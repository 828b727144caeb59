"""Positions of groups without members, on a real broker and on the embedded Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, ElectionType, Producer, TopicPartition
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from tests.broker import Broker, BrokerCluster
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE

from eventbus_gateway.errors import (
    GatewayError,
    InternalError,
    KafkaUnavailable,
    PositionsUnavailable,
    TopicUnreadable,
    UnknownTopic,
)
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.embedded_positions import EmbeddedPositions
from eventbus_gateway.kafka.partitions import Ends, Position
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings

NOON = 1_700_000_000_000
"""Milliseconds since the epoch."""


@asynccontextmanager
async def positions(bootstrap: str, *, embedded: bool = False, seconds: float = 30) -> AsyncIterator[Positions]:
    kafka = KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=2, reconnect_backoff_max_seconds=0.2)
    consume = ConsumeSettings(positions_timeout_seconds=seconds)
    administration = Administration(kafka)
    await administration.start()
    try:
        yield (EmbeddedPositions if embedded else Positions)(administration, kafka, consume)
    finally:
        await administration.close()


class Place:
    """A Kafka of either kind."""

    def __init__(self, bootstrap: str, create: Callable[[int], str], *, embedded: bool) -> None:
        self.bootstrap = bootstrap
        self.create = create
        self.embedded = embedded

    def run(self, scenario: Callable[[Positions], Awaitable[None]]) -> None:
        async def go() -> None:
            async with positions(self.bootstrap, embedded=self.embedded) as own:
                await scenario(own)

        asyncio.run(go())


@pytest.fixture(
    params=[pytest.param("broker", marks=pytest.mark.broker), "embedded"],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "broker":
        broker, topic = request.getfixturevalue("broker"), request.getfixturevalue("topic")
        yield Place(broker.bootstrap, topic, embedded=False)
        return
    with EmbeddedKafka({}) as kafka:
        names = iter(f"t{number}" for number in range(100))

        def create(partitions: int) -> str:
            name = next(names)
            kafka.create_topic(name, partitions)
            return name

        yield Place(kafka.bootstrap, create, embedded=True)


def write(bootstrap: str, topic: str, count: int, *, partition: int = 0, first: int = NOON) -> None:
    """Records with a timestamp a second apart."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "enable.idempotence": True})
    for number in range(count):
        producer.produce(topic, b"v", partition=partition, timestamp=first + 1_000 * number)
    assert producer.flush(PATIENCE) == 0


def test_what_is_committed_comes_back_with_its_metadata(place: Place) -> None:
    topic, other = place.create(3), place.create(1)

    async def scenario(own: Positions) -> None:
        stored = {(topic, 0): Position(5, "v1:3-4"), (topic, 2): Position(0), (other, 0): Position(7, "é")}
        everywhere = [*stored, (topic, 1)]
        assert await own.committed("c.group", everywhere) == {}
        assert await own.commit("c.group", stored) == dict.fromkeys(stored)
        assert await own.committed("c.group", everywhere) == stored
        assert await own.committed("c.other", everywhere) == {}
        assert await own.commit("c.group", {(topic, 0): Position(4)}) == {(topic, 0): None}
        assert await own.committed("c.group", everywhere) == {**stored, (topic, 0): Position(4)}

    place.run(scenario)


def test_nothing_is_asked_for_nothing(place: Place) -> None:
    async def scenario(own: Positions) -> None:
        assert await own.committed("c.none", []) == {}
        assert await own.commit("c.none", {}) == {}
        assert await own.ends([]) == {}
        assert await own.at_time([], NOON) == {}

    place.run(scenario)


def test_a_topic_that_is_gone_has_no_position_and_takes_none_while_others_do(place: Place) -> None:
    topic = place.create(1)

    async def scenario(own: Positions) -> None:
        outcomes = await own.commit("c.gone", {("nowhere", 0): Position(1), (topic, 0): Position(2)})
        assert outcomes[topic, 0] is None
        assert isinstance(outcomes["nowhere", 0], UnknownTopic)
        assert await own.committed("c.gone", [("nowhere", 0), (topic, 0)]) == {(topic, 0): Position(2)}

    place.run(scenario)


def test_the_ends_of_partitions_come_together_and_a_missing_topic_spoils_no_other(place: Place) -> None:
    topic = place.create(2)
    write(place.bootstrap, topic, 3, partition=1)

    async def scenario(own: Positions) -> None:
        found = await own.ends([(topic, 0), (topic, 1), (topic, 99), ("nowhere", 0)])
        assert found[topic, 0] == Ends(0, 0)
        assert found[topic, 1] == Ends(0, 3)
        assert isinstance(found[topic, 99], UnknownTopic)
        assert isinstance(found["nowhere", 0], UnknownTopic)

    place.run(scenario)


@pytest.mark.parametrize(
    ("after_noon", "offset"), [(-5_000, 0), (0, 0), (1, 1), (3_000, 3), (8_500, 9), (9_001, 10), (99_000, 10)]
)
def test_a_time_leads_to_the_first_record_that_is_not_older_or_to_the_end(
    place: Place, after_noon: int, offset: int
) -> None:
    topic = place.create(2)
    write(place.bootstrap, topic, 10)

    async def scenario(own: Positions) -> None:
        found = await own.at_time([(topic, 0), (topic, 1), ("nowhere", 0)], NOON + after_noon)
        assert (found[topic, 0], found[topic, 1]) == (offset, 0)
        assert isinstance(found["nowhere", 0], UnknownTopic)

    place.run(scenario)


def test_a_deleted_group_has_no_positions_and_can_begin_again(place: Place) -> None:
    topic = place.create(1)

    async def scenario(own: Positions) -> None:
        await own.delete_group("c.never")
        for offset in (3, 4):
            await own.commit("c.deleted", {(topic, 0): Position(offset)})
            assert await own.committed("c.deleted", [(topic, 0)]) == {(topic, 0): Position(offset)}
            await own.delete_group("c.deleted")
            assert await own.committed("c.deleted", [(topic, 0)]) == {}

    place.run(scenario)


def test_two_hundred_groups_are_read_and_committed_within_seconds(place: Place) -> None:
    topic = place.create(4)

    async def scenario(own: Positions) -> None:
        places = [(topic, partition) for partition in range(4)]
        stored = dict.fromkeys(places, Position(1, "m" * 200))
        groups = [f"c.many-{number}" for number in range(200)]
        begun = time.monotonic()
        outcomes = await asyncio.gather(*(own.commit(group, stored) for group in groups))
        assert outcomes == [dict.fromkeys(places)] * 200
        assert await asyncio.gather(*(own.committed(group, places) for group in groups)) == [stored] * 200
        assert time.monotonic() - begun < 10

    place.run(scenario)


def test_commits_of_one_group_are_stored_in_their_order_also_when_nobody_waits(place: Place) -> None:
    topic = place.create(1)

    async def scenario(own: Positions) -> None:
        calls = [asyncio.ensure_future(own.commit("c.order", {(topic, 0): Position(n)})) for n in range(50)]
        await asyncio.sleep(0)
        for call in calls[:-1]:
            call.cancel()
        await calls[-1]
        assert await own.committed("c.order", [(topic, 0)]) == {(topic, 0): Position(49)}

    place.run(scenario)


@pytest.mark.broker
@pytest.mark.parametrize("size", [4_095, 4_096, 20_000])
def test_metadata_that_the_broker_finds_too_large_does_not_keep_the_offset_back(
    broker: Broker, topic: TopicFactory, size: int
) -> None:
    name = topic(2)

    async def run() -> None:
        async with positions(broker.bootstrap) as own:
            wanted = {(name, 0): Position(5, "m" * size), (name, 1): Position(6, "small")}
            assert await own.commit("c.large", wanted) == dict.fromkeys(wanted)
            stored = Position(5, "m" * size if size == 4_095 else "")
            assert await own.committed("c.large", list(wanted)) == {
                (name, 0): stored,
                (name, 1): Position(6, "small"),
            }

    asyncio.run(run())


@pytest.mark.broker
def test_a_group_with_live_members_of_another_program_is_left_to_them(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "c.theirs", "log_level": 0})

    async def run() -> None:
        async with positions(broker.bootstrap) as own:
            outcomes = await own.commit("c.theirs", {(name, 0): Position(5)})
            assert isinstance(outcomes[name, 0], PositionsUnavailable)
            with pytest.raises(PositionsUnavailable, match="live member"):
                await own.delete_group("c.theirs")
            assert await own.committed("c.theirs", [(name, 0)]) == {}

    try:
        member.subscribe([name])
        deadline = time.monotonic() + PATIENCE
        while not member.assignment():
            assert time.monotonic() < deadline
            member.poll(0.1)
        asyncio.run(run())
    finally:
        member.close()


@pytest.mark.broker
def test_standard_tools_see_the_positions_and_ours_see_theirs(broker: Broker, topic: TopicFactory) -> None:
    name = topic(2)
    tool = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "c.tool", "log_level": 0})

    async def run() -> None:
        async with positions(broker.bootstrap) as own:
            await own.commit("c.tool", {(name, 0): Position(5, "ours")})
            assert await own.committed("c.tool", [(name, 0), (name, 1)]) == {
                (name, 0): Position(5, "ours"),
                (name, 1): Position(6, "theirs"),
            }

    try:
        tool.commit(offsets=[TopicPartition(name, 1, 6, "theirs")], asynchronous=False)
        asyncio.run(run())
        request = [ConsumerGroupTopicPartitions("c.tool")]
        listed = broker.admin.list_consumer_group_offsets(request)["c.tool"].result(PATIENCE)
        assert {(place.partition, place.offset) for place in listed.topic_partitions} == {(0, 5), (1, 6)}
    finally:
        tool.close()


@pytest.mark.broker
def test_what_is_not_permitted_is_told_apart_from_what_is_missing(broker: Broker, topic: TopicFactory) -> None:
    secret, free = topic(1), topic(1)

    def denied(kind: ResourceType, name: str) -> AclBinding:
        return AclBinding(
            kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", AclOperation.ALL, AclPermissionType.DENY
        )

    rules = [denied(ResourceType.TOPIC, secret), denied(ResourceType.GROUP, "c.denied")]
    for future in broker.admin.create_acls(rules).values():
        future.result(PATIENCE)

    async def run() -> None:
        async with positions(broker.bootstrap) as own:
            found = await own.ends([(secret, 0), (free, 0)])
            assert isinstance(found[secret, 0], TopicUnreadable)
            assert found[free, 0] == Ends(0, 0)
            outcomes: dict[tuple[str, int], GatewayError | None] = await own.commit(
                "c.allowed", {(secret, 0): Position(1), (free, 0): Position(1)}
            )
            assert isinstance(outcomes[secret, 0], TopicUnreadable)
            assert outcomes[free, 0] is None
            with pytest.raises(PositionsUnavailable):
                await own.committed("c.denied", [(free, 0)])
            with pytest.raises(PositionsUnavailable):
                await own.commit("c.denied", {(free, 0): Position(1)})

    asyncio.run(run())


@pytest.mark.broker
def test_a_broker_that_is_away_is_told_within_the_timeout_and_works_again_afterwards() -> None:
    with Broker() as victim:
        victim.create_topic("t", 1)

        async def run() -> None:
            async with positions(victim.bootstrap) as patient, positions(victim.bootstrap, seconds=1) as own:
                await patient.commit("g", {("t", 0): Position(3, "m")})
                victim.stop()
                begun = time.monotonic()
                calls = [own.committed("g", [("t", 0)]), own.delete_group("g")]
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(answer) for answer in answers] == [KafkaUnavailable] * 2
                assert isinstance((await own.ends([("t", 0)]))["t", 0], KafkaUnavailable)
                with pytest.raises(KafkaUnavailable):
                    await own.commit("g", {("t", 0): Position(1)})
                assert time.monotonic() - begun < 10
                await asyncio.to_thread(victim.restart)
                assert await patient.committed("g", [("t", 0)]) == {("t", 0): Position(3, "m")}

        asyncio.run(run())


@pytest.mark.broker
def test_who_gave_a_group_up_while_kafka_was_away_goes_on_when_it_is_back() -> None:
    with Broker() as victim:
        victim.create_topic("t", 1)

        async def commits(own: Positions) -> bool:
            try:
                return await own.commit("g", {("t", 0): Position(7)}) == {("t", 0): None}
            except KafkaUnavailable:
                return False

        async def run() -> None:
            # librdkafka aborts the process where a request for a coordinator timed out in it before Kafka came back.
            async with positions(victim.bootstrap, seconds=1) as knows, positions(victim.bootstrap, seconds=1) as new:
                await knows.commit("g", {("t", 0): Position(3)})
                victim.stop()
                for own in (knows, new):
                    for _ in range(2):
                        calls = [own.commit("g", {("t", 0): Position(4)}), own.delete_group("h")]
                        answers = await asyncio.gather(*calls, return_exceptions=True)
                        assert [type(answer) for answer in answers] == [KafkaUnavailable] * 2
                given_up = asyncio.ensure_future(knows.delete_group("h"))
                await asyncio.sleep(0)
                given_up.cancel()
                await asyncio.to_thread(victim.restart)
                deadline = time.monotonic() + 30
                for own in (knows, new):
                    while not await commits(own):
                        assert time.monotonic() < deadline
                    assert await own.committed("g", [("t", 0)]) == {("t", 0): Position(7)}

        asyncio.run(run())


@pytest.mark.broker
def test_commits_follow_a_coordinator_that_moves(cluster3: BrokerCluster) -> None:
    cluster3.create_topic("moving", 1)

    async def run() -> None:
        async with positions(cluster3.bootstrap) as own:
            where = ("moving", 0)
            groups = [f"c.moving-{number}" for number in range(12)]

            async def everywhere(offset: int) -> None:
                outcomes = await asyncio.gather(*(own.commit(group, {where: Position(offset)}) for group in groups))
                assert outcomes == [{where: None}] * len(groups)
                found = await asyncio.gather(*(own.committed(group, [where]) for group in groups))
                assert found == [{where: Position(offset)}] * len(groups)

            await everywhere(1)
            leader = cluster3.leader("__consumer_offsets")
            leader.kill()
            try:
                await asyncio.to_thread(cluster3.wait_moved, "__consumer_offsets", leader)
                await everywhere(2)
            finally:
                await asyncio.to_thread(leader.restart)
            await asyncio.to_thread(cluster3.wait_in_sync, "__consumer_offsets")
            await everywhere(3)
            # Now they move while all brokers are alive, so that a former coordinator answers that it is none.
            partitions = [TopicPartition("__consumer_offsets", partition) for partition in range(4)]
            election = cluster3.admin.elect_leaders(ElectionType.PREFERRED, partitions)
            await asyncio.to_thread(election.result, PATIENCE)
            await everywhere(4)

    asyncio.run(run())


def test_a_closed_or_unconfigured_client_is_an_error_and_no_crash() -> None:
    async def run() -> None:
        administration = Administration(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
        with pytest.raises(KafkaUnavailable):
            await Positions(administration, KafkaSettings(), ConsumeSettings()).ends([("t", 0)])
        await administration.start()
        await administration.close()
        with pytest.raises(KafkaUnavailable):
            await Positions(administration, KafkaSettings(), ConsumeSettings()).ends([("t", 0)])
        wrong = Administration(KafkaSettings(ca_file="/nowhere", security_protocol="SSL"))
        with pytest.raises(InternalError, match="configuration"):
            await wrong.start()

    asyncio.run(run())
