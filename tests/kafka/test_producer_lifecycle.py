"""From the start to the drain: deadlines, fatal errors, outages."""

import asyncio
from typing import Any

import pytest
from tests.broker import Broker, Node, free_port
from tests.kafka.support import PATIENCE, PRODUCE, FakeClock, Incidents, errors, producing, read_log, until

from eventbus_gateway.errors import (
    InternalError,
    KafkaUnavailable,
    ShuttingDown,
)
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import Record, RecordSink, Unknown
from eventbus_gateway.kafka.settings import KafkaSettings

OUT_OF_ORDER_SEQUENCE_NUMBER = 45


def test_at_the_deadline_a_request_is_unknown_and_its_memory_is_counted_until_the_report() -> None:
    clock = FakeClock()

    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, clock=clock, linger_ms=1_000, delivery_timeout_seconds=20) as sink:
            single, batch = sink.send("t", [Record(None, b"1", [])]), sink.send("t", [Record(None, b"2", [])] * 3)
            clock.now += 19.0
            assert sink.status().oldest_seconds == 19.0
            later = sink.send("t", [Record(None, b"3", [])])
            clock.now += 1.5
            for outcomes in (await single, await batch):
                assert {type(outcome) for outcome in outcomes} == {Unknown}
            assert not later.done()
            assert sink.status().in_flight_records == 5
            assert errors(await later) == [None]
            await until(lambda: sink.status().in_flight_records == 0, "all reports")
            assert sink.status().in_flight_bytes == 0

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert len(read_log(kafka.bootstrap, "t")) == 5


def test_a_client_that_never_reports_is_replaced() -> None:
    clock, incidents = FakeClock(), Incidents()

    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, clock=clock, on_event=incidents, linger_ms=1_000) as sink:
            lost = sink.send("t", [Record(None, b"1", [])])
            clock.now += 21.0
            assert type((await lost)[0]) is Unknown
            clock.now += 60.0
            await incidents.until("replaced")
            assert incidents.kinds()[:2] == ["reports_lost", "fatal"]
            assert sink.status().in_flight_records == 0
            assert errors(await sink.send("t", [Record(None, b"2", [])])) == [None]

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_records_of_a_client_that_was_given_up_are_unknown_without_a_report() -> None:
    async def run(bootstrap: str) -> None:
        incidents = Incidents()
        async with producing(bootstrap, linger_ms=1_000, on_event=incidents) as sink:
            lost, more = sink.send("t", [Record(None, b"1", [])]), sink.send("t", [Record(None, b"2", [])] * 3)
            sink.failed_for_good("test")
            assert [type(outcome) for outcome in lost.result() + more.result()] == [Unknown] * 4
            assert sink.status().in_flight_records == 0
            await incidents.until("replaced")

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_after_a_fatal_error_what_was_in_flight_is_unknown_and_a_new_client_takes_over() -> None:
    incidents = Incidents()

    async def run(kafka: EmbeddedKafka) -> None:
        async with producing(kafka.bootstrap, on_event=incidents, linger_ms=50) as sink:
            assert errors(await sink.send("t", [Record(b"k", b"0", [])])) == [None]
            for times in (1, 2):
                kafka.fail_next_requests(PRODUCE, OUT_OF_ORDER_SEQUENCE_NUMBER)
                lost, more = sink.send("t", [Record(b"k", b"1", [])]), sink.send("t", [Record(b"k", b"2", [])] * 3)
                assert {type(outcome) for outcome in await lost + await more} == {Unknown}
                assert not sink.status().up
                with pytest.raises(KafkaUnavailable):
                    sink.send("t", [Record(b"k", b"3", [])])
                await incidents.until("replaced", times)
                assert sink.status() == ProducerStatus(True, 0, 0, 0.0, times)
                assert errors(await sink.send("t", [Record(b"k", b"4", [])])) == [None]
        assert incidents.kinds() == ["fatal", "replaced"] * 2

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka))


@pytest.mark.broker
def test_without_kafka_publishes_are_refused_at_once_until_it_is_there() -> None:
    incidents = Incidents()
    node = Node(0, free_port(), free_port())

    async def run() -> None:
        async with producing(f"127.0.0.1:{node.port}", on_event=incidents, metadata_timeout_seconds=0.5) as sink:
            with pytest.raises(KafkaUnavailable) as refusal:
                sink.send("t", [Record(None, b"v", [])])
            assert refusal.value.retry_after == 0.1
            broker = await asyncio.to_thread(Broker, node=node)
            try:
                await asyncio.to_thread(broker.create_topic, "t")
                await until(lambda: sink.status().up, "Kafka to be noticed")
                assert errors(await sink.send("t", [Record(None, b"v", [])])) == [None]
                broker.kill()
                # Nothing is in flight: the outage is noticed and healed all the same.
                await until(lambda: not sink.status().up, "the outage to be noticed")
                with pytest.raises(KafkaUnavailable):
                    sink.send("t", [Record(None, b"v", [])])
                await asyncio.to_thread(broker.restart)
                await until(lambda: sink.status().up, "the end of the outage to be noticed")
                assert errors(await sink.send("t", [Record(None, b"v", [])])) == [None]
                # What a client reported during the outage does not bring it back for a moment after its end.
                assert incidents.kinds() == ["down", "up"] * 2
            finally:
                broker.close()

    asyncio.run(run())


def test_draining_answers_what_is_in_flight_and_refuses_what_is_new() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, linger_ms=100) as sink:
            waiting = [sink.send("t", [Record(None, b"v", [])] * count) for count in (1, 5)]
            draining = asyncio.create_task(sink.drain(PATIENCE))
            await asyncio.sleep(0)
            with pytest.raises(ShuttingDown):
                sink.send("t", [Record(None, b"v", [])])
            assert await draining == 0
            assert [errors(future.result()) for future in waiting] == [[None], [None] * 5]

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert len(read_log(kafka.bootstrap, "t")) == 6


def test_draining_ends_in_time_when_kafka_does_not_answer() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, linger_ms=1_000) as sink:
            waiting = sink.send("t", [Record(None, b"v", [])] * 2)
            assert await sink.drain(0.05) == 2
            assert {type(outcome) for outcome in waiting.result()} == {Unknown}

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_a_request_whose_caller_gave_up_leaves_nothing_behind() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap) as sink:
            for count in (1, 3):
                sink.send("t", [Record(None, b"v", [])] * count).cancel()
            await until(lambda: sink.status().in_flight_records == 0, "all reports")

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_a_configuration_that_librdkafka_refuses_ends_the_start() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="SSL", ca_file="/nonexistent.pem")
    with pytest.raises(InternalError, match="configuration"):
        asyncio.run(KafkaProducer(settings).start())


def test_before_the_start_publishes_are_refused() -> None:
    settings: dict[str, Any] = {"bootstrap_servers": "127.0.0.1:1"}
    sink: RecordSink = KafkaProducer(KafkaSettings(**settings))
    with pytest.raises(KafkaUnavailable):
        sink.send("t", [Record(None, b"v", [])])
