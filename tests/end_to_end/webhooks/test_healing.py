"""Whatever goes down and comes back, a gateway, Kafka or the receiver: it heals by itself, and nothing is lost."""

import asyncio
import time
from typing import Any

import pytest
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Done, Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed
from tests.end_to_end.webhooks.manners import Arrival, Reply, always
from tests.end_to_end.webhooks.pushing import caught_up, check_complete, places_of, pushed, watched
from tests.end_to_end.webhooks.receivers import Hook, Receiver

pytestmark = pytest.mark.broker

BRISK = always(Reply(after=0.02))
REFUSING = always(Reply(422))


async def publish_when_possible(one: Subscribed, number: int) -> None:
    """Publish through an outage that may not be over for all processes."""
    deadline = time.monotonic() + PATIENCE
    for gateway in one.replicas.running:
        while gateway.metric("eventbus_kafka_up") != 1:
            assert time.monotonic() < deadline, "Kafka is not found again"
            await pause()
    await one.publish(number)


def is_cut_off(gateways: list[GatewayProcess]) -> bool:
    """Whether none of them has Kafka, or serves anything."""
    names = "eventbus_kafka_up", "eventbus_subscription_slots"
    return not any(gateway.metric(name) for gateway in gateways for name in names)


def test_deliveries_go_on_by_themselves_when_kafka_was_away_for_longer_than_the_sessions(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(BRISK)
        async with pushed(pair, hook) as one:
            await one.publish(1_500)
            await hook.until_taken(300)
            pair.broker.kill()
            try:
                hook.manner = REFUSING
                await hook.until(lambda: is_cut_off(pair.members), "the processes to give up their slots")
                assert len(hook.taken()) < 1_500, "there is something left to be delivered"
                hook.manner = BRISK
            finally:
                await asyncio.to_thread(pair.broker.restart)
            await publish_when_possible(one, 200)
            await hook.until_taken(1_700)
            await caught_up(one)
            check_complete(hook, one.published)

    asyncio.run(scenario())
    assert len(pair.running) == 2


async def endpoint(one: Subscribed) -> Any:
    """What the gateway says about the receiver of a subscription of one shard."""
    return (await one.status())["shards"][0]["endpoint"]


def test_a_receiver_that_was_down_for_longer_than_its_breaker_opens_gets_everything_when_it_is_back(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook()
        async with pushed(pair, hook, parallelism=1) as one:
            await one.publish(50)
            await hook.until_taken(50)
            receiver.down()
            await one.publish(200)
            opened: list[str] = []
            deadline = time.monotonic() + PATIENCE
            while len(opened) < 2:  # the second time after a probe that failed
                assert time.monotonic() < deadline, opened
                now = await endpoint(one)
                if now["state"] == "open" and now["nextProbeAt"] not in opened:
                    assert now["lastError"] == "connect"
                    opened.append(now["nextProbeAt"])
                await pause()
            assert len(hook.taken()) == 50

            receiver.up()
            await hook.until_taken(250)
            await caught_up(one)
            assert (await endpoint(one))["state"] == "closed"
            check_complete(hook, one.published)
            assert sorted(hook.ids()) == sorted(one.published), "each was taken once"

    asyncio.run(scenario())


def lingering_for_some(arrival: Arrival) -> Reply:
    """One key out of ten takes very long."""
    return Reply(after=1.5) if arrival.key.endswith("7") else Reply(after=0.02)


async def until_under_way(one: Subscribed, hook: Hook, shards: set[int]) -> None:
    """Wait until requests of some shards have no answer yet."""

    def under_way() -> bool:
        waiting = list(hook.under_way.copy().values())
        return len([arrival for arrival in waiting if one.shard(arrival.place[0]) in shards]) >= len(shards)

    await hook.until(under_way, "requests to be under way")


def check_repeated(one: Subscribed, hook: Hook, shards: set[int], done: dict[int, Done]) -> int:
    """Nothing was taken twice but what the lost process had under way or not committed; how much that was."""
    committed, first = places_of(done), set()
    repeated = 0
    for _, arrival in hook.answers:
        if arrival.event in first:
            repeated += 1
            assert one.shard(arrival.place[0]) in shards, arrival
            assert arrival.place not in committed, arrival
        first.add(arrival.event)
    return repeated


async def interrupted_owner(
    pair: Replicas, one: Subscribed, hook: Hook, events: int, taken: int
) -> tuple[GatewayProcess, set[int]]:
    """The process that serves a subscription, in the middle of its deliveries, and its shards."""
    owner = pair.owner(one.id)
    shards = pair.shards_of(owner, one.id, one.parallelism)
    await one.publish(events)
    await hook.until_taken(taken)
    await until_under_way(one, hook, shards)
    return owner, shards


def check_interrupted(hook: Hook, interrupted: list[Arrival]) -> None:
    """What had no answer came again under the same id."""
    deliveries = hook.deliveries()
    for arrival in interrupted:
        [_, again, *_] = deliveries[arrival.event][arrival.earlier :]
        assert again.message == arrival.message


def test_when_the_owner_is_killed_in_the_middle_another_goes_on_and_only_the_uncommitted_comes_again(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(lingering_for_some)
        async with pushed(pair, hook) as one:
            owner, shards = await interrupted_owner(pair, one, hook, 3_000, 1_000)
            done = await asyncio.to_thread(pair.done, one.group, one.topic)
            interrupted = [each for each in hook.under_way.copy().values() if one.shard(each.place[0]) in shards]
            owner.kill()
            hook.manner = BRISK
            async with watched(one, hook):
                await one.publish(100, one.caller_of(*pair.running))
                await hook.until_taken(3_100)
                await caught_up(one)
            check_complete(hook, one.published)
            assert check_repeated(one, hook, shards, done) > 0, "it was killed in the middle"
            check_interrupted(hook, interrupted)

    asyncio.run(scenario())


def test_an_owner_that_is_asked_to_end_waits_for_answers_so_that_nothing_comes_twice(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(lingering_for_some)
        async with pushed(pair, hook) as one:
            owner, _ = await interrupted_owner(pair, one, hook, 2_000, 500)
            owner.sigterm()
            assert await asyncio.to_thread(owner.ended) == 0
            hook.manner = BRISK
            await hook.until_taken(2_000)
            await caught_up(one)
            check_complete(hook, one.published)
            assert len(hook.arrivals) == 2_000

    asyncio.run(scenario())
