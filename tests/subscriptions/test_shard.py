"""One shard on a real broker: from records to leased events and back to committed positions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import read_log
from tests.subscriptions.serving import (
    Ground,
    acked,
    eventually,
    ground,
    is_refused,
    opened,
    publish,
    received,
    references,
    subscription,
)

from eventbus_gateway.errors import NotOwner
from eventbus_gateway.subscriptions.calls import Ask, Settling, Verb
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.resource import with_pause, with_redrive
from eventbus_gateway.subscriptions.spec import Spec

pytestmark = pytest.mark.broker

Scenario = Callable[[Ground], Awaitable[None]]


def run(broker: Broker, scenario: Scenario, **settings: Any) -> None:
    async def go() -> None:
        async with ground(broker.bootstrap, **settings) as below:
            await scenario(below)

    asyncio.run(go())


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["n"] for event in events]


def counted(start: int, stop: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(start, stop)]


def test_events_are_handed_out_once_and_their_acks_are_committed(broker: Broker, topic: TopicFactory) -> None:
    name = topic(2)
    publish(broker.bootstrap, name, counted(0, 300), partition=0)
    publish(broker.bootstrap, name, counted(300, 500), partition=1)
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 500)
        assert sorted(numbers(events)) == list(range(500))
        assert {event["deliveryCount"] for event in events} == {1}
        assert (await shard.receive(Ask(10, 1_000, 1.0))).events == []
        await acked(shard, events)
        await shard.close()
        found = await below.committed(care, (name, 0), (name, 1))
        assert {place: position.offset for place, position in found.items()} == {(name, 0): 300, (name, 1): 200}

    run(broker, scenario)


def test_what_was_not_acked_comes_again_from_the_next_owner_and_what_was_acked_does_not(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 100))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 100)
        await acked(shard, events[1::2])
        await shard.close()
        again = await received(await opened(below.shard(care)), 50)
        assert numbers(again) == list(range(0, 100, 2))

    run(broker, scenario)


def test_each_state_refuses_the_tokens_of_another(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 3))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        first = await opened(below.shard(care))
        events = await received(first, 3)
        await first.close()
        second = await opened(below.shard(care))
        await received(second, 3)
        outcomes = await second.settle(Settling(Verb.ACK, references(events)))
        assert outcomes == [Outcome.STALE] * 3

    run(broker, scenario)


def test_nothing_is_done_without_ownership(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 10))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 10)
        below.is_owner = False
        assert await is_refused(shard)
        with pytest.raises(NotOwner):
            await shard.settle(Settling(Verb.ACK, references(events)))
        with pytest.raises(NotOwner):
            await shard.ready(0)
        with pytest.raises(NotOwner):
            await shard.status()
        await shard.close()
        assert await below.committed(care, (name, 0)) == {}

    run(broker, scenario, commit_interval_seconds=60)


def test_a_lease_that_ends_has_its_event_handed_out_again(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 2))

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(subscription(name)))
        await received(shard, 2, lease_seconds=0.2)
        again = await received(shard, 2)
        assert [event["deliveryCount"] for event in again] == [2, 2]

    run(broker, scenario)


def test_only_what_the_filter_wants_is_handed_out_and_all_of_it_is_committed(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 2_000))
    care = subscription(name, filter={"data": {"n": [{"numeric": [">=", 100, "<", 103]}]}})

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 3)
        assert numbers(events) == [100, 101, 102]
        await acked(shard, events)

        async def all_is_committed() -> bool:
            found = await below.committed(care, (name, 0))
            return bool(found) and found[name, 0].offset == 2_000

        await eventually(all_is_committed)

    run(broker, scenario)


def test_a_shard_reads_the_partitions_that_are_its_own(broker: Broker, topic: TopicFactory) -> None:
    name = topic(5)
    for partition in range(5):
        publish(broker.bootstrap, name, [{"n": partition}], partition=partition)
    care = subscription(name, parallelism=2)

    async def scenario(below: Ground) -> None:
        even, odd = await opened(below.shard(care, 0)), await opened(below.shard(care, 1))
        assert sorted(numbers(await received(even, 3))) == [0, 2, 4]
        assert sorted(numbers(await received(odd, 2))) == [1, 3]

    run(broker, scenario)


def test_a_partition_that_appears_later_is_read_from_its_beginning(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        await asyncio.to_thread(broker.add_partitions, name, 2)
        publish(broker.bootstrap, name, counted(0, 5), partition=1)
        await shard.open()
        assert numbers(await received(shard, 5)) == list(range(5))

    run(broker, scenario)


def test_a_paused_subscription_hands_out_nothing_and_a_resumed_one_wakes_who_waits(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 3))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(with_pause(care, True, 1)))
        waiting = asyncio.create_task(shard.ready(30))
        assert (await shard.receive(Ask(10, 1_000, 1.0))).events == []
        assert not await shard.ready(0.05)
        await shard.update(with_pause(care, False, 2))
        assert await waiting
        assert numbers(await received(shard, 3)) == [0, 1, 2]

    run(broker, scenario)


def test_no_more_events_are_leased_than_may_be_in_flight(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 10))

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(subscription(name, delivery={"type": "pull", "maxInFlight": 4})))
        events = await received(shard, 4)
        assert (await shard.receive(Ask(10, 1_000, 1.0))).events == []
        assert not await shard.ready(0.05)
        await acked(shard, events[:3])
        assert numbers(await received(shard, 3)) == [4, 5, 6]

    run(broker, scenario)


def test_more_events_than_a_window_holds_come_as_room_is_made(broker: Broker, topic: TopicFactory) -> None:
    name = topic(2)
    for partition in range(2):
        publish(broker.bootstrap, name, counted(partition * 3_000, partition * 3_000 + 3_000), partition=partition)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(subscription(name)))
        found: list[int] = []
        while len(found) < 6_000:
            assert await shard.ready(10)
            events = await received(shard, 1) + await received(shard, 9)
            await acked(shard, events)
            found += numbers(events)
        assert sorted(found) == list(range(6_000))
        assert below.counts["handed_out"] == 6_000

    run(broker, scenario, max_window_events=40)


def test_an_event_that_is_delivered_too_often_becomes_a_dead_letter_before_it_counts_as_acked(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 3), key="k")
    care = subscription(name, name=f"{name}-care", delivery={"type": "pull", "maxDeliveries": 2})
    broker.create_topic(care.dead_letter_topic)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        for _ in range(2):
            events = await received(shard, 3)
            await acked(shard, events[:1] if events[0]["data"]["n"] == 0 and events[0]["deliveryCount"] == 2 else [])
            await shard.settle(Settling(Verb.RELEASE, references(events)))
        await eventually(lambda: below.counts.get("dead_lettered") == 2)
        await shard.close()
        found = await below.committed(care, (name, 0))
        assert found[name, 0].offset == 3
        ends = await below.ends((care.dead_letter_topic, 0))
        assert ends[care.dead_letter_topic, 0].high == 2

    run(broker, scenario)


def test_a_topic_for_dead_letters_that_is_missing_is_created_and_nothing_is_lost_meanwhile(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 2))
    care = subscription(name, name=f"{name}-care")

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 2)
        await shard.settle(Settling(Verb.REJECT, references(events)))
        await eventually(lambda: below.counts.get("dead_lettered") == 2)
        assert (await shard.status()).counts.dead_letters == 0
        ends = await below.ends((care.dead_letter_topic, 0))
        assert ends[care.dead_letter_topic, 0].high == 2

    run(broker, scenario)


def test_dead_letters_that_are_redriven_come_as_the_events_that_they_were(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 3), key="k")
    care = subscription(name, name=f"{name}-care", filter={"data": {"n": [1, 2]}})
    broker.create_topic(care.dead_letter_topic)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 2)
        settling = Settling(Verb.REJECT, references(events), reason="not ours")
        assert await shard.settle(settling) == [Outcome.OK] * 2
        await eventually(lambda: below.counts.get("dead_lettered") == 2)
        await shard.update(with_redrive(care, {0: 1}, 1))
        (first,) = await received(shard, 1)
        assert {**first, "ackToken": 0} == {**events[0], "ackToken": 0}
        assert not await shard.ready(0.05)
        await acked(shard, [first])
        await shard.update(with_redrive(care, {0: 2}, 2))
        (second,) = await received(shard, 1)
        assert second["offset"] == 2
        await acked(shard, [second])
        await shard.close()
        # The next state knows what was redriven.
        following = await opened(below.shard(with_redrive(care, {0: 2}, 2)))
        assert not await following.ready(0.2)

    run(broker, scenario)


def test_a_redrive_by_filter_leaves_the_others_among_the_dead_letters_as_they_were(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 4), key="k")
    care = subscription(name, name=f"{name}-care")
    broker.create_topic(care.dead_letter_topic)
    letters = (care.dead_letter_topic, 0)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 4)
        await shard.settle(Settling(Verb.REJECT, references(events), reason="not yet"))
        await eventually(lambda: below.counts.get("dead_lettered") == 4)
        before = read_log(broker.bootstrap, care.dead_letter_topic)
        await shard.update(with_redrive(care, {0: 4}, 1, {"data": {"n": [1, 2]}}))
        back = await received(shard, 2)
        assert [event["data"]["n"] for event in back] == [1, 2]
        await acked(shard, back)
        await eventually(lambda: below.counts.get("dead_lettered") == 6)
        assert not await shard.ready(0.05)
        await shard.close()
        log = read_log(broker.bootstrap, care.dead_letter_topic)
        again = [(each.key, each.value, each.headers) for each in log[4:]]
        assert again == [(each.key, each.value, each.headers) for each in (before[0], before[3])]
        # What stayed comes back with a later redrive, and what came back does not come again.
        following = await opened(below.shard(with_redrive(care, {0: 6}, 2)))
        rest = await received(following, 2)
        assert [event["data"]["n"] for event in rest] == [0, 3]
        await acked(following, rest)
        await following.close()
        assert (await below.ends(letters))[letters].high == 6

    run(broker, scenario)


def test_a_topic_that_was_created_anew_is_read_from_its_beginning(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 10))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        await acked(shard, await received(shard, 10))
        await asyncio.to_thread(broker.delete_topic, name)
        await asyncio.to_thread(broker.create_topic, name)
        publish(broker.bootstrap, name, counted(100, 103))
        await eventually(lambda: below.reopened == 1)
        assert await is_refused(shard)
        assert numbers(await received(await opened(below.shard(care)), 3)) == [100, 101, 102]

    run(broker, scenario)


def test_a_shard_says_what_retention_took_before_it_was_read(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 10))
    care = subscription(name)

    async def scenario(below: Ground) -> None:
        await asyncio.to_thread(broker.delete_records, name, 0, 4)
        shard = await opened(below.shard(care))
        assert numbers(await received(shard, 6)) == list(range(4, 10))
        (partition,) = (await shard.status()).partitions
        assert (partition.lost_from, partition.lost_until) == (0, 4)
        assert (partition.position, partition.watermark, partition.unacked) == (10, 4, 6)

    run(broker, scenario)


def test_a_topic_that_is_deleted_is_told_until_it_is_there_again(broker: Broker, topic: TopicFactory) -> None:
    gone, here = topic(1), topic(1)
    care = subscription(gone, here)

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))

        async def trouble() -> str | None:
            await shard.open()
            return (await shard.status()).trouble

        async def is_told() -> bool:
            return await trouble() == "unknown_topic"

        async def is_over() -> bool:
            return await trouble() is None

        assert await is_over()
        await asyncio.to_thread(broker.delete_topic, gone)
        await eventually(is_told)
        publish(broker.bootstrap, here, counted(0, 1))
        assert numbers(await received(shard, 1)) == [0]
        await asyncio.to_thread(broker.create_topic, gone)
        await eventually(is_over)

    run(broker, scenario)


def test_limits_that_change_hold_for_what_is_handed_out_already(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    publish(broker.bootstrap, name, counted(0, 1))
    care = subscription(name, name=f"{name}-care")
    broker.create_topic(care.dead_letter_topic)
    strict = Spec.model_validate({"topics": [name], "delivery": {"type": "pull", "maxDeliveries": 1}})

    async def scenario(below: Ground) -> None:
        shard = await opened(below.shard(care))
        events = await received(shard, 1)
        await shard.update(care.model_copy(update={"spec": strict}))
        await shard.settle(Settling(Verb.RELEASE, references(events)))
        await eventually(lambda: below.counts.get("dead_lettered") == 1)

    run(broker, scenario)
