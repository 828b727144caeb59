"""What is answered about a stored record is what the log shows."""

import asyncio

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import LoggedRecord, errors, producing, read_log

from eventbus_gateway.kafka.records import Outcome, Record, Stored


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
