"""What is answered about a record is what the log shows."""

import asyncio
import random
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from tests.broker import Broker, Node, free_port
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, FakeClock, Incidents, LoggedRecord, producing, read_log, until

from eventbus_gateway.errors import (
    EventTooLarge,
    InternalError,
    KafkaUnavailable,
    NotAttempted,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    RecordRefused,
    ShuttingDown,
    TopicUnavailable,
    UnknownTopic,
)
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, RecordSink, Stored, Unknown
from eventbus_gateway.kafka.settings import KafkaSettings

OUT_OF_ORDER_SEQUENCE_NUMBER = 45
PRODUCE = 0


def errors(outcomes: list[Outcome]) -> list[type | None]:
    """The kinds of error, None where a record is stored."""
    return [None if isinstance(outcome, Stored) else type(outcome.error) for outcome in outcomes]


def test_the_log_has_what_was_sent_at_the_place_that_the_receipt_names(broker: Broker, topic: TopicFactory) -> None:
    name = topic(3)
    records = [
        Record(b"key", b"value", [("b", b"1"), ("a", b"2"), ("b", b"3")]),
        Record(None, b"\x00\xff", []),
        Record(b"", b"", [("empty", b"")]),
    ]

    async def run() -> list[Outcome]:
        async with producing(broker.bootstrap) as sink:
            single = [await sink.send(name, [record]) for record in records]
            return [outcome for outcomes in single for outcome in outcomes] + await sink.send(name, records)

    outcomes = asyncio.run(run())
    logged = {(record.partition, record.offset): record for record in read_log(broker.bootstrap, name)}
    assert len(logged) == 6
    for outcome, record in zip(outcomes, records * 2, strict=True):
        assert isinstance(outcome, Stored)
        assert logged[outcome.partition, outcome.offset] == LoggedRecord(*outcome, *record[:3])


def test_the_timestamp_is_the_brokers_where_the_topic_says_so(broker: Broker, topic: TopicFactory) -> None:
    name = topic(message_timestamp_type="LogAppendTime")

    async def run() -> list[Outcome]:
        async with producing(broker.bootstrap) as sink:
            return await sink.send(name, [Record(None, b"1", [])])

    (outcome,) = asyncio.run(run())
    (record,) = read_log(broker.bootstrap, name)
    assert isinstance(outcome, Stored)
    assert outcome.timestamp == record.timestamp


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (org.apache.kafka.common.utils.Utils), unsigned."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_reference_hash_gives_the_vectors_of_kafkas_own_tests(key: str, expected: int) -> None:
    assert murmur2(key.encode()) == expected & 0xFFFFFFFF


def test_a_key_goes_to_the_partition_that_a_java_producer_chooses(broker: Broker, topic: TopicFactory) -> None:
    name = topic(7)
    keys = [b"21", b"foobar", b"abc", b"", "schlüssel".encode(), *(b"key-%d" % number for number in range(100))]

    async def run() -> list[Outcome]:
        async with producing(broker.bootstrap) as sink:
            return await sink.send(name, [Record(key, b"v", []) for key in keys])

    for key, outcome in zip(keys, asyncio.run(run()), strict=True):
        assert isinstance(outcome, Stored)
        assert outcome.partition == (murmur2(key) & 0x7FFFFFFF) % 7


def test_a_batch_keeps_its_order_per_key(broker: Broker, topic: TopicFactory) -> None:
    name = topic(4)
    batches = [[Record(b"k%d" % (n % 5), b"%d.%03d" % (batch, n), []) for n in range(300)] for batch in range(5)]

    async def run() -> None:
        async with producing(broker.bootstrap) as sink:
            for outcomes in await asyncio.gather(*(sink.send(name, batch) for batch in batches)):
                assert errors(outcomes) == [None] * 300

    asyncio.run(run())
    logged = read_log(broker.bootstrap, name)
    assert len(logged) == 1_500
    for batch, key in ((batch, b"k%d" % k) for batch in range(5) for k in range(5)):
        order = [r.value for r in logged if r.key == key and (r.value or b"").startswith(b"%d." % batch)]
        assert order == [b"%d.%03d" % (batch, n) for n in range(300) if b"k%d" % (n % 5) == key]


def test_an_empty_request_has_no_outcomes(broker: Broker, topic: TopicFactory) -> None:
    name = topic()

    async def run() -> list[Outcome]:
        async with producing(broker.bootstrap) as sink:
            return await sink.send(name, [])

    assert asyncio.run(run()) == []


