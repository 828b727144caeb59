"""Reading without a group: what holds for the fake and for Kafka, and what only a real broker can do."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions
from tests.broker import Broker
from tests.broker.process import create_topic
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, FakeClock, until

from eventbus_gateway.errors import KafkaUnavailable, Overloaded, UnknownTopic
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.embedded_positions import EmbeddedPositions
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.memory_reader import MemoryReader
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.reader import KafkaReader
from eventbus_gateway.kafka.reading import Ask, Edge, EventReader, Gone, Lost, Page
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings

LARGE = 1_000_000_000


class Log(Protocol):
    """A topic with three partitions and whoever reads it."""

    @property
    def topic(self) -> str: ...
    @property
    def reader(self) -> EventReader: ...

    async def store(self, partition: int, *values: bytes) -> None:
        """Append records and wait until they are stored."""
        ...


class MemoryLog:
    def __init__(self) -> None:
        self.topic = "visits"
        self._kafka = MemoryKafka({self.topic: 3})
        self.reader = MemoryReader(self._kafka)

    async def store(self, partition: int, *values: bytes) -> None:
        log = self._kafka.logs.setdefault((self.topic, partition), [])
        log += [Record(b"k", value, [("h", b"1")]) for value in values]
        for listener in self._kafka.listeners:
            listener()


class KafkaLog:
    def __init__(self, bootstrap: str, topic: str, reader: KafkaReader) -> None:
        self.topic = topic
        self.reader = reader
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})

    async def store(self, partition: int, *values: bytes) -> None:
        for value in values:
            self._producer.produce(self.topic, value, b"k", partition=partition, headers=[("h", b"1")])
        assert await asyncio.to_thread(self._producer.flush, PATIENCE) == 0


@asynccontextmanager
async def reading(
    bootstrap: str,
    *,
    max_readers: int = 8,
    idle_seconds: float = 60,
    is_up: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.monotonic,
    embedded: bool = False,
    **settings: Any,
) -> AsyncIterator[KafkaReader]:
    """A reader that is closed at the end of the block."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap, reconnect_backoff_max_seconds=0.2, **settings)
    administration = Administration(kafka)
    await administration.start()
    times = (EmbeddedPositions if embedded else Positions)(administration, kafka, ConsumeSettings())
    reader = KafkaReader(kafka, times, is_up, max_readers=max_readers, idle_seconds=idle_seconds, clock=clock)
    try:
        yield reader
    finally:
        await reader.close()
        await administration.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def open_log(request: pytest.FixtureRequest) -> Callable[[], contextlib.AbstractAsyncContextManager[Log]]:
    """Opens an empty log."""

    @asynccontextmanager
    async def memory() -> AsyncIterator[Log]:
        yield MemoryLog()

    @asynccontextmanager
    async def kafka() -> AsyncIterator[Log]:
        broker: Broker = request.getfixturevalue("broker")
        name: str = request.getfixturevalue("topic")(3)
        async with reading(broker.bootstrap) as reader:
            yield KafkaLog(broker.bootstrap, name, reader)

    return memory if request.param == "memory" else kafka


OpenLog = Callable[[], contextlib.AbstractAsyncContextManager[Log]]


def ask(
    log: Log, start: Mapping[int, int] | Edge, *, limit: int = 100, wait: float = 0.0, max_bytes: int = LARGE
) -> Ask:
    return Ask(log.topic, start, 3, limit, max_bytes, wait)


def values(page: Page) -> list[bytes | None]:
    return [record.value for record in page.records]


async def read_on(log: Log, page: Page, total: int, limit: int = 100) -> list[bytes | None]:
    """Everything behind a page, page by page."""
    found: list[bytes | None] = []
    while len(found) < total:
        page = await log.reader.read(ask(log, page.positions, limit=limit))
        assert page.records
        found += values(page)
    return found


# What holds for both


