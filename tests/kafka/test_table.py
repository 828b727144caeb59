"""A compacted topic as a map that replicas share."""

import asyncio
import contextlib
import logging
import time

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, read_log, until
from tests.kafka.tables import LIMITS, Replica, replica

from eventbus_gateway.errors import (
    EventTooLarge,
    KafkaUnavailable,
    OutcomeUnknown,
    Overloaded,
    PreconditionFailed,
    ShuttingDown,
)
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.entries import GRAVE_SECONDS, encode, successor
from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.kafka.table import ABSENT
from eventbus_gateway.kafka.view import Change, Entry

DAY = GRAVE_SECONDS


def test_whoever_has_written_reads_it_back_at_once_and_so_does_the_next_process(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(cleanup_policy="compact")

    async def write() -> dict[str, Entry]:
        async with replica(broker.bootstrap, name) as one:
            table = one.table
            for number in range(20):
                entry = await table.put(f"key {number % 5}", b"%d" % number)
                assert table.get(f"key {number % 5}") == entry
            assert await table.delete("key 0")
            assert table.get("key 0") is None
            assert not await table.delete("key 0")
            assert not await table.delete("never there")
            assert len(table) == 4
            return {entry.key: entry for entry in table.items()}

    async def read() -> dict[str, Entry]:
        async with replica(broker.bootstrap, name) as one:
            assert [change.after for change in one.changes] == list(one.table.items())
            return {entry.key: entry for entry in one.table.items()}

    written = asyncio.run(write())
    assert {key: entry.value for key, entry in written.items()} == {f"key {n}": b"%d" % (15 + n) for n in range(1, 5)}
    assert asyncio.run(read()) == written


def test_a_change_on_one_replica_is_seen_by_another_within_a_second(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one, replica(broker.bootstrap, name, pace=Pace()) as other:
            entry = await one.table.put("a", b"1")
            assert await other.until(lambda table: table.get("a") == entry) < 1.0
            again = await one.table.put("a", b"2")
            assert await other.until(lambda table: table.get("a") == again) < 1.0
            await one.table.delete("a")
            assert await other.until(lambda table: table.get("a") is None) < 1.0
            assert other.changes == [Change("a", None, entry), Change("a", entry, again), Change("a", again, None)]

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_a_condition_that_does_not_hold_refuses_the_write(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one:
            table = one.table
            first = await table.put("a", b"1", if_version=ABSENT)
            with pytest.raises(PreconditionFailed):
                await table.put("a", b"2", if_version=ABSENT)
            with pytest.raises(PreconditionFailed):
                await table.put("a", b"2", if_version=first.version + 1)
            second = await table.put("a", b"2", if_version=first.version)
            with pytest.raises(PreconditionFailed):
                await table.delete("a", if_version=first.version)
            with pytest.raises(PreconditionFailed):
                await table.delete("b", if_version=first.version)
            assert table.get("a") == second
            assert await table.delete("a", if_version=second.version)
            third = await table.put("a", b"3", if_version=ABSENT)
            assert first.version < second.version < third.version

    asyncio.run(run(topic(cleanup_policy="compact")))


async def _add_one(one: Replica) -> bool:
    """Write one more on top of what this replica sees; whether it was the first to do so."""
    seen = one.table.get("n")
    try:
        if seen is None:
            await one.table.put("n", b"1", if_version=ABSENT)
        else:
            await one.table.put("n", b"%d" % (int(seen.value) + 1), if_version=seen.version)
    except PreconditionFailed:
        return False
    return True


async def _race(number: int, *replicas: Replica) -> None:
    """Let all write the same number: they look before anybody's write can be in a view, and one is the first."""
    assert sum(await asyncio.gather(*map(_add_one, replicas))) == 1
    for one in replicas:
        await one.until(lambda table: _value(table.get("n")) == b"%d" % number)


def test_three_replicas_that_race_for_a_key_lose_no_update_and_agree(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        bootstrap = broker.bootstrap
        async with replica(bootstrap, name) as a, replica(bootstrap, name) as b, replica(bootstrap, name) as c:
            for number in range(1, 31):
                await _race(number, a, b, c)
            (entry,) = {one.table.get("n") for one in (a, b, c)}
            # Every number was there once, in the same order for everybody.
            for one in (a, b, c):
                values = [_value(change.after) for change in one.changes]
                assert values == [b"%d" % number for number in range(1, 31)]
            async with replica(bootstrap, name) as late:
                assert late.table.get("n") == entry

    asyncio.run(run(topic(cleanup_policy="compact")))


def _value(entry: Entry | None) -> bytes | None:
    return None if entry is None else entry.value


def test_writes_without_a_condition_all_succeed_and_the_last_one_stays(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one, replica(broker.bootstrap, name) as other:
            writes = [table.put("a", b"%d" % n) for n in range(4) for table in (one.table, other.table)]
            entries = await asyncio.gather(*writes)
            last = max(entries, key=lambda entry: entry.version)
            await one.until(lambda table: table.get("a") == last)
            await other.until(lambda table: table.get("a") == last)

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_what_does_not_count_any_more_is_removed_from_the_log(broker: Broker, topic: TopicFactory) -> None:
    name = topic(cleanup_policy="compact")

    async def run() -> None:
        async with replica(broker.bootstrap, name) as one, replica(broker.bootstrap, name) as other:
            for number in range(1, 11):
                await _race(number, one, other)

    asyncio.run(run())
    alive = {record.key for record in read_log(broker.bootstrap, name)}
    for record in read_log(broker.bootstrap, name):
        if record.value is None:
            alive.discard(record.key)
    assert len(alive) == 1


def test_what_a_dead_process_left_behind_and_old_graves_are_removed_by_whoever_starts(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(cleanup_policy="compact")
    begin = time.time()
    first = successor("a", b"1", None, begin - 3 * DAY)
    second = successor("a", b"2", first, begin - 2 * DAY)
    grave = successor("b", None, None, begin - 2 * DAY)
    young = successor("c", None, None, begin - DAY / 2)

    async def run() -> None:
        async with replica(broker.bootstrap, name) as one:
            await one.sink.send(name, [encode(record) for record in (first, second, grave, young)])
        async with replica(broker.bootstrap, name) as one:
            assert [entry.value for entry in one.table.items()] == [b"2"]

    asyncio.run(run())
    removed = [record.key for record in read_log(broker.bootstrap, name) if record.value is None]
    assert removed == [first.kafka_key, grave.kafka_key]


def test_bounds_refuse_what_would_exceed_them_and_nothing_else(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        limits = LIMITS._replace(max_entries=2, max_bytes=100, max_value_bytes=80)
        async with replica(broker.bootstrap, name, limits=limits) as one:
            table = one.table
            with pytest.raises(EventTooLarge):
                await table.put("a", b"x" * 81)
            await table.put("a", b"x" * 80)
            with pytest.raises(Overloaded, match="100 bytes"):
                await table.put("b", b"x" * 19)
            await table.put("a", b"x" * 5)
            await table.put("b", b"x" * 19)
            with pytest.raises(Overloaded, match="2 entries"):
                await table.put("c", b"")
            await table.delete("a")
            await table.put("c", b"")
            await table.delete("b")
            with pytest.raises(Overloaded, match="deleted"):
                await table.put("d", b"")
            await table.put("a", b"again, where a grave is")
            for key in ("", "ä" * 513):
                with pytest.raises(ValueError, match="1024 bytes"):
                    await table.put(key, b"")

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_records_that_no_table_wrote_are_left_alone(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one:
            foreign = [Record(b"a", b"{}", []), Record(b"a#0123456789abcdef", b"{}", [("eventbus-table", b"9")])]
            await one.sink.send(name, foreign)
            await one.table.put("b", b"1")
            assert [entry.key for entry in one.table.items()] == ["b"]

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_a_listener_that_fails_stops_neither_the_view_nor_the_others(
    broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one:
            one.table.on_change(_fail)
            heard: list[Change] = []
            one.table.on_change(heard.append)
            entry = await one.table.put("a", b"1")
            assert heard == one.changes == [Change("a", None, entry)]

    with caplog.at_level(logging.ERROR):
        asyncio.run(run(topic(cleanup_policy="compact")))
    assert "a listener of" in caplog.text


def test_after_a_long_time_without_contact_the_topic_is_read_again_and_only_differences_are_told(
    broker: Broker, topic: TopicFactory
) -> None:
    async def run(name: str) -> None:
        pace = Pace(poll_seconds=0.02, check_seconds=0.02, stale_seconds=0.0)  # every contact is too long ago
        async with replica(broker.bootstrap, name, pace=pace) as one, replica(broker.bootstrap, name) as other:
            mine = [await one.table.put(f"{number}", b"1") for number in range(10)]
            theirs = await other.table.put("x", b"1")
            await one.until(lambda table: table.get("x") == theirs)
            assert one.changes == [Change(entry.key, None, entry) for entry in [*mine, theirs]]

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(broker: Broker, topic: TopicFactory) -> None:
    name = topic(cleanup_policy="compact")

    async def run() -> None:
        pace = Pace(poll_seconds=0.05, check_seconds=0.1)
        async with replica(broker.bootstrap, name, pace=pace) as one:
            for _ in range(3):
                await one.table.put("a", b"1")
            await asyncio.to_thread(broker.admin.delete_topics([name])[name].result, PATIENCE)
            await until_created(broker, name)
            await one.until(lambda table: table.get("a") is None)
            await one.table.put("b", b"2")
            assert [entry.key for entry in one.table.items()] == ["b"]

    asyncio.run(run())


def _fail(change: Change) -> None:
    raise KeyError(change.key)


async def until_created(broker: Broker, name: str) -> None:
    """Create a topic that may still be on its way out."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Exception):
            await asyncio.to_thread(broker.create_topic, name, config={"cleanup.policy": "compact"})
            return
        assert time.monotonic() < deadline


def test_a_missing_topic_is_named_and_read_as_soon_as_it_exists(broker: Broker) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name, wait_seconds=0) as one:
            assert not one.table.is_ready
            await until(lambda: one.table.trouble is not None, "the reason")
            with pytest.raises(KafkaUnavailable, match="table-that-is-missing does not exist"):
                await one.table.put("a", b"1")
            await asyncio.to_thread(broker.create_topic, name)
            await asyncio.wait_for(one.table.wait_ready(), PATIENCE)
            assert one.table.trouble is None
            assert await one.table.put("a", b"1")

    asyncio.run(run("table-that-is-missing"))


def test_after_the_end_nothing_is_written_and_what_was_under_way_is_unknown(
    broker: Broker, topic: TopicFactory
) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one:
            under_way = asyncio.create_task(one.table.put("a", b"1"))
            await asyncio.sleep(0)
            await one.table.close()
            with pytest.raises(OutcomeUnknown):
                await under_way
            with pytest.raises(ShuttingDown):
                await one.table.put("a", b"1")

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_it_works_on_the_embedded_kafka() -> None:
    async def run(bootstrap: str) -> None:
        pace = Pace(fetch_wait_ms=10)
        async with replica(bootstrap, "t", pace=pace) as one, replica(bootstrap, "t", pace=pace) as other:
            for number in range(1, 11):
                await _race(number, one, other)
        async with replica(bootstrap, "t") as late:
            assert _value(late.table.get("n")) == b"10"

    with EmbeddedKafka({"t": 1}) as kafka:
        asyncio.run(run(kafka.bootstrap))