def test_at_the_bound_of_records_a_request_is_refused_as_a_whole() -> None:
    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, max_in_flight_records=10, linger_ms=200) as sink:
            first = sink.send("t", [Record(None, b"1", [])] * 8)
            with pytest.raises(Overloaded) as refusal:
                sink.send("t", [Record(None, b"2", [])] * 3)
            assert refusal.value.retry_after
            second = sink.send("t", [Record(None, b"3", [])] * 2)
            with pytest.raises(Overloaded):
                sink.send("t", [Record(None, b"4", [])])
            assert sink.status().in_flight_records == 10
            assert errors(await first + await second) == [None] * 10
            assert (sink.status().in_flight_records, sink.status().in_flight_bytes) == (0, 0)
            assert errors(await sink.send("t", [Record(None, b"5", [])])) == [None]

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert [r.value for r in read_log(kafka.bootstrap, "t")] == [b"1"] * 8 + [b"3"] * 2 + [b"5"]


def test_at_the_bound_of_bytes_a_request_is_refused_as_a_whole() -> None:
    big = Record(b"key", bytes(600_000), [("h", b"0123456789")])

    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, max_in_flight_bytes=1_048_576, linger_ms=200) as sink:
            first = sink.send("t", [big])
            assert sink.status().in_flight_bytes == 600_014
            with pytest.raises(Overloaded):
                sink.send("t", [big])
            with pytest.raises(Overloaded):
                sink.send("t", [Record(None, bytes(300_000), [])] * 2)
            assert errors(await first) == [None]
            assert sink.status().in_flight_bytes == 0

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert len(read_log(kafka.bootstrap, "t")) == 1


def test_at_the_bound_a_caller_learns_that_a_kafka_quota_is_the_reason() -> None:
    clock, incidents = FakeClock(), Incidents()

    async def run(bootstrap: str) -> None:
        settings = {"max_in_flight_records": 1, "linger_ms": 200}
        async with producing(bootstrap, clock=clock, on_event=incidents, **settings) as sink:
            waiting = sink.send("t", [Record(None, b"1", [])])
            sink.throttled(0.0)
            with pytest.raises(Overloaded):
                sink.send("t", [Record(None, b"2", [])])
            sink.throttled(8.0)
            with pytest.raises(QuotaExceeded) as refusal:
                sink.send("t", [Record(None, b"2", [])])
            assert refusal.value.retry_after == 8.0
            clock.now += 9.0
            with pytest.raises(Overloaded):
                sink.send("t", [Record(None, b"2", [])])
            assert errors(await waiting) == [None]
        assert incidents.kinds() == ["throttled"]

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_a_record_above_the_gateways_limit_keeps_its_whole_request_out() -> None:
    small, large = Record(b"k", b"v", []), Record(b"k", bytes(900), [("h", bytes(200))])

    async def run(bootstrap: str) -> None:
        async with producing(bootstrap, max_record_bytes=1_024) as sink:
            assert errors(await sink.send("t", [large])) == [EventTooLarge]
            assert errors(await sink.send("t", [small, large, small])) == [NotAttempted, EventTooLarge, NotAttempted]
            assert errors(await sink.send("t", [small] * 2_000)) == [None] * 2_000
            assert sink.status().in_flight_records == 0

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert len(read_log(kafka.bootstrap, "t")) == 2_000


def test_a_header_name_that_would_crash_the_client_keeps_its_request_out() -> None:
    unusable = Record(b"k", b"2", [("\ud800", b"")])

    async def run(bootstrap: str) -> None:
        async with producing(bootstrap) as sink:
            assert errors(await sink.send("t", [unusable])) == [InternalError]
            outcomes = await sink.send("t", [Record(b"k", b"1", []), unusable, Record(b"k", b"3", [])])
            assert errors(outcomes) == [NotAttempted, InternalError, NotAttempted]
            assert errors(await sink.send("t", [Record(b"k", b"4", [("überschrift", b"")])])) == [None]
            assert sink.status().in_flight_records == 0

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
        assert [(r.value, r.headers) for r in read_log(kafka.bootstrap, "t")] == [(b"4", [("überschrift", b"")])]