def test_a_page_has_the_records_with_everything_that_was_stored(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(1, b"a", b"b")
            page = await log.reader.read(ask(log, Edge.EARLIEST))
            assert values(page) == [b"a", b"b"]
            first = page.records[0]
            assert (first.topic, first.partition, first.offset) == (log.topic, 1, 0)
            assert (first.key, [*first.headers.pairs()]) == (b"k", [("h", b"1")])
            assert first.timestamp > 0
            assert page.positions == {0: 0, 1: 2, 2: 0}
            assert page.start == {0: 0, 1: 0, 2: 0}
            assert page.lost == []

    asyncio.run(go())


def test_pages_that_follow_each_other_have_every_record_once_and_in_order(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            sent = [[b"%d.%d" % (partition, number) for number in range(50)] for partition in range(3)]
            for partition in range(3):
                await log.store(partition, *sent[partition])
            first = await log.reader.read(ask(log, Edge.EARLIEST, limit=7))
            found = values(first) + await read_on(log, first, 150 - len(first.records), limit=7)
            for partition in range(3):
                assert [value for value in found if value and value.startswith(b"%d." % partition)] == sent[partition]

    asyncio.run(go())


def test_latest_begins_behind_what_is_there(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"old")
            page = await log.reader.read(ask(log, Edge.LATEST))
            assert (page.records, page.positions) == ([], {0: 1, 1: 0, 2: 0})
            await log.store(0, b"new")
            assert values(await log.reader.read(ask(log, page.positions))) == [b"new"]

    asyncio.run(go())


def test_what_was_stored_before_the_read_is_found_without_waiting(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            page = await log.reader.read(ask(log, Edge.EARLIEST))
            for number in range(20):
                await log.store(number % 3, b"%d" % number)
                page = await log.reader.read(ask(log, page.positions))
                assert values(page) == [b"%d" % number]

    asyncio.run(go())


def test_an_old_position_can_be_read_again(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"a", b"b", b"c")
            for _ in range(3):
                assert values(await log.reader.read(ask(log, {0: 1, 1: 0, 2: 0}))) == [b"b", b"c"]

    asyncio.run(go())


def test_a_waiting_read_ends_at_the_first_record(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            page = await log.reader.read(ask(log, Edge.LATEST))
            for number in range(3):
                waiting = asyncio.create_task(log.reader.read(ask(log, page.positions, wait=PATIENCE)))
                await log.store(number, b"woken")
                page = await asyncio.wait_for(waiting, PATIENCE / 2)
                assert values(page) == [b"woken"]

    asyncio.run(go())


def test_a_wait_without_records_ends_in_time_and_moves_nothing(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"a")
            begun = time.monotonic()
            page = await log.reader.read(ask(log, {0: 1, 1: 0, 2: 0}, wait=0.3))
            assert 0.3 <= time.monotonic() - begun < PATIENCE / 2
            assert (page.records, page.positions, page.lost) == ([], {0: 1, 1: 0, 2: 0}, [])

    asyncio.run(go())


def test_partitions_that_positions_do_not_name_are_read_from_their_beginning(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"seen")
            await log.store(2, b"new partition")
            page = await log.reader.read(ask(log, {0: 1}))
            assert values(page) == [b"new partition"]
            assert (page.positions, page.lost) == ({0: 1, 1: 0, 2: 1}, [])

    asyncio.run(go())


def test_a_position_behind_the_end_is_told_and_read_from_the_beginning(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"a")
            await log.store(1, b"b")
            page = await log.reader.read(ask(log, {0: 1, 1: 99, 2: 0, 5: 3}))
            assert values(page) == [b"b"]
            assert sorted(page.lost) == [Lost(1, 99, 0, Gone.RECREATED), Lost(5, 3, 0, Gone.RECREATED)]
            assert page.positions == {0: 1, 1: 1, 2: 0}

    asyncio.run(go())


def test_bytes_bound_a_page_and_one_larger_record_passes(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, *[b"x" * 10_000] * 20)
            page = await log.reader.read(ask(log, Edge.EARLIEST, max_bytes=50_000))
            assert 1 <= len(page.records) <= 7
            assert len(values(page) + await read_on(log, page, 20 - len(page.records))) == 20
            assert len((await log.reader.read(ask(log, Edge.EARLIEST, max_bytes=1))).records) == 1

    asyncio.run(go())


def test_a_topic_that_does_not_exist_is_unknown(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            for start in (Edge.EARLIEST, Edge.LATEST, {0: 0}):
                with pytest.raises(UnknownTopic):
                    await log.reader.read(Ask("not-there", start, 1, 1, LARGE, 0.0))

    asyncio.run(go())


def test_times_lead_to_the_records_that_are_not_older(open_log: OpenLog) -> None:
    async def go() -> None:
        async with open_log() as log:
            await log.store(0, b"a", b"b")
            page = await log.reader.read(ask(log, Edge.EARLIEST))
            stored_at = page.records[0].timestamp
            assert await log.reader.at_time(log.topic, 3, 0) == {0: 0, 1: 0, 2: 0}
            assert (await log.reader.at_time(log.topic, 3, stored_at))[0] == 0
            assert await log.reader.at_time(log.topic, 3, stored_at + 3_600_000) == {0: 2, 1: 0, 2: 0}

    asyncio.run(go())


# What only Kafka does


@pytest.mark.broker
def test_times_between_records_lead_to_the_later_one(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        name = topic(1)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for timestamp in (1_000, 2_000, 3_000):
            producer.produce(name, b"%d" % timestamp, timestamp=timestamp)
        assert producer.flush(PATIENCE) == 0
        async with reading(broker.bootstrap) as reader:
            found = [(await reader.at_time(name, 1, at))[0] for at in (0, 1_000, 1_001, 2_500, 3_000, 3_001)]
            assert found == [0, 0, 1, 2, 2, 3]

    asyncio.run(go())


@pytest.mark.broker
def test_what_retention_deleted_is_told_and_reading_goes_on_behind_it(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        name = topic(2)
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, name, reader)
            await log.store(0, *[b"%d" % number for number in range(10)])
            await log.store(1, b"kept")
            broker.admin.delete_records([TopicPartition(name, 0, 6)])[TopicPartition(name, 0)].result(PATIENCE)

            async def read(start: Mapping[int, int] | Edge) -> Page:
                return await reader.read(Ask(name, start, 2, 100, LARGE, 0.0))

            page = await read({0: 2, 1: 1})
            assert (values(page), page.lost) == ([b"6", b"7", b"8", b"9"], [Lost(0, 2, 6, Gone.EXPIRED)])
            assert page.positions == {0: 10, 1: 1}
            assert (await read(Edge.EARLIEST)).lost == []
            broker.admin.delete_records([TopicPartition(name, 0, 10)])[TopicPartition(name, 0)].result(PATIENCE)
            page = await read({0: 3, 1: 1})
            assert (page.records, page.lost) == ([], [Lost(0, 3, 10, Gone.EXPIRED)])
            assert page.positions == {0: 10, 1: 1}
            assert (await read(page.positions)).lost == []

    asyncio.run(go())


@pytest.mark.broker
def test_a_topic_that_was_created_again_is_read_from_its_beginning(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        name = topic(3)
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, name, reader)
            await log.store(0, b"a", b"b", b"c")
            page = await reader.read(ask(log, Edge.EARLIEST))
            assert page.positions == {0: 3, 1: 0, 2: 0}
        broker.admin.delete_topics([name], operation_timeout=PATIENCE)[name].result(PATIENCE)
        recreate(broker, name)
        async with reading(broker.bootstrap) as reader:
            again = KafkaLog(broker.bootstrap, name, reader)
            await again.store(0, b"fresh")
            later = await reader.read(ask(again, page.positions))
            assert (values(later), later.lost) == ([b"fresh"], [Lost(0, 3, 0, Gone.RECREATED)])

    asyncio.run(go())


def recreate(broker: Broker, name: str) -> None:
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    create_topic(broker.admin, NewTopic(name, 3, 1))


@pytest.mark.broker
def test_partitions_that_were_added_are_read_from_their_beginning(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        name = topic(1)
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, name, reader)
            await log.store(0, b"a")
            page = await reader.read(Ask(name, Edge.EARLIEST, 1, 100, LARGE, 0.0))
            assert page.positions == {0: 1}
            added = broker.admin.create_partitions([NewPartitions(name, 3)])[name]
            added.result(PATIENCE)
            producer = Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.refresh.interval.ms": 100})
            await until(lambda: len(producer.list_topics(name, PATIENCE).topics[name].partitions) == 3, "partitions")
            log = KafkaLog(broker.bootstrap, name, reader)
            await log.store(2, b"b")
            # A reader that knows of them, and one that does not yet.
            assert values(await reader.read(Ask(name, page.positions, 3, 100, LARGE, 0.0))) == [b"b"]
        async with reading(broker.bootstrap) as other:
            page = await other.read(Ask(name, page.positions, 1, 100, LARGE, 0.0))
            assert (values(page), page.positions) == ([b"b"], {0: 1, 1: 0, 2: 1})

    asyncio.run(go())


@pytest.mark.broker
def test_transactions_are_read_when_committed_and_their_marks_hold_up_nobody(
    broker: Broker, topic: TopicFactory
) -> None:
    async def go() -> None:
        name = topic(3)
        writer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"writes-{name}"})
        writer.init_transactions(PATIENCE)
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, name, reader)

            async def read(start: Mapping[int, int] | Edge) -> Page:
                return await asyncio.wait_for(reader.read(ask(log, start)), PATIENCE)

            writer.begin_transaction()
            writer.produce(name, b"aborted", partition=0)
            assert writer.flush(PATIENCE) == 0
            assert (await read(Edge.EARLIEST)).records == []
            writer.abort_transaction(PATIENCE)
            page = await read(Edge.EARLIEST)
            assert (page.records, page.lost) == ([], [])
            writer.begin_transaction()
            writer.produce(name, b"committed", partition=0)
            writer.commit_transaction(PATIENCE)
            page = await read(page.positions)
            assert values(page) == [b"committed"]
            page = await read(page.positions)
            assert (page.records, page.lost) == ([], [])
            assert page.positions[0] >= 3

    asyncio.run(go())


@pytest.mark.broker
def test_an_event_reaches_a_waiting_reader_within_ten_milliseconds(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> list[float]:
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, topic(3), reader)
            page = await reader.read(ask(log, Edge.LATEST))
            await log.store(0, b"warm")
            page = await reader.read(ask(log, page.positions, wait=PATIENCE))
            took = []
            for number in range(40):
                waiting = asyncio.create_task(reader.read(ask(log, page.positions, wait=PATIENCE)))
                # The wait has begun once an empty read behind it is over; its thread is another one.
                await reader.read(ask(log, Edge.LATEST))
                await log.store(number % 3, b"x")
                stored = time.perf_counter()
                page = await waiting
                took.append(time.perf_counter() - stored)
            return sorted(took)

    took = asyncio.run(go())
    # A quarter of them: test machines stall, but a reader that waits for the broker's time is never so fast.
    assert took[len(took) // 4] < 0.010, took


@pytest.mark.broker
def test_whoever_gives_up_leaves_the_reader_to_others(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        async with reading(broker.bootstrap, max_readers=1) as reader:
            log = KafkaLog(broker.bootstrap, topic(3), reader)
            page = await reader.read(ask(log, Edge.LATEST))
            waiting = asyncio.create_task(reader.read(ask(log, page.positions, wait=PATIENCE)))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded) as refused:
                await reader.read(ask(log, page.positions))
            assert refused.value.retry_after
            waiting.cancel()
            begun = time.monotonic()
            await log.store(0, b"a")
            while True:
                with contextlib.suppress(Overloaded):
                    assert values(await reader.read(ask(log, page.positions))) == [b"a"]
                    break
                await asyncio.sleep(0)
                assert time.monotonic() - begun < PATIENCE
            assert time.monotonic() - begun < PATIENCE / 2
            assert reader.readers == 1

    asyncio.run(go())


@pytest.mark.broker
def test_readers_that_nobody_uses_are_closed(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        clock = FakeClock()
        async with reading(broker.bootstrap, clock=clock, idle_seconds=30) as reader:
            log = KafkaLog(broker.bootstrap, topic(3), reader)
            await log.store(0, *[b"x"] * 20)
            pages = await asyncio.gather(*(reader.read(ask(log, Edge.EARLIEST, limit=5)) for _ in range(3)))
            assert reader.readers == 3
            clock.now += 10  # they rest, and are used again
            await until(lambda: all(free.is_resting for free in reader._free), "rest")
            assert values(await reader.read(ask(log, pages[0].positions))) == [b"x"] * 15
            assert reader.readers == 3
            clock.now += 30
            await until(lambda: reader.readers == 0, "all closed")
            assert values(await reader.read(ask(log, pages[0].positions))) == [b"x"] * 15

    asyncio.run(go())


@pytest.mark.broker
def test_reading_on_uses_the_reader_that_has_read_ahead(broker: Broker, topic: TopicFactory) -> None:
    async def go() -> None:
        async with reading(broker.bootstrap) as reader:
            log = KafkaLog(broker.bootstrap, topic(3), reader)
            await log.store(0, *[b"%d" % number for number in range(100)])
            page = await reader.read(ask(log, Edge.EARLIEST, limit=10))
            other = await reader.read(ask(log, Edge.EARLIEST, limit=20))
            assert reader.readers == 2
            for _ in range(4):
                page = await reader.read(ask(log, page.positions, limit=10))
                other = await reader.read(ask(log, other.positions, limit=20))
            assert (page.positions[0], other.positions[0]) == (50, 100)
            assert reader.readers == 2

    asyncio.run(go())


@pytest.mark.broker
def test_nothing_is_said_to_be_there_only_when_kafka_said_so(topic: TopicFactory, broker: Broker) -> None:
    async def go() -> None:
        name = topic(3)
        async with reading(broker.bootstrap, metadata_timeout_seconds=0.5) as reader:
            log = KafkaLog(broker.bootstrap, name, reader)
            page = await reader.read(ask(log, Edge.EARLIEST))
            broker.stop()
            try:
                for start in (page.positions, Edge.LATEST, Edge.EARLIEST):
                    with pytest.raises(KafkaUnavailable):
                        await reader.read(ask(log, start))
            finally:
                broker.cont()
            await log.store(0, b"a")
            begun = time.monotonic()
            while True:
                with contextlib.suppress(KafkaUnavailable):
                    assert values(await reader.read(ask(log, page.positions))) == [b"a"]
                    break
                assert time.monotonic() - begun < PATIENCE

    asyncio.run(go())


def test_while_kafka_is_known_to_be_down_reads_are_refused_at_once() -> None:
    async def go() -> None:
        async with reading("127.0.0.1:1", is_up=lambda: False) as reader:
            begun = time.monotonic()
            with pytest.raises(KafkaUnavailable) as refused:
                await reader.read(Ask("a", Edge.EARLIEST, 1, 1, LARGE, 30.0))
            assert refused.value.retry_after
            with pytest.raises(KafkaUnavailable):
                await reader.at_time("a", 1, 0)
            assert time.monotonic() - begun < 1
            assert reader.readers == 0

    asyncio.run(go())


# The embedded Kafka of development


def test_the_embedded_kafka_can_be_read_from_everywhere() -> None:
    async def go(bootstrap: str) -> None:
        async with reading(bootstrap, embedded=True) as reader:
            log = KafkaLog(bootstrap, "visits", reader)
            await log.store(0, b"a", b"b")
            page = await reader.read(ask(log, Edge.EARLIEST))
            assert values(page) == [b"a", b"b"]
            stored_at = page.records[0].timestamp
            assert (await reader.at_time("visits", 3, stored_at))[0] == 0
            assert await reader.at_time("visits", 3, stored_at + 60_000) == {0: 2, 1: 0, 2: 0}
            latest = await reader.read(ask(log, Edge.LATEST))
            assert latest.positions == {0: 2, 1: 0, 2: 0}
            waiting = asyncio.create_task(reader.read(ask(log, latest.positions, wait=PATIENCE)))
            await log.store(1, b"c")
            assert values(await waiting) == [b"c"]
            beyond = await reader.read(ask(log, {0: 50, 1: 1, 2: 0}))
            assert (values(beyond), beyond.lost) == ([b"a", b"b"], [Lost(0, 50, 0, Gone.RECREATED)])
            with pytest.raises(UnknownTopic):
                await reader.read(Ask("not-there", Edge.EARLIEST, 1, 1, LARGE, 0.0))

    with EmbeddedKafka({"visits": 3}) as kafka:
        asyncio.run(go(kafka.bootstrap))
