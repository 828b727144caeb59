"""What is not stored, why, and what becomes of its neighbours."""

import asyncio
import random

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, PRODUCE, FakeClock, Incidents, errors, producing, read_log

from eventbus_gateway.errors import (
    EventTooLarge,
    InternalError,
    NotAttempted,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    RecordRefused,
    TopicUnavailable,
    UnknownTopic,
)
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored, Unknown


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
        async with producing(broker.bootstrap, linger_ms=50) as sink:
            return await sink.send(name, records)

    outcomes = asyncio.run(run())
    assert errors(outcomes) == [None] * 20 + [EventTooLarge] + [None] * 20
    assert [r.value for r in read_log(broker.bootstrap, name)] == [record.value for record in small]


def test_behind_a_second_try_without_an_answer_the_rest_of_its_key_stays_out() -> None:
    records = [Record(key, value, []) for key, value in [(b"a", b"a1"), (b"b", b"b1"), (b"a", b"a2"), (b"b", b"b2")]]

    async def run(kafka: EmbeddedKafka) -> list[Outcome]:
        async with producing(kafka.bootstrap, linger_ms=50) as sink:
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
