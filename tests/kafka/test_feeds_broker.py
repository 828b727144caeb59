"""Feeds that read a real broker, in good times and in bad ones."""

import asyncio
import resource
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewPartitions
from tests.broker import Broker, BrokerCluster
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE

from eventbus_gateway.errors import GatewayError, TopicUnreadable
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed, Headers
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.feeds import Feed, Feeds
from eventbus_gateway.kafka.partitions import Ends, Partition
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.reading_thread import ReadingThread, reading_config, reading_threads
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.kafka.strands import MOST_IN_HAND, Batch, Read

BIG = b"x" * 300


class Collector:
    """A sink that keeps what it is given, and complains where something is out of place."""

    def __init__(self) -> None:
        self.records: list[Consumed] = []
        self.positions: dict[Partition, int] = {}
        self.losses: list[tuple[Partition, int, int]] = []
        self.troubles: dict[Partition, GatewayError] = {}
        self.faults: list[str] = []
        self.room = 1_000_000_000
        self.stopped: set[Partition] = set()
        self.feed: Feed | None = None
        self._changed = asyncio.Event()

    def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
        place = topic, partition
        position = self.positions.get(place, 0)
        offsets = [record.offset for record in records]
        if offsets != sorted(set(offsets)) or (offsets and not position <= offsets[0] <= offsets[-1] < next_offset):
            self.faults.append(f"{offsets[:3]} at {position}")
        self.positions[place] = next_offset
        self.records += records
        self.room -= len(records)
        if self.room <= 0:
            self.stopped.add(place)
        self._changed.set()
        return self.room > 0

    def lost(self, topic: str, partition: int, asked: int, earliest: int) -> None:
        self.losses.append(((topic, partition), asked, earliest))
        self.positions[topic, partition] = earliest
        self._changed.set()

    def troubled(self, topic: str, partition: int, error: GatewayError | None) -> None:
        if error is None:
            del self.troubles[topic, partition]
        else:
            self.troubles[topic, partition] = error
        self._changed.set()

    def go_on(self, room: int) -> None:
        self.room = room
        assert self.feed is not None
        for place in sorted(self.stopped):
            self.feed.resume(*place, self.positions[place])
        self.stopped.clear()

    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; whatever changes is told here."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain: {what}") from None

    async def until_read(self, count: int) -> None:
        await self.until(lambda: len(self.records) >= count, f"{count} records, there are {len(self.records)}")
        assert self.faults == []


class Reading:
    """Feeds with everything below them."""

    def __init__(self, feeds: Feeds, positions: Positions) -> None:
        self.feeds = feeds
        self.positions = positions

    def open(self, positions: Mapping[Partition, int], *, room: int = 1_000_000_000) -> Collector:
        sink = Collector()
        sink.room = room
        sink.positions = dict(positions)
        sink.feed = self.feeds.open(sink, positions)
        return sink

    async def settled(self, sink: Collector, place: str, count: int) -> None:
        """Wait until so many partitions are in a place."""
        deadline = time.monotonic() + PATIENCE
        while self.feeds.status().partitions.get(place, 0) != count:
            assert time.monotonic() < deadline, self.feeds.status()
            await asyncio.sleep(0)


@asynccontextmanager
async def reading(bootstrap: str, **settings: Any) -> AsyncIterator[Reading]:
    kafka = KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=1, reconnect_backoff_max_seconds=0.2)
    consume = ConsumeSettings(**{"retry_seconds": 0.1, "positions_timeout_seconds": 5, **settings})
    administration = Administration(kafka)
    await administration.start()
    positions = Positions(administration, kafka, consume)
    feeds = Feeds(reading_threads(kafka, consume), positions.ends, consume)
    try:
        yield Reading(feeds, positions)
    finally:
        await feeds.close()
        await administration.close()