def test_only_the_record_without_key_is_refused_by_a_compacted_topic(broker: Broker, topic: TopicFactory) -> None:
    name = topic(cleanup_policy="compact")
    incidents = Incidents()
    mixed = [Record(b"a", b"a1", []), Record(b"b", b"b1", []), Record(None, b"bad", []), Record(b"a", b"a2", [])]

    async def run() -> list[list[Outcome]]:
        async with producing(broker.bootstrap, on_event=incidents, linger_ms=50) as sink:
            singles = [sink.send(name, [Record(b"s%d" % n, b"v", [])]) for n in range(20)]
            requests = [sink.send(name, mixed), sink.send(name, [Record(None, b"bad", [])]), *singles]
            outcomes = await asyncio.gather(*requests)
            assert sink.status().in_flight_records == 0
            return outcomes

    first, lonely, *singles = asyncio.run(run())
    assert errors(first) == [None, None, RecordRefused, None]
    assert errors(lonely) == [RecordRefused]
    assert errors([outcome for outcomes in singles for outcome in outcomes]) == [None] * 20
    assert "refused_batch" in incidents.kinds()
    logged = read_log(broker.bootstrap, name)
    assert [r.value for r in logged if r.key == b"a"] == [b"a1", b"a2"]
    assert {r.key for r in logged} == {b"a", b"b", *(b"s%d" % n for n in range(20))}
    stored = [o for outcomes in (first, *singles) for o in outcomes if isinstance(o, Stored)]
    assert sorted(o.offset for o in stored) == [r.offset for r in logged]


def test_only_the_record_that_is_too_large_for_the_topic_is_refused(broker: Broker, topic: TopicFactory) -> None:
    name = topic(max_message_bytes="2000")
    noise = random.Random(1)
    small = [Record(b"k", noise.randbytes(100), []) for _ in range(40)]
    records = [*small[:20], Record(b"k", noise.randbytes(5_000), []), *small[20:]]

    async def run() -> list[Outcome]:
        async with producing(broker.bootstrap) as sink:
            return await sink.send(name, records)

    outcomes = asyncio.run(run())
    assert errors(outcomes) == [None] * 20 + [EventTooLarge] + [None] * 20
    assert [r.value for r in read_log(broker.bootstrap, name)] == [record.value for record in small]


def test_behind_a_second_try_without_an_answer_the_rest_of_its_key_stays_out() -> None:
    records = [Record(key, value, []) for key, value in [(b"a", b"a1"), (b"b", b"b1"), (b"a", b"a2"), (b"b", b"b2")]]

    async def run(kafka: EmbeddedKafka) -> list[Outcome]:
        async with producing(kafka.bootstrap) as sink:
            await sink.send("t", [Record(None, b"0", [])])
            kafka.fail_next_requests(PRODUCE, KafkaError.INVALID_RECORD, KafkaError.REQUEST_TIMED_OUT)
            return await sink.send("t", records)

    with EmbeddedKafka({"t": 1}) as kafka:
        outcomes = asyncio.run(run(kafka))
        assert errors(outcomes) == [OutcomeUnknown, None, NotAttempted, None]
        assert [type(outcome) for outcome in outcomes] == [Unknown, Stored, NotStored, Stored]
        assert [r.value for r in read_log(kafka.bootstrap, "t")] == [b"0", b"b1", b"b2"]


def test_a_topic_that_is_not_there_is_unknown_and_usable_once_it_exists(broker: Broker) -> None:
    async def run() -> None:
        async with producing(broker.bootstrap) as sink:
            assert errors(await sink.send("test.absent", [Record(None, b"v", [])])) == [UnknownTopic]
            await asyncio.to_thread(broker.create_topic, "test.absent")
            await sink.topics()
            assert errors(await sink.send("test.absent", [Record(None, b"v", [])])) == [None]

    asyncio.run(run())


def test_a_refused_permission_ends_when_it_is_granted(broker: Broker, topic: TopicFactory) -> None:
    name = topic()
    place = (ResourceType.TOPIC, name, ResourcePatternType.LITERAL)
    rule = (AclOperation.WRITE, AclPermissionType.DENY)
    everything = AclBinding(*place, "User:ANONYMOUS", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    broker.admin.create_acls([everything])[everything].result(PATIENCE)
    denied = AclBinding(*place, "User:ANONYMOUS", "*", *rule)
    broker.admin.create_acls([denied])[denied].result(PATIENCE)

    async def run() -> None:
        async with producing(broker.bootstrap) as sink:
            outcomes = await sink.send(name, [Record(b"k", b"1", [])] * 2)
            assert errors(outcomes) == [TopicUnavailable] * 2
            assert all(type(outcome) is NotStored for outcome in outcomes)
            everybody = AclBindingFilter(*place, "User:ANONYMOUS", "*", *rule)
            lifted = broker.admin.delete_acls([everybody])[everybody]
            await asyncio.to_thread(lifted.result, PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while errors(await sink.send(name, [Record(b"k", b"2", [])])) != [None]:
                    # A round trip of another client, so that the loop goes on; the sink has to heal by itself.
                    await asyncio.to_thread(broker.admin.list_topics, timeout=PATIENCE)

    asyncio.run(run())
    assert [r.value for r in read_log(broker.bootstrap, name)] == [b"2"]


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
