"""Brokers die, hang and come back under the load of HTTP callers, whose answers stay true."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.broker import Broker, BrokerCluster
from tests.end_to_end.bookkeeping import OverHttp, audit_of
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.kafka.ledger import Entry, Ledger

from eventbus_gateway.kafka.records import NotStored, Record, Stored, Unknown

pytestmark = pytest.mark.broker

AT_ONCE = 2.0
"""Seconds for an answer that waits for nothing, on a machine that stalls."""
MAX_RSS_MIB = 150
MAX_GROWTH_MIB = 40


class Run:
    """Load on a gateway, and what was seen meanwhile.

    Args:
        gateway: under load.
        topic: where the events go.
    """

    def __init__(self, gateway: GatewayProcess, topic: str) -> None:
        self.gateway = gateway
        self.http = OverHttp(gateway.port)
        self._topic = topic
        self.ledger = Ledger(self.http.publish, topic)
        self.probes: set[tuple[str, int]] = set()
        self.rss: list[float] = []
        self._over = asyncio.Event()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await asyncio.to_thread(self.gateway.until, condition, what)

    async def up(self, up: bool) -> None:
        """Wait until the gateway sees Kafka so."""
        await self.until(lambda: self.gateway.metric("eventbus_kafka_up") == up, f"eventbus_kafka_up {up:d}")

    async def refused(self, number: int) -> None:
        """Publish during an outage: others than the callers of the load, who may all wait for an acknowledgement."""
        for each in range(number):
            value = f"visitor#{len(self.ledger.entries)}.{each}".encode()
            record = Record(b"visitor", value, [("ce_id", value)])
            [outcome] = await self.http.publish(self._topic, [record])
            assert isinstance(outcome, NotStored)
            self.ledger.entries.append(Entry(record, outcome))

    async def watch(self) -> None:
        """Probe the process all the time, as the platform does."""
        while not self._over.is_set():
            for path in ("/livez", "/readyz"):
                self.probes.add((path, await asyncio.to_thread(self.gateway.probe, path)))
            self.rss.append(self.gateway.rss_mib())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 0.1)

    async def end(self) -> None:
        await self.ledger.finish()
        self._over.set()
        self.http.close()


Fault = Callable[[Run], Awaitable[None]]


def under_load(bootstrap: str, topic: str, fault: Fault, **kafka: Any) -> Run:
    """Run a fault in the middle of load; check the answers, the process and the books after it."""
    settings = {"socket_timeout_seconds": 1, "delivery_timeout_seconds": 20, **kafka}

    async def load(gateway: GatewayProcess) -> Run:
        run = Run(gateway, topic)
        watching = asyncio.create_task(run.watch())
        run.ledger.start(sequential=8, batches=4)
        await run.ledger.more_stored(4_000)
        await fault(run)
        await run.up(True)
        await run.ledger.more_stored(4_000)
        await run.end()
        async with asyncio.timeout(PATIENCE):
            await watching
        return run

    with GatewayProcess(bootstrap, kafka=settings, http={"access_log": False}) as gateway:
        run = asyncio.run(load(gateway))
        assert gateway.running, "it heals without a restart"
        assert gateway.metric("eventbus_kafka_in_flight_records") == 0
        assert gateway.metric("eventbus_http_in_flight_requests") == 0
        assert gateway.metric("eventbus_kafka_producer_incidents_total", kind="fatal") == 0
    run.http.check_answers(AT_ONCE)
    assert run.probes == {("/livez", 200), ("/readyz", 200)}
    assert max(run.rss) < MAX_RSS_MIB
    assert run.rss[-1] - run.rss[0] < MAX_GROWTH_MIB
    audit_of(run.ledger.entries, bootstrap, topic)
    return run


def test_a_broker_that_is_killed_and_restarted_makes_no_answer_wrong(victim: Broker) -> None:
    victim.create_topic("http-killed", 3)

    async def fault(run: Run) -> None:
        victim.kill()
        await run.up(False)
        await run.refused(20)
        await asyncio.to_thread(victim.restart)

    run = under_load(victim.bootstrap, "http-killed", fault)
    assert run.ledger.count(NotStored) >= 20
    assert run.ledger.count(Unknown) == 0, "what was in flight survives an outage that is shorter than its deadline"


def test_a_broker_that_hangs_beyond_the_deadline_leaves_outcomes_unknown_and_no_answer_wrong(victim: Broker) -> None:
    victim.create_topic("http-hung", 3)

    async def fault(run: Run) -> None:
        victim.stop()
        try:
            await run.up(False)
            await run.refused(20)
            await run.until(lambda: run.ledger.count(Unknown) > 0, "the deadline")
        finally:
            victim.cont()

    run = under_load(victim.bootstrap, "http-hung", fault, delivery_timeout_seconds=3)
    slowest = max(told.seconds for told in run.http.told)
    assert slowest < 3 + AT_ONCE, "every answer comes within the deadline"


def test_a_leader_of_three_that_is_killed_makes_no_answer_wrong(cluster3: BrokerCluster) -> None:
    topic = "http-leader"
    cluster3.create_topic(topic, 3)

    async def fault(run: Run) -> None:
        leader = cluster3.leader(topic)
        leader.kill()
        try:
            await asyncio.to_thread(cluster3.wait_moved, topic, leader)
            await run.ledger.more_stored(2_000)
        finally:
            await asyncio.to_thread(leader.restart)
        await asyncio.to_thread(cluster3.wait_in_sync, topic)

    run = under_load(cluster3.bootstrap, topic, fault)
    assert run.ledger.count(Stored) >= 10_000
    assert run.ledger.count(Unknown) == 0
    assert run.ledger.count(NotStored) == 0, "one broker of three is not the cluster"
