"""A table while brokers die, while Kafka is away, and on a log that is compacted in earnest."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from tests.broker import Broker, Node, free_port
from tests.kafka.support import PATIENCE, read_log
from tests.kafka.tables import FAST, LIMITS, Replica, replica

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, PreconditionFailed
from eventbus_gateway.kafka.entries import GRAVE_SECONDS
from eventbus_gateway.kafka.view import Entry

COMPACT = {
    "cleanup.policy": "compact",
    # Segments end after a moment, and whatever is in an ended one is compacted.
    "segment.ms": "50",
    "min.cleanable.dirty.ratio": "0.0001",
    "delete.retention.ms": "0",
}


@pytest.fixture(scope="module")
def compacting() -> Iterator[Broker]:
    """A broker that compacts several times a second."""
    with Broker({"log.cleaner.backoff.ms": "50"}) as one:
        yield one


async def _write(one: Replica, seed: int, times: int) -> None:
    """Put, replace and delete a few keys, on top of what is there."""
    chance = random.Random(seed)
    for _ in range(times):
        key = chance.choice("abc")
        entry = one.table.get(key)
        try:
            if entry is not None and chance.random() < 0.3:
                await one.table.delete(key, if_version=entry.version)
            else:
                await one.table.put(key, b"%d" % chance.randrange(10**9), if_version=entry.version if entry else 0)
        except PreconditionFailed:
            continue


@pytest.mark.broker
def test_replicas_and_those_that_start_later_agree_while_the_log_is_compacted(compacting: Broker) -> None:
    compacting.create_topic("compacted", config=COMPACT)
    bootstrap = compacting.bootstrap

    async def run() -> int:
        async with replica(bootstrap, "compacted") as a, replica(bootstrap, "compacted") as b:
            written = 0
            for part in range(6):
                await asyncio.gather(_write(a, part, 25), _write(b, 100 + part, 25))
                written += 50
                await _settled(a, b)
                async with replica(bootstrap, "compacted") as late:
                    assert sorted(late.table.items()) == sorted(a.table.items())
            return written

    written = asyncio.run(run())
    # Each write is followed by tombstones; were nothing compacted, there would be far more records than writes.
    assert len(read_log(bootstrap, "compacted")) < written


async def _settled(one: Replica, other: Replica) -> None:
    """Wait until both have read what the other one wrote."""
    for number, (writer, reader) in enumerate(((one, other), (other, one))):
        mark = await writer.table.put(f"mark {number}", b"")
        await reader.until(lambda table, mark=mark: table.get(mark.key) == mark)  # type: ignore[misc]


@pytest.mark.broker
def test_a_deleted_key_is_forgotten_in_the_end_and_can_be_used_again(compacting: Broker) -> None:
    compacting.create_topic("forgotten", config=COMPACT)

    async def run() -> None:
        async with replica(compacting.bootstrap, "forgotten") as one:
            first = await one.table.put("a", b"1")
            await one.table.delete("a")
        later = lambda: first.version / 1000 + 2 * GRAVE_SECONDS  # noqa: E731
        async with replica(compacting.bootstrap, "forgotten", now=later) as one:
            again = await one.table.put("a", b"2", if_version=0)
            assert again.version > first.version
        async with replica(compacting.bootstrap, "forgotten") as one:
            assert list(one.table.items()) == [again]

    asyncio.run(run())


@pytest.mark.broker
def test_kafka_may_be_away_at_the_start_and_later_and_nothing_that_was_confirmed_is_lost() -> None:
    node = Node(0, free_port(), free_port())

    async def run() -> None:
        bootstrap, short = f"127.0.0.1:{node.port}", LIMITS._replace(visible_seconds=1.0)
        async with replica(bootstrap, "t", limits=short, wait_seconds=0.2, delivery_timeout_seconds=2) as one:
            assert not one.table.is_ready
            with pytest.raises(KafkaUnavailable):
                await one.table.put("a", b"1")
            broker = await asyncio.to_thread(lambda: Broker(node=node))
            try:
                await asyncio.to_thread(broker.create_topic, "t", config={"cleanup.policy": "compact"})
                await asyncio.wait_for(one.table.wait_ready(), PATIENCE)
                before = await _put(one, "a", b"1")
                async with replica(bootstrap, "t", pace=FAST) as other:
                    await asyncio.to_thread(broker.kill)
                    assert one.table.get("a") == other.table.get("a") == before, "the view outlives the outage"
                    with pytest.raises(GatewayError):
                        await asyncio.wait_for(one.table.put("b", b"1"), PATIENCE)
                    await asyncio.to_thread(broker.restart)
                    after = await _put(one, "a", b"2")
                    await other.until(lambda table: table.get("a") == after)
            finally:
                await asyncio.to_thread(broker.close)

    asyncio.run(run())


async def _put(one: Replica, key: str, value: bytes) -> Entry:
    """Write as a caller does who tries again when told to."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await one.table.put(key, value)
            except GatewayError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0)
