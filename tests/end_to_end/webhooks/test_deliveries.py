"""Every event arrives, in the order of its key, whatever the receiver does with the requests."""

import asyncio

import pytest
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.webhooks.manners import OK, Arrival, Reply, always, now_and_then
from tests.end_to_end.webhooks.pushing import caught_up, check_complete, pushed, watched
from tests.end_to_end.webhooks.receivers import Receiver

pytestmark = pytest.mark.broker

EVENTS = 10_000
KEYS = 100
REFUSALS = 8

FAILING = now_and_then(
    17,
    (0.04, Reply(500)),
    (0.02, Reply(end="reset")),
    (0.02, Reply(end="truncated")),
    (0.02, Reply(after=0.2)),
    (0.001, Reply(end="never")),
)
"""About one request out of twelve fails: too few for the breaker, and each in a way of its own."""


def manner(arrival: Arrival) -> Reply:
    """By chance, and stubborn for a few."""
    if arrival.event.endswith("500") and arrival.earlier < REFUSALS:
        return Reply(422)
    return FAILING(arrival)


def test_all_events_arrive_in_the_order_of_their_keys_at_a_receiver_that_fails_at_random(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(manner)
        async with pushed(pair, hook, delivery={"timeoutSeconds": 1}) as one:
            async with watched(one, hook) as watch:
                ids = await one.publish(EVENTS, keys=KEYS)
                await hook.until_taken(EVENTS)
            await caught_up(one)
            check_complete(hook, ids)
            assert watch.looks > 10
            assert watch.behind_gaps > 0, "commits were seen that leave out what was not taken yet"
            again = [each for each in hook.deliveries().values() if len(each) > 1]
            assert len(again) > EVENTS / 20, "much was tried again"

    asyncio.run(scenario())


def test_batches_keep_the_order_of_keys_too_at_a_receiver_that_fails_at_random(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(manner)
        bounds = {"maxEvents": 50, "maxBytes": 8_192, "waitSeconds": 0.1}
        async with pushed(pair, hook, delivery={"timeoutSeconds": 1, "format": "batch", "batch": bounds}) as one:
            async with watched(one, hook) as watch:
                ids = await one.publish(EVENTS, keys=KEYS)
                await hook.until_taken(EVENTS)
            await caught_up(one)
            check_complete(hook, ids, single=False)
            assert watch.looks > 5
            requests = {arrival.request for arrival in hook.arrivals}
            assert len(requests) < EVENTS / 4, "events came together"

    asyncio.run(scenario())


def test_an_event_that_always_fails_like_its_endpoint_does_not_keep_the_others_waiting(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(lambda arrival: Reply(500 if arrival.event.endswith("#0") else 200))
        async with pushed(pair, hook, parallelism=1, partitions=1) as one:
            await one.publish(1)
            while (await one.status())["shards"][0]["endpoint"]["state"] != "open":
                await pause()
            owner, label = pair.owner(one.about["id"]), f"care.{one.name}"
            assert owner.metric("eventbus_webhook_breaker_open", subscription=label) == 1
            assert owner.metric("eventbus_subscription_unacked_events", subscription=label) == 1
            await one.publish(20)
            await hook.until_taken(20)
            hook.manner = always(OK)
            await hook.until_taken(21)
            await caught_up(one)
            assert owner.metric("eventbus_webhook_attempts_total", subscription=label, outcome="success") == 21
            assert owner.metric("eventbus_webhook_attempts_total", subscription=label, outcome="5xx") >= 10
            assert owner.metric("eventbus_subscription_events_total", subscription=label, outcome="ack") == 21
            check_complete(hook, one.published)

    asyncio.run(scenario())
