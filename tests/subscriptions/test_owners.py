"""All replicas agree on who serves a slot, whoever was announced, crashed or was wrong in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE
from tests.kafka.tables import Replica, replica

from eventbus_gateway.subscriptions.owners import Owners

pytestmark = pytest.mark.broker


class Member(NamedTuple):
    """A replica's part in it."""

    owners: Owners
    held: set[int]
    replica: Replica

    async def until(self, condition: Callable[[Owners], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition(self.owners):
                await self.owners.wait_change()

    def take(self, *slots: int) -> None:
        """Hold slots, and say so."""
        self.held.update(slots)
        self.owners.announce(slots)

    def give(self, *slots: int) -> None:
        """Hold them no more."""
        self.held.difference_update(slots)
        self.owners.retract(slots)


@asynccontextmanager
async def member(bootstrap: str, topic: str, address: str) -> AsyncIterator[Member]:
    async with replica(bootstrap, topic) as one:
        held: set[int] = set()
        owners = Owners(one.table, address, held.__contains__)
        try:
            yield Member(owners, held, one)
        finally:
            await owners.close()


@asynccontextmanager
async def members(broker: Broker, topic: TopicFactory, *addresses: str) -> AsyncIterator[list[Member]]:
    name = topic(cleanup_policy="compact")
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(member(broker.bootstrap, name, address)) for address in addresses]


def test_what_one_announces_all_know_and_those_who_come_later_too(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with member(broker.bootstrap, name, "a:1") as one, member(broker.bootstrap, name, "b:2") as other:
            assert one.owners.address_of(0) is None
            one.take(*range(40))
            other.take(*range(40, 64))
            for each in (one, other):
                await each.until(lambda owners: owners.address_of(39) == "a:1" and owners.address_of(63) == "b:2")
                addresses = [each.owners.address_of(slot) for slot in range(65)]
                assert addresses == ["a:1"] * 40 + ["b:2"] * 24 + [None]
            assert [one.owners.is_own("a:1"), one.owners.is_own("b:2")] == [True, False]
            async with member(broker.bootstrap, name, "c:3") as later:
                assert [later.owners.address_of(slot) for slot in range(65)] == addresses

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_the_next_owner_takes_the_place_of_the_former_one(broker: Broker, topic: TopicFactory) -> None:
    async def run() -> None:
        async with members(broker, topic, "a:1", "[::1]:2") as (one, other):
            one.take(5, 6)
            await other.until(lambda owners: owners.address_of(6) == "a:1")
            one.give(5)
            other.take(5)
            await one.until(lambda owners: owners.address_of(5) == "[::1]:2")
            assert one.owners.address_of(6) == "a:1"

    asyncio.run(run())


def test_a_late_write_of_a_former_owner_does_not_stay(broker: Broker, topic: TopicFactory) -> None:
    async def run() -> None:
        async with members(broker, topic, "a:1", "b:2", "c:3") as (one, other, third):
            other.take(5)
            await third.until(lambda owners: owners.address_of(5) == "b:2")
            # It was on its way when its writer lost the slot.
            late = await one.replica.table.put("5", b'{"format":1,"address":"a:1"}')
            await third.until(lambda owners: owners.address_of(5) == "b:2" and _version(third, 5) > late.version)
            removed = await one.replica.table.delete("5")
            assert removed
            await third.until(lambda owners: owners.address_of(5) == "b:2")

    asyncio.run(run())


def test_who_does_not_hold_a_slot_any_more_writes_nothing_even_before_it_is_told(
    broker: Broker, topic: TopicFactory
) -> None:
    async def run() -> None:
        async with members(broker, topic, "a:1", "b:2") as (one, other):
            one.take(5, 6)
            await other.until(lambda owners: owners.address_of(6) == "a:1")
            one.held.discard(5)  # by the clock; nobody has said so yet
            other.take(5)
            await other.until(lambda owners: owners.address_of(5) == "b:2")
            version = _version(other, 5)
            # A slot that it does hold goes through the same hands, so the other one has been looked at.
            other.owners.announce([6])
            other.held.add(6)
            await one.until(lambda owners: owners.address_of(6) == "b:2")
            other.give(6)
            await other.until(lambda owners: owners.address_of(6) == "a:1")
            assert (_version(other, 5), other.owners.address_of(5)) == (version, "b:2")

    asyncio.run(run())


def test_a_crash_leaves_entries_that_the_next_owner_replaces(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with member(broker.bootstrap, name, "a:1") as one:
            one.take(5)
            await one.until(lambda owners: owners.address_of(5) == "a:1")
        async with member(broker.bootstrap, name, "b:2") as other:
            assert other.owners.address_of(5) == "a:1"
            other.take(5)
            await other.until(lambda owners: owners.address_of(5) == "b:2")

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_entries_that_are_not_understood_name_nobody(broker: Broker, topic: TopicFactory) -> None:
    async def run() -> None:
        async with members(broker, topic, "a:1", "b:2") as (one, other):
            values = [
                b"{",
                b"[]",
                b'{"format":2,"address":"c:3"}',
                b'{"format":1}',
                b'{"format":1,"address":7}',
                b'{"format":1,"address":"c:3/../x?y"}',
                b'{"format":1,"address":"user@c:3"}',
            ]
            for slot, value in enumerate(values):
                await one.replica.table.put(str(slot), value)
            for key in ("x", "-1", "1000000", "²"):
                await one.replica.table.put(key, b'{"format":1,"address":"c:3"}')
            one.take(99)
            await other.until(lambda owners: owners.address_of(99) == "a:1")
            assert [other.owners.address_of(slot) for slot in range(len(values))] == [None] * len(values)
            other.take(2)
            await one.until(lambda owners: owners.address_of(2) == "b:2")

    asyncio.run(run())


def test_what_cannot_be_written_now_is_written_later(broker: Broker, topic: TopicFactory) -> None:
    async def run() -> None:
        async with members(broker, topic, "a:1") as (one,):
            one.owners.announce([5])  # a moment before the proof that it is held
            one.owners.announce([6])
            one.held.add(6)
            await one.until(lambda owners: owners.address_of(6) == "a:1")
            assert one.owners.address_of(5) is None
            one.held.add(5)
            await one.until(lambda owners: owners.address_of(5) == "a:1")

    asyncio.run(run())


def test_what_is_announced_before_the_table_can_be_read_is_written_once_it_can(broker: Broker) -> None:
    async def run() -> None:
        async with replica(broker.bootstrap, "owners-that-come-late", wait_seconds=0.1) as one:
            assert not one.table.is_ready
            held = {5}
            owners = Owners(one.table, "a:1", held.__contains__)
            owners.announce([5])
            await asyncio.to_thread(
                broker.create_topic, "owners-that-come-late", 1, config={"cleanup.policy": "compact"}
            )
            await Member(owners, held, one).until(lambda owners: owners.address_of(5) == "a:1")
            await owners.close()

    asyncio.run(run())


def _version(member: Member, slot: int) -> int:
    entry = member.replica.table.get(str(slot))
    return 0 if entry is None else entry.version
