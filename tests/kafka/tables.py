"""What the tests of tables share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.kafka.support import PATIENCE

from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.kafka.table_limits import TableLimits
from eventbus_gateway.kafka.view import Change

LIMITS = TableLimits(max_entries=1_000, max_bytes=1_000_000)
FAST = Pace(poll_seconds=0.2)


class Replica(NamedTuple):
    """One process's part of a table."""

    table: Table
    sink: KafkaProducer
    changes: list[Change]

    async def until(self, condition: Callable[[Table], bool]) -> float:
        """Wait until the view is as it should be; says how many seconds that took."""
        began = time.monotonic()
        changed = asyncio.Event()
        self.table.on_change(lambda change: changed.set())
        while not condition(self.table):
            changed.clear()
            await asyncio.wait_for(changed.wait(), PATIENCE)
        return time.monotonic() - began


@asynccontextmanager
async def replica(
    bootstrap: str,
    topic: str,
    *,
    limits: TableLimits = LIMITS,
    pace: Pace = FAST,
    now: Callable[[], float] = time.time,
    wait_seconds: float = PATIENCE,
    delivery_timeout_seconds: float = 20,
) -> AsyncIterator[Replica]:
    """A started table with a producer of its own."""
    settings = KafkaSettings(
        bootstrap_servers=bootstrap,
        probe_seconds=0.1,
        reconnect_backoff_max_seconds=0.2,
        delivery_timeout_seconds=delivery_timeout_seconds,
    )
    sink = KafkaProducer(settings)
    await sink.start()
    table = Table(settings, topic, sink, limits, pace=pace, now=now)
    changes: list[Change] = []
    table.on_change(changes.append)
    await table.start(wait_seconds)
    try:
        yield Replica(table, sink, changes)
    finally:
        await table.close()
        await sink.drain(5)
