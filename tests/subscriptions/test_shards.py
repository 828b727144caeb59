"""Shards come and go with slots and subscriptions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.subscriptions.serving import Ground, acked, eventually, ground, is_refused, publish, received, subscription

from eventbus_gateway.subscriptions.resource import Subscription, with_pause, with_spec
from eventbus_gateway.subscriptions.shard import Shard
from eventbus_gateway.subscriptions.shards import Shards
from eventbus_gateway.subscriptions.spec import Spec

pytestmark = pytest.mark.broker

SLOTS = 8


class Subscriptions:
    """All subscriptions, as a store has them."""

    def __init__(self, *known: Subscription) -> None:
        self.known = {one.id: one for one in known}

    def all(self) -> Iterable[Subscription]:
        return self.known.values()


class Bench:
    """Shards of a process that holds whatever slots it is told."""

    def __init__(self, below: Ground, *known: Subscription) -> None:
        self.below = below
        self.known = Subscriptions(*known)
        self.held: set[int] = set()
        self.shards = Shards(self.known, below.means, lambda slot: slot in self.held)

    def assign(self, *slots: int) -> None:
        self.held.update(slots)
        self.shards.assigned(dict.fromkeys(slots, 1))

    async def revoke(self, *slots: int) -> None:
        await self.shards.revoked(frozenset(slots))
        self.held -= set(slots)

    def change(self, before: Subscription | None, after: Subscription | None) -> None:
        if before is not None:
            del self.known.known[before.id]
        if after is not None:
            self.known.known[after.id] = after
        self.shards.changed(before, after)

    async def serving(self, one: Subscription, number: int = 0) -> Shard:
        """The shard, once it answers."""

        async def is_served() -> bool:
            found = self.shards.find(one.id, number)
            return found is not None and not await is_refused(found)

        await eventually(is_served)
        shard = self.shards.find(one.id, number)
        assert shard is not None
        return shard


def run(broker: Broker, scenario: Callable[[Ground], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with ground(broker.bootstrap, slots=SLOTS, **settings) as below:
            await scenario(below)

    asyncio.run(go())


def test_shards_of_assigned_slots_are_served_and_others_are_not(broker: Broker, topic: TopicFactory) -> None:
    care = subscription(topic(2), parallelism=2)
    first, second = care.slots(SLOTS)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(first)
        await bench.serving(care, 0)
        assert bench.shards.find(care.id, 1) is None
        bench.assign(second)
        await bench.serving(care, 1)
        await bench.shards.close()

    run(broker, scenario)


def test_a_topic_that_this_replica_does_not_know_yet_is_read_as_soon_as_it_does(
    broker: Broker, topic: TopicFactory
) -> None:
    known, care = topic(1), subscription(f"{topic(1)}-late")

    async def scenario(below: Ground) -> None:
        both = with_spec(care, Spec.model_validate({"topics": [known, *care.spec.topics]}), care.updated_at)
        publish(broker.bootstrap, known, [{"n": 1}])
        bench = Bench(below, both)
        bench.assign(*range(SLOTS))
        shard = await bench.serving(both)
        await acked(shard, await received(shard, 1))
        troubles = [place.trouble for place in (await shard.status()).partitions]
        assert troubles == [None], "the topic that is there is read meanwhile"
        broker.create_topic(care.spec.topics[0])
        publish(broker.bootstrap, care.spec.topics[0], [{"n": 2}])
        [event] = await received(shard, 1)
        assert event["data"] == {"n": 2}
        assert [place.trouble for place in (await shard.status()).partitions] == [None, None]
        await bench.shards.close()

    run(broker, scenario)


def test_a_slot_that_is_given_back_has_its_acks_committed_first(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, [{"n": 1}, {"n": 2}])
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(*range(SLOTS))
        shard = await bench.serving(care)
        await acked(shard, await received(shard, 2))
        await bench.revoke(*range(SLOTS))
        assert (await below.committed(care, (name, 0)))[name, 0].offset == 2
        assert bench.shards.find(care.id, 0) is None
        assert await is_refused(shard)

    run(broker, scenario, commit_interval_seconds=60)


def test_a_slot_that_is_lost_has_nothing_committed_any_more(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, [{"n": 1}])
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(*range(SLOTS))
        shard = await bench.serving(care)
        await acked(shard, await received(shard, 1))
        bench.shards.lost(frozenset(range(SLOTS)))
        assert bench.shards.find(care.id, 0) is None
        assert await below.committed(care, (name, 0)) == {}
        # The slots come back: what nobody has committed comes again.
        bench.assign(*range(SLOTS))
        assert len(await received(await bench.serving(care), 1)) == 1
        await bench.shards.close()

    run(broker, scenario, commit_interval_seconds=60)


def test_a_subscription_is_served_from_its_creation_to_its_deletion(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, [{"n": 1}])
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        bench = Bench(below)
        bench.assign(*range(SLOTS))
        bench.change(None, care)
        shard = await bench.serving(care)
        await acked(shard, await received(shard, 1))
        bench.change(care, None)
        assert bench.shards.find(care.id, 0) is None
        assert await is_refused(shard)
        assert len(bench.shards) == 0
        # Nobody goes on from there, so the group is not brought to life again.
        assert await below.committed(care, (name, 0)) == {}

    run(broker, scenario, commit_interval_seconds=60)


def test_another_filter_makes_another_state_that_goes_on_where_the_last_one_was(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, [{"n": 1}, {"n": 2}, {"n": 3}])
    care = subscription(name)
    picky = with_spec(care, Spec.model_validate({"topics": [name], "filter": {"data": {"n": [3]}}}), 1)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(*range(SLOTS))
        shard = await bench.serving(care)
        await acked(shard, (await received(shard, 3))[:1])
        bench.change(care, picky)
        following = await bench.serving(picky)
        assert following is not shard
        (event,) = await received(following, 1)
        assert event["data"] == {"n": 3}
        assert (await following.status()).partitions[0].watermark == 2
        await bench.shards.close()

    run(broker, scenario, commit_interval_seconds=60)


def test_a_pause_keeps_the_state_and_its_leases(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, [{"n": 1}])
    care = subscription(name)
    paused = with_pause(care, True, 1)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(*range(SLOTS))
        shard = await bench.serving(care)
        events = await received(shard, 1)
        bench.change(care, paused)
        assert await bench.serving(paused) is shard
        await acked(shard, events)
        await bench.shards.close()

    run(broker, scenario)


def test_partitions_that_appear_are_found_by_looking_again(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, care)
        bench.assign(*range(SLOTS))
        bench.shards.start(refresh_seconds=0.05)
        shard = await bench.serving(care)
        await asyncio.to_thread(broker.add_partitions, name, 3)
        publish(broker.bootstrap, name, [{"n": 1}], partition=2)
        assert len(await received(shard, 1)) == 1
        await bench.shards.close()

    run(broker, scenario)


def test_a_shard_whose_filter_cannot_be_used_here_leaves_the_others_alone(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    broken = subscription(name, name="broken", filter={"data": {"n": [{"between": 1}]}})
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        bench = Bench(below, broken, care)
        bench.assign(*range(SLOTS))
        await bench.serving(care)
        assert bench.shards.find(broken.id, 0) is None
        await bench.shards.close()

    run(broker, scenario)
