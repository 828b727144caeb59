"""The Kafka of ``eventbus dev``."""

import asyncio
import subprocess
import sys

from confluent_kafka import Producer
from tests.kafka.support import producing, read_log

from eventbus_gateway.kafka.cluster import Cluster, TopicInfo
from eventbus_gateway.kafka.embedded import EmbeddedKafka, EmbeddedSink
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored
from eventbus_gateway.kafka.settings import KafkaSettings


def test_its_topics_have_the_partitions_that_were_asked_for_and_no_others_appear() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap) as sink:
            cluster = Cluster(KafkaSettings(), sink)
            await cluster.refresh()
            assert dict(cluster.topics()) == {"a": TopicInfo("a", 4), "b": TopicInfo("b", 1)}

    with EmbeddedKafka({"a": 4, "b": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_what_the_producer_stores_another_process_reads() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap) as sink:
            (outcome,) = await sink.send("t", [Record(b"k", b"v", [("h", b"1")])])
            assert isinstance(outcome, Stored)

    code = (
        "import sys; from tests.kafka.support import read_log;"
        "[record] = read_log(sys.argv[1], 't');"
        "assert (record.key, record.value, record.headers) == (b'k', b'v', [('h', b'1')])"
    )
    with EmbeddedKafka({"t": 2}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        subprocess.run([sys.executable, "-c", code, kafka.bootstrap], check=True, timeout=60)


def test_its_receipts_have_the_time_that_the_log_shows() -> None:
    async def run(bootstrap: str) -> list[Outcome]:
        async with producing(bootstrap) as sink:
            embedded = EmbeddedSink(sink)
            embedded.send("t", [Record(None, b"given up", [])]).cancel()
            return await embedded.send("t", [Record(None, b"1", []), Record(None, b"2", [("\ud800", b"")])])

    with EmbeddedKafka({"t": 1}) as kafka:
        outcomes = asyncio.run(run(kafka.bootstrap))
        assert [type(outcome) for outcome in outcomes] == [NotStored, NotStored]

        async def again() -> list[Outcome]:
            async with producing(kafka.bootstrap) as sink:
                return await EmbeddedSink(sink).send("t", [Record(None, b"1", [])])

        (outcome,) = asyncio.run(again())
        assert isinstance(outcome, Stored)
        logged = read_log(kafka.bootstrap, "t")[-1]
        assert logged.offset == outcome.offset
        assert abs(logged.timestamp - outcome.timestamp) < 1_000


def test_two_of_them_are_independent_and_closing_twice_is_harmless() -> None:
    with EmbeddedKafka({"t": 1}) as first, EmbeddedKafka({"t": 1}) as second:
        assert first.bootstrap != second.bootstrap
        producer = Producer({"bootstrap.servers": first.bootstrap})
        producer.produce("t", b"v")
        assert producer.flush(30) == 0
        assert [len(read_log(kafka.bootstrap, "t")) for kafka in (first, second)] == [1, 0]
        first.close()
