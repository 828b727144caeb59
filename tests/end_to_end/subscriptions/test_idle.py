"""Subscriptions that have nothing to do cost next to nothing, and take nothing from the one that has."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import Producer
from tests.broker import Broker
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed, reading, subscribed

from eventbus_gateway.kafka.entries import encode, successor
from eventbus_gateway.subscriptions.resource import created, to_bytes
from eventbus_gateway.subscriptions.spec import Spec

pytestmark = pytest.mark.broker

IDLE = 199
EVENTS = 4_000
QUIET_SECONDS = 2
MAX_CPU = 0.05
"""Part of a core that all of them together may take while nothing happens."""
MEASUREMENTS = 5
MAX_MIB_EACH = 0.25
AT_ONCE = 0.5
"""Seconds from a publish to whoever waits, on a machine that stalls."""


async def drained(one: Subscribed, gateway: GatewayProcess) -> float:
    """Read some thousand events; the processor time that it took."""
    await one.publish(EVENTS)
    cpu = gateway.cpu_seconds()
    async with reading(one, maxEvents=100, waitSeconds=0.2) as work:
        await work.more_acked(EVENTS)
        return gateway.cpu_seconds() - cpu


async def delivered(one: Subscribed) -> float:
    """Seconds from a publish until a poll that waits has the event."""
    caller = one.caller_of()
    poll = asyncio.create_task(one.receive(caller, waitSeconds=30))
    gateway = one.replicas.members[0]
    waiting = "eventbus_http_in_flight_requests"
    await asyncio.to_thread(gateway.until, lambda: gateway.metric(waiting) == 1, "the poll to wait")
    began = time.monotonic()
    await one.publish(1)
    events = await poll
    took = time.monotonic() - began
    await one.ack(events)
    return took


async def quiet(one: Subscribed, gateway: GatewayProcess) -> float:
    """The part of a core that is taken while nothing happens."""
    cpu, began = gateway.cpu_seconds(), time.monotonic()
    assert await one.receive(waitSeconds=QUIET_SECONDS) == []
    return (gateway.cpu_seconds() - cpu) / (time.monotonic() - began)


async def least(bound: float, measure: Callable[[], Awaitable[float]]) -> float:
    """The best of a few measurements: a machine that stalls spoils some, what costs too much costs it in all."""
    figures = [await measure()]
    while figures[-1] >= bound and len(figures) < MEASUREMENTS:
        figures.append(await measure())
    return min(figures)


def create_idle(replicas: Replicas, topic: str) -> None:
    """Further subscriptions, each with a filter of its own, as another replica would have stored them."""
    producer = Producer({"bootstrap.servers": replicas.broker.bootstrap, "log_level": 0})
    now = time.time()
    for number in range(IDLE):
        spec = Spec.model_validate({"topics": [topic], "filter": {"subject": [f"ward-{number}"]}})
        one = created("care", f"idle-{number}", spec, int(now * 1_000))
        entry = encode(successor(f"{one.owner}/{one.name}", to_bytes(one), None, now))
        producer.produce(f"{replicas.prefix}.subscriptions", entry.value, entry.key, headers=[*entry.headers])
    assert producer.flush(PATIENCE) == 0


async def served(one: Subscribed) -> None:
    """Wait until they are, as far as one out of ten tells."""
    for number in range(0, IDLE, 10):
        path = f"/subscriptions/idle-{number}/status"
        while (answer := await one.caller.call("GET", path)).status == 404 or b'"counts":null' in answer.body:
            await pause()
        assert answer.status == 200


def test_199_idle_subscriptions_cost_next_to_nothing_and_do_not_slow_a_busy_one(victim: Broker) -> None:
    async def scenario(replicas: Replicas) -> None:
        [gateway] = replicas.members
        async with subscribed(replicas) as one:
            victim.create_topic(f"{one.topic}-idle", 4)
            nothing = await quiet(one, gateway)
            await drained(one, gateway)
            alone = await drained(one, gateway)
            memory = gateway.rss_mib()

            create_idle(replicas, f"{one.topic}-idle")
            await served(one)
            assert await least(AT_ONCE, lambda: delivered(one)) < AT_ONCE
            # Processor time, since that of the clock is also what the rest of the machine does.
            busy = 1.5 * alone + 0.1
            assert await least(busy, lambda: drained(one, gateway)) < busy

            idle = nothing + MAX_CPU
            assert await least(idle, lambda: quiet(one, gateway)) < idle
            assert await least(AT_ONCE, lambda: delivered(one)) < AT_ONCE
            assert gateway.rss_mib() - memory < MAX_MIB_EACH * IDLE

    with Replicas(victim, 1, session=1) as replicas:
        asyncio.run(scenario(replicas))