def run(bootstrap: str, scenario: Callable[[Reading], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with reading(bootstrap, **settings) as own:
            await scenario(own)

    asyncio.run(go())


def write(
    bootstrap: str, topic: str, values: Sequence[bytes], *, partition: int = 0, compression: str = "none"
) -> None:
    # Idempotent, so that what is sent again on a slow machine comes neither twice nor in another order.
    config = {
        "linger.ms": 5,
        "enable.idempotence": True,
        "reconnect.backoff.max.ms": 200,
        "compression.type": compression,
    }
    producer = Producer({"bootstrap.servers": bootstrap, **config})
    for value in values:
        producer.produce(topic, value, partition=partition)
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0


def numbered(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


@pytest.fixture(scope="module")
def victim() -> Iterator[Broker]:
    """A broker that these tests may kill."""
    with Broker() as broker:
        yield broker


@pytest.fixture(params=[pytest.param("broker", marks=pytest.mark.broker), "embedded"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Bootstrap servers and a topic with two partitions, of either kind of Kafka."""
    if request.param == "broker":
        yield request.getfixturevalue("broker").bootstrap, request.getfixturevalue("topic")(2)
    else:
        with EmbeddedKafka({"t": 2}) as kafka:
            yield kafka.bootstrap, "t"


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_of_every_compression_are_read(place: tuple[str, str], compression: str) -> None:
    bootstrap, topic = place
    values = [b"%d" % number + BIG for number in range(300)]
    write(bootstrap, topic, values, compression=compression)

    async def scenario(own: Reading) -> None:
        sink = own.open({(topic, 0): 0})
        await sink.until_read(300)
        assert sink.values() == values

    run(bootstrap, scenario)


def test_records_come_as_they_were_written(place: tuple[str, str]) -> None:
    bootstrap, topic = place
    producer = Producer({"bootstrap.servers": bootstrap})
    headers: Any = [("ce_id", b"1"), ("empty", b""), ("none", None), ("ce_id", b"2")]
    producer.produce(topic, b"value", b"key", partition=1, timestamp=1_700_000_000_123, headers=headers)
    producer.produce(topic, None, b"key", partition=1, timestamp=1_700_000_000_456)
    producer.produce(topic, b"", None, partition=1, timestamp=1_700_000_000_789)
    assert producer.flush(PATIENCE) == 0

    async def scenario(own: Reading) -> None:
        sink = own.open({(topic, 1): 0})
        await sink.until_read(3)
        assert sink.records == [
            Consumed.of(topic, 1, 0, 1_700_000_000_123, b"key", b"value", Headers.of(headers)),
            Consumed.of(topic, 1, 1, 1_700_000_000_456, b"key", None, NO_HEADERS),
            Consumed.of(topic, 1, 2, 1_700_000_000_789, None, b"", NO_HEADERS),
        ]

    run(bootstrap, scenario)


def test_those_who_are_behind_and_those_at_the_end_get_the_same(place: tuple[str, str]) -> None:
    bootstrap, topic = place
    write(bootstrap, topic, numbered(0, 5_000))

    async def scenario(own: Reading) -> None:
        at_end = own.open({(topic, 0): 5_000, (topic, 1): 0})
        sinks = [own.open({(topic, 0): 0, (topic, 1): 0}) for _ in range(10)]
        await sinks[0].until_read(100)
        await asyncio.to_thread(write, bootstrap, topic, numbered(5_000, 5_500))
        for sink in sinks:
            await sink.until_read(5_500)
            assert sink.values() == numbered(0, 5_500)
        await at_end.until_read(500)
        assert at_end.values() == numbered(5_000, 5_500)
        await own.settled(at_end, "tailing", 22)
        assert len(own.feeds.status().readers) <= 1 + 2

    run(bootstrap, scenario, max_catch_up_readers=2, catch_up_quantum_seconds=0.02)


def test_whoever_goes_on_from_elsewhere_gets_exactly_what_is_there(place: tuple[str, str]) -> None:
    bootstrap, topic = place
    write(bootstrap, topic, numbered(0, 3_000))
    where = topic, 0

    async def scenario(own: Reading) -> None:
        sinks = [own.open({where: 0}) for _ in range(3)]
        await sinks[0].until_read(1)
        for round_, offset in enumerate((2_990, 5, 1_500, 0, 2_999, 700, 701, 2_000)):
            sink = sinks[round_ % 3]
            assert sink.feed is not None
            sink.records.clear()
            sink.positions[where] = offset
            sink.feed.resume(topic, 0, offset)
            await sink.until_read(3_000 - offset)
            assert sink.values() == numbered(offset, 3_000)

    run(bootstrap, scenario)


def test_a_slow_subscriber_reads_a_backlog_in_pieces_and_slows_nobody(place: tuple[str, str]) -> None:
    bootstrap, topic = place
    write(bootstrap, topic, numbered(0, 4_000))

    async def scenario(own: Reading) -> None:
        slow, quick = own.open({(topic, 0): 0}, room=100), own.open({(topic, 0): 0})
        await quick.until_read(4_000)
        pieces = 0
        while len(slow.records) < 4_000:
            await slow.until(lambda: bool(slow.stopped) or len(slow.records) == 4_000, "a full subscriber to stop")
            assert len(slow.records) <= (pieces + 1) * 600, "it is given a batch more than it has room for, at most"
            pieces += 1
            slow.go_on(100)
        await slow.until_read(4_000)
        assert slow.values() == quick.values() == numbered(0, 4_000)
        assert pieces >= 7

    run(bootstrap, scenario, max_catch_up_readers=1)


@pytest.mark.broker
def test_positions_pass_what_transactions_leave_in_the_log(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    where = name, 0
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "feeds"})
    producer.init_transactions(PATIENCE)

    def transaction(values: Sequence[bytes], *, commit: bool) -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(name, value, partition=0)
        if commit:
            producer.commit_transaction(PATIENCE)
        else:
            producer.flush(PATIENCE)
            producer.abort_transaction(PATIENCE)

    async def scenario(own: Reading) -> None:
        tailing = own.open({where: 0})
        await own.settled(tailing, "tailing", 1)
        await asyncio.to_thread(transaction, numbered(0, 10), commit=True)
        await asyncio.to_thread(transaction, numbered(10, 20), commit=False)
        await asyncio.to_thread(transaction, numbered(20, 30), commit=True)
        late = own.open({where: 0})
        for sink in (tailing, late):
            await sink.until(lambda: sink.positions[where] == 33, "the mark at the end of the log to be passed")  # noqa: B023
            assert sink.values() == numbered(0, 10) + numbered(20, 30)
        assert await own.positions.ends([where]) == {where: Ends(0, 33)}

    run(broker.bootstrap, scenario)


@pytest.mark.broker
@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_broker_that_goes_away_while_it_is_read_leaves_no_gap_and_no_copy(victim: Broker, fault: str) -> None:
    name = f"reading-{fault}"
    victim.create_topic(name, 2)
    for partition in range(2):
        write(victim.bootstrap, name, [value + BIG for value in numbered(0, 20_000)], partition=partition)

    async def scenario(own: Reading) -> None:
        tailing = own.open({(name, 0): 20_000, (name, 1): 20_000})
        behind = [own.open({(name, 0): 0, (name, 1): 0}, room=5_000) for _ in range(3)]
        for sink in behind:
            await sink.until_read(1_000)
        if fault == "killed":
            victim.kill()
        else:
            victim.stop()
        for sink in behind:
            sink.go_on(1_000_000)
        if fault == "killed":
            await asyncio.to_thread(victim.restart)
        else:
            # Long enough for the connections to be given up.
            await asyncio.to_thread(threading.Event().wait, 2.5)
            victim.cont()
        for partition in range(2):
            values = [value + BIG for value in numbered(20_000, 20_100)]
            await asyncio.to_thread(write, victim.bootstrap, name, values, partition=partition)
        for sink in behind:
            await sink.until_read(40_200)
            for partition in range(2):
                own_values = [record.value for record in sink.records if record.partition == partition]
                assert own_values == [value + BIG for value in numbered(0, 20_100)]
        await tailing.until_read(200)
        assert sorted(tailing.positions.values()) == [20_100, 20_100]

    run(victim.bootstrap, scenario, max_catch_up_readers=2, catch_up_quantum_seconds=0.05)


@pytest.mark.broker
def test_a_leader_that_changes_leaves_no_gap_and_no_copy(cluster3: BrokerCluster) -> None:
    cluster3.create_topic("reading-leader", 3)
    places = [("reading-leader", partition) for partition in range(3)]
    for _, partition in places:
        write(cluster3.bootstrap, "reading-leader", numbered(0, 2_000), partition=partition)

    async def scenario(own: Reading) -> None:
        tailing, behind = own.open(dict.fromkeys(places, 2_000)), own.open(dict.fromkeys(places, 0), room=1_000)
        await behind.until_read(1_000)
        leader = cluster3.leader("reading-leader")
        leader.kill()
        try:
            await asyncio.to_thread(cluster3.wait_moved, "reading-leader", leader)
            for _, partition in places:
                await asyncio.to_thread(
                    write, cluster3.bootstrap, "reading-leader", numbered(2_000, 2_100), partition=partition
                )
            behind.go_on(1_000_000)
            await behind.until_read(6_300)
            await tailing.until_read(300)
        finally:
            await asyncio.to_thread(leader.restart)
        for place in places:
            read = [record.value for record in behind.records if (record.topic, record.partition) == place]
            assert read == numbered(0, 2_100)
        await asyncio.to_thread(cluster3.wait_in_sync, "reading-leader")

    run(cluster3.bootstrap, scenario)


@pytest.mark.broker
def test_what_retention_deleted_is_told_and_reading_goes_on_at_the_earliest(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    where = name, 0
    write(broker.bootstrap, name, numbered(0, 3_000))

    def delete_below(offset: int) -> None:
        broker.admin.delete_records([TopicPartition(name, 0, offset)])[TopicPartition(name, 0)].result(PATIENCE)

    async def scenario(own: Reading) -> None:
        full = own.open({where: 0}, room=1)
        await full.until(lambda: bool(full.stopped), "a full subscriber to stop")
        stood = full.positions[where]
        # Somebody else needs the only reader, so that nothing of it is held any more.
        other = own.open({where: 0})
        await other.until_read(3_000)
        await asyncio.to_thread(delete_below, 2_000)
        full.go_on(1_000_000)
        await full.until(lambda: full.positions[where] == 3_000, "the rest")
        assert full.losses == [(where, stood, 2_000)]
        late = own.open({where: 17})
        await late.until_read(1_000)
        assert late.losses == [(where, 17, 2_000)]
        assert late.values() == numbered(2_000, 3_000)
        assert other.losses == []

    run(broker.bootstrap, scenario, max_catch_up_readers=1)


@pytest.mark.broker
def test_a_topic_that_is_deleted_and_created_anew_is_read_from_its_beginning(
    broker: Broker, topic: TopicFactory
) -> None:
    name, other = topic(1), topic(1)
    where = name, 0
    write(broker.bootstrap, name, numbered(0, 50))

    async def scenario(own: Reading) -> None:
        sink, witness = own.open({where: 50}), own.open({(other, 0): 0})
        await own.settled(sink, "tailing", 2)
        deleting = broker.admin.delete_topics([name])[name]
        await asyncio.to_thread(deleting.result, PATIENCE)
        await asyncio.to_thread(write, broker.bootstrap, other, numbered(0, 5))
        await witness.until_read(5)
        await asyncio.to_thread(broker.create_topic, name, 1)
        await asyncio.to_thread(write, broker.bootstrap, name, numbered(100, 110))
        await sink.until_read(10)
        assert sink.values() == numbered(100, 110)
        assert sink.losses == [(where, 50, 0)]
        assert sink.troubles == {}

    run(broker.bootstrap, scenario)


@pytest.mark.broker
def test_a_missing_permission_is_told_and_reading_goes_on_when_it_is_given(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    where = name, 0
    write(broker.bootstrap, name, numbered(0, 10))
    who = ResourceType.TOPIC, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*"
    rule = *who, AclOperation.READ, AclPermissionType.DENY
    for future in broker.admin.create_acls([AclBinding(*rule)]).values():
        future.result(PATIENCE)

    async def scenario(own: Reading) -> None:
        sink = own.open({where: 0})
        await sink.until(lambda: where in sink.troubles, "the refusal to be told")
        assert isinstance(sink.troubles[where], TopicUnreadable)
        for future in broker.admin.delete_acls([AclBindingFilter(*rule)]).values():
            await asyncio.to_thread(future.result, PATIENCE)
        await sink.until_read(10)
        assert sink.troubles == {}

    run(broker.bootstrap, scenario)


@pytest.mark.broker
def test_partitions_that_appear_later_can_be_read(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)

    async def scenario(own: Reading) -> None:
        sink = own.open({(name, 0): 0})
        await own.settled(sink, "tailing", 1)
        growing = broker.admin.create_partitions([NewPartitions(name, 2)])[name]
        await asyncio.to_thread(growing.result, PATIENCE)
        sink.positions[name, 1] = 0
        assert sink.feed is not None
        sink.feed.add({(name, 1): 0})
        await asyncio.to_thread(write, broker.bootstrap, name, numbered(0, 20), partition=1)
        await sink.until_read(20)

    run(broker.bootstrap, scenario)


@pytest.mark.broker
def test_a_topic_that_is_not_there_yet_is_read_as_soon_as_it_is(broker: Broker) -> None:
    async def scenario(own: Reading) -> None:
        sink = own.open({("feeds.later", 0): 0})
        await sink.until(lambda: bool(sink.troubles), "the absence to be told")
        await asyncio.to_thread(broker.create_topic, "feeds.later", 1)
        await asyncio.to_thread(write, broker.bootstrap, "feeds.later", numbered(0, 5))
        await sink.until_read(5)

    run(broker.bootstrap, scenario)


@pytest.mark.broker
def test_a_new_record_arrives_within_milliseconds(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})

    async def scenario(own: Reading) -> None:
        sink = own.open({(name, 0): 0})
        await own.settled(sink, "tailing", 1)
        seconds = []
        for number in range(100):
            begun = time.perf_counter()
            producer.produce(name, b"%d" % number, partition=0)
            await sink.until_read(number + 1)
            seconds.append(time.perf_counter() - begun)
        assert producer.flush(PATIENCE) == 0
        # Usually 1.5 ms; test machines stall, but a feed that waits for the broker's time is never so fast.
        assert sorted(seconds)[25] < 0.02

    run(broker.bootstrap, scenario)


@pytest.mark.broker
async def idle_share() -> float:
    """The part of a core that this process takes while nothing happens."""
    begun, used = time.monotonic(), time.process_time()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 2.0)
    return (time.process_time() - used) / (time.monotonic() - begun)


def test_two_hundred_idle_subscribers_cost_next_to_nothing(broker: Broker, topic: TopicFactory) -> None:
    names = [topic(4) for _ in range(4)]

    async def scenario(own: Reading) -> None:
        # The process has clients of other tests, which idle too.
        before = await idle_share()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        places = [dict.fromkeys([(names[i % 4], p) for p in range(4)], 0) for i in range(200)]
        sinks = [own.open(each) for each in places]
        await own.settled(sinks[0], "tailing", 800)
        await asyncio.to_thread(write, broker.bootstrap, names[0], [b"warm"])
        await sinks[0].until_read(1)
        # Usually 0.3 %.
        assert await idle_share() - before < 0.05
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024
        assert len(own.feeds.status().readers) == 1

    run(broker.bootstrap, scenario)


class Hoarder:
    """A receiver that takes nothing."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.arrived = asyncio.Event()
        self.failed = asyncio.Event()

    def received(self, number: int, batch: Batch) -> None:
        self.batches.append(batch)
        self.arrived.set()

    def ended(self, number: int) -> None:
        self.failed.set()


def thread(bootstrap: str, receiver: Hoarder, **config: Any) -> ReadingThread:
    kafka = KafkaSettings(bootstrap_servers=bootstrap, socket_timeout_seconds=1)
    properties = {**reading_config(kafka, ConsumeSettings(), fetch_wait_ms=50), **config}
    return ReadingThread(1, properties, 100, 0.02, receiver)


def test_a_reader_waits_when_its_batches_are_not_taken(place: tuple[str, str]) -> None:
    bootstrap, topic = place
    write(bootstrap, topic, numbered(0, 2_000))

    async def go() -> None:
        hoarder = Hoarder()
        reader = thread(bootstrap, hoarder)
        reader.order(Read(1, (topic, 0), 0, 7))
        try:
            for taken in range(10):
                while len(hoarder.batches) < MOST_IN_HAND + taken:
                    hoarder.arrived.clear()
                    await asyncio.wait_for(hoarder.arrived.wait(), PATIENCE)
                hoarder.arrived.clear()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(hoarder.arrived.wait(), 0.1)
                assert len(hoarder.batches) == MOST_IN_HAND + taken
                assert reader.status == (1, MOST_IN_HAND)
                reader.taken()
        finally:
            await reader.close()

    asyncio.run(go())


def test_a_reader_whose_consumer_cannot_be_made_says_so() -> None:
    async def go() -> None:
        hoarder = Hoarder()
        reader = thread("127.0.0.1:1", hoarder, **{"no.such.property": 1})
        reader.order(Read(1, ("t", 0), 0, 7))
        await asyncio.wait_for(hoarder.failed.wait(), PATIENCE)
        await reader.close()

    asyncio.run(go())


@pytest.mark.broker
def test_closing_does_not_wait_for_a_broker_that_hangs(victim: Broker) -> None:
    victim.create_topic("hanging", 1)
    write(victim.bootstrap, "hanging", numbered(0, 1_000))

    async def go() -> float:
        async with reading(victim.bootstrap) as own:
            sink, behind = own.open({("hanging", 0): 1_000}), own.open({("hanging", 0): 0}, room=1)
            await behind.until(lambda: bool(behind.stopped), "a full subscriber to stop")
            await own.settled(sink, "tailing", 1)
            victim.stop()
            begun = time.monotonic()
        return time.monotonic() - begun

    try:
        assert asyncio.run(go()) < 6
    finally:
        victim.cont()
