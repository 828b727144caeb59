"""Brokers die, hang and come back under load; the answers that callers got stay true."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.broker import Broker, BrokerCluster
from tests.kafka.ledger import Ledger, audit, through
from tests.kafka.support import Incidents, producing, read_log, until

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import Stored, Unknown

Fault = Callable[[KafkaProducer, Ledger], Awaitable[None]]

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def victim() -> Iterator[Broker]:
    """A broker that these tests may kill."""
    with Broker() as broker:
        yield broker


def under_load(bootstrap: str, topic: str, fault: Fault, incidents: Incidents, **settings: Any) -> tuple[Ledger, int]:
    """Run a fault in the middle of load and check the books and the counters after it.

    Returns:
        The books, and how many records are in the log twice.
    """

    async def run() -> Ledger:
        async with producing(bootstrap, on_event=incidents, socket_timeout_seconds=1, **settings) as sink:
            ledger = Ledger(through(sink), topic)
            ledger.start(sequential=8, batches=4)
            await ledger.more_stored(2_000)
            await fault(sink, ledger)
            await until(lambda: sink.status().up, "the producer to heal")
            await ledger.more_stored(2_000)
            await ledger.finish()
            await until(lambda: sink.status().in_flight_records == 0, "the last report")
            assert sink.status().in_flight_bytes == 0
            assert "fatal" not in incidents.kinds()
            return ledger

    ledger = asyncio.run(run())
    return ledger, audit(ledger.entries, read_log(bootstrap, topic))


def test_a_broker_that_is_killed_and_restarted_loses_nothing_that_was_stored(victim: Broker) -> None:
    victim.create_topic("killed", 3)
    incidents = Incidents()

    async def fault(sink: KafkaProducer, ledger: Ledger) -> None:
        victim.kill()
        await until(lambda: not sink.status().up, "the outage to be noticed")
        with pytest.raises(KafkaUnavailable):
            sink.send("killed", [ledger.entries[0].record])
        await asyncio.to_thread(victim.restart)

    ledger, copies = under_load(victim.bootstrap, "killed", fault, incidents)
    assert copies == 0
    assert ledger.count(Unknown) == 0, "what was in flight survives an outage that is shorter than its deadline"


def test_a_broker_that_hangs_and_goes_on_loses_nothing_that_was_stored(victim: Broker) -> None:
    victim.create_topic("hung", 3)
    incidents = Incidents()

    async def fault(sink: KafkaProducer, ledger: Ledger) -> None:
        victim.stop()
        try:
            await until(lambda: not sink.status().up, "the outage to be noticed")
        finally:
            victim.cont()

    ledger, copies = under_load(victim.bootstrap, "hung", fault, incidents)
    assert copies == 0
    assert ledger.count(Unknown) == 0


def test_what_outlasts_its_deadline_is_answered_as_unknown_in_time(victim: Broker) -> None:
    victim.create_topic("overdue", 3)
    incidents = Incidents()

    async def fault(sink: KafkaProducer, ledger: Ledger) -> None:
        victim.stop()
        try:
            await until(lambda: ledger.count(Unknown) > 0, "the deadline")
            assert sink.status().oldest_seconds < 3.5
        finally:
            victim.cont()

    ledger, _ = under_load(victim.bootstrap, "overdue", fault, incidents, delivery_timeout_seconds=3)
    assert ledger.count(Unknown) > 0


@pytest.mark.parametrize("signal", ["killed", "stopped"])
def test_a_leader_of_three_that_goes_away_loses_nothing_that_was_stored(cluster3: BrokerCluster, signal: str) -> None:
    topic = f"leader-{signal}"
    cluster3.create_topic(topic, 3)
    incidents = Incidents()

    async def fault(sink: KafkaProducer, ledger: Ledger) -> None:
        leader = cluster3.leader(topic)
        if signal == "killed":
            leader.kill()
        else:
            leader.stop()
        try:
            # Only records on the other brokers are acknowledged now, until the leadership has moved.
            await asyncio.to_thread(cluster3.wait_moved, topic, leader)
            await ledger.more_stored(1_000)
        finally:
            if signal == "killed":
                await asyncio.to_thread(leader.restart)
            else:
                leader.cont()
        await asyncio.to_thread(cluster3.wait_in_sync, topic)

    ledger, _ = under_load(cluster3.bootstrap, topic, fault, incidents)
    assert ledger.count(Stored) >= 5_000
    assert ledger.count(Unknown) == 0
    assert "down" not in incidents.kinds(), "one broker of three is not the cluster"
