"""All subscriptions as replicas see them, in a table on a real broker."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE
from tests.kafka.tables import FAST, LIMITS, replica

from eventbus_gateway.errors import (
    InvalidSubscription,
    KafkaUnavailable,
    OwnerUnavailable,
    PreconditionFailed,
    TooManySubscriptions,
)
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.table import ABSENT, ANY, Table
from eventbus_gateway.subscriptions.resource import Subscription, created, to_bytes, with_pause
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore

NOON = 1_700_000_000_000
SETTINGS = SubscriptionSettings(max_subscriptions=4, max_subscriptions_per_owner=2, max_subscription_bytes=4_096)

Seen = list[tuple[str | None, str | None]]


def subscription(name: str = "board", owner: str = "clinic", **fields: Any) -> Subscription:
    return created(owner, name, Spec.model_validate({"topics": ["notes"], **fields}), NOON)


@pytest.fixture
def table(topic: TopicFactory) -> str:
    return topic(1, cleanup_policy="compact")


@asynccontextmanager
async def stores(broker: Broker, table: str) -> AsyncIterator[tuple[SubscriptionStore, Table]]:
    async with replica(broker.bootstrap, table) as own:
        yield SubscriptionStore(own.table, SETTINGS), own.table


async def shown(store: SubscriptionStore, condition: Callable[[], bool]) -> None:
    """Wait until a store shows something."""
    changed = asyncio.Event()
    store.on_change(lambda before, after: changed.set())
    while not condition():
        changed.clear()
        await asyncio.wait_for(changed.wait(), PATIENCE)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def go() -> None:
        await scenario()

    asyncio.run(go())


def test_what_was_put_is_found_by_name_and_by_id_and_by_its_owner(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, _):
            second, first = subscription("b"), subscription("a")
            others = subscription("a", owner="archive")
            kept = [await store.put(each, ABSENT) for each in (second, first, others)]
            assert store.get("clinic", "a") == kept[1] == Kept(first, kept[1].version)
            assert store.by_id(others.id) == kept[2]
            assert store.of_owner("clinic") == [kept[1], kept[0]]
            assert sorted(each.id for each in store.all()) == sorted(each.subscription.id for each in kept)
            assert store.get("clinic", "c") is store.get("nobody", "a") is store.by_id("0") is None
            assert store.of_owner("nobody") == []

    run(scenario)


def test_a_version_is_replaced_once_and_a_name_is_taken_once(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, _):
            kept = await store.put(subscription(), ABSENT)
            with pytest.raises(PreconditionFailed):
                await store.put(subscription(), ABSENT)
            paused = with_pause(kept.subscription, True, NOON)
            again = await store.put(paused, kept.version)
            assert again.version != kept.version
            for stale in (kept.version, ABSENT):
                with pytest.raises(PreconditionFailed):
                    await store.put(kept.subscription, stale)
            with pytest.raises(PreconditionFailed):
                await store.delete("clinic", "board", kept.version)
            assert store.get("clinic", "board") == again
            await store.delete("clinic", "board", again.version)
            assert store.get("clinic", "board") is store.by_id(paused.id) is None

    run(scenario)


def test_every_replica_hears_of_every_change_in_order(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        seen: Seen = []

        def note(before: Subscription | None, after: Subscription | None) -> None:
            seen.append((before.id if before else None, after.id if after else None))

        async with stores(broker, table) as (one, _), stores(broker, table) as (other, _):
            other.on_change(note)
            first = await one.put(subscription(), ABSENT)
            paused = await one.put(with_pause(first.subscription, True, NOON), first.version)
            await one.delete("clinic", "board", paused.version)
            second = await one.put(subscription(), ABSENT)
            await shown(other, lambda: other.by_id(second.subscription.id) is not None)
            old, new = first.subscription.id, second.subscription.id
            assert seen == [(None, old), (old, old), (old, None), (None, new)]
            assert other.by_id(old) is None

    run(scenario)


def test_a_store_knows_what_was_there_before_it(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, own):
            kept = await store.put(subscription(), ABSENT)
            assert [*SubscriptionStore(own, SETTINGS).all()] == [kept.subscription]
        async with stores(broker, table) as (store, _):
            assert store.get("clinic", "board") == kept

    run(scenario)


def test_a_listener_that_fails_keeps_nobody_from_hearing(
    broker: Broker, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(before: Subscription | None, after: Subscription | None) -> None:
        raise RuntimeError

    async def scenario() -> None:
        heard: list[Subscription | None] = []
        async with stores(broker, table) as (store, _):
            store.on_change(fail)
            store.on_change(lambda before, after: heard.append(after))
            kept = await store.put(subscription(), ABSENT)
            assert heard == [kept.subscription]

    run(scenario)
    assert "a listener of the subscriptions failed" in caplog.text


def test_what_a_newer_version_has_written_is_left_alone_and_told_once(
    broker: Broker, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    newer = b'{"format":2,"patient":"secret"}'

    async def scenario() -> None:
        async with stores(broker, table) as (store, own):
            kept = await store.put(subscription(), ABSENT)
            seen: list[Subscription | None] = []
            store.on_change(lambda before, after: seen.append(after))
            with caplog.at_level(logging.WARNING):
                await own.put("clinic/board", newer)
                await own.put("clinic/board", newer + b" ")
            # Whoever serves it here has to stop, and nobody may take it for absent.
            assert seen == [None]
            assert store.by_id(kept.subscription.id) is None
            with pytest.raises(OwnerUnavailable):
                store.get("clinic", "board")
            with pytest.raises(PreconditionFailed):
                await store.put(subscription(), ABSENT)
            assert store.of_owner("clinic") == []
            entry = own.get("clinic/board")
            assert entry is not None
            assert entry.value == newer + b" "
            # It counts as one of the owner's.
            await store.put(subscription("b"), ABSENT)
            with pytest.raises(TooManySubscriptions):
                await store.put(subscription("c"), ABSENT)
            # A version that is understood again is served again.
            await own.put("clinic/board", to_bytes(kept.subscription))
            found = store.get("clinic", "board")
            assert found is not None
            assert (found.subscription, seen[-1]) == (kept.subscription, kept.subscription)
            await own.put("clinic/board", newer)
            await own.delete("clinic/board")
            assert store.get("clinic", "board") is None

    run(scenario)
    assert caplog.text.count("clinic/board is not understood") == 2
    assert "secret" not in caplog.text


def test_what_is_stored_under_another_name_is_nobodys(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, own):
            await own.put("archive/board", to_bytes(subscription()), if_version=ANY)
            assert [*store.all()] == []
            with pytest.raises(OwnerUnavailable):
                store.get("archive", "board")
            assert store.get("clinic", "board") is None

    run(scenario)


def test_there_is_a_bound_on_one_owners_and_on_all_subscriptions(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, _):
            first = await store.put(subscription("a"), ABSENT)
            await store.put(subscription("b"), ABSENT)
            with pytest.raises(TooManySubscriptions, match="A principal may have 2"):
                await store.put(subscription("c"), ABSENT)
            # The owner's name being the beginning of another's does not matter.
            await store.put(subscription("c", owner="clin"), ABSENT)
            # What is there can be changed all the same.
            first = await store.put(with_pause(first.subscription, True, NOON), first.version)
            await store.put(subscription("d", owner="archive"), ABSENT)
            with pytest.raises(TooManySubscriptions):
                await store.put(subscription("e", owner="nobody"), ABSENT)
            await store.delete("clinic", "a", first.version)
            await store.put(subscription("e", owner="nobody"), ABSENT)

    run(scenario)


def test_a_subscription_that_is_too_large_is_refused_before_it_is_written(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (store, _):
            large = subscription(filter={"data": {"a": ["x" * 5_000]}})
            with pytest.raises(InvalidSubscription) as refused:
                await store.put(large, ABSENT)
            assert [fault.detail for fault in refused.value.faults] == ["expected at most 4096 bytes"]
            assert store.get("clinic", "board") is None

    run(scenario)


def test_one_that_another_replica_stores_this_moment_is_waited_for(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with stores(broker, table) as (one, _), stores(broker, table) as (other, _):
            searches = [asyncio.create_task(other.found("clinic", "board", PATIENCE)) for _ in range(2)]
            given_up = asyncio.create_task(other.found("clinic", "board", PATIENCE))
            assert await other.found("clinic", "ghost", 0.01) is None
            given_up.cancel()
            kept = await one.put(subscription(), ABSENT)
            assert await asyncio.gather(*searches) == [kept, kept]
            assert await other.found("clinic", "board", 0) == kept

    run(scenario)


def test_nothing_is_said_to_be_absent_before_the_table_was_read() -> None:
    async def scenario() -> None:
        settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", probe_seconds=0.1)
        table = Table(settings, "t", MemoryKafka({"t": 1}), LIMITS, pace=FAST)
        store = SubscriptionStore(table, SETTINGS)
        for question in (lambda: store.get("clinic", "board"), lambda: store.of_owner("clinic")):
            with pytest.raises(KafkaUnavailable):
                question()
        with pytest.raises(KafkaUnavailable):
            await store.put(subscription(), ABSENT)
        with pytest.raises(KafkaUnavailable):
            await store.delete("clinic", "board", 1)

    run(scenario)
