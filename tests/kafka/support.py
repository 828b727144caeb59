"""What the tests of the Kafka side share: a producer for the length of a block, the log as a consumer sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from eventbus_gateway.kafka.events import ProducerEvent
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import Outcome, Stored
from eventbus_gateway.kafka.settings import KafkaSettings

PRODUCE = 0
"""Number of the Produce request in Kafka's protocol."""
PATIENCE = 60.0
"""Seconds that a test waits for what must happen; far above what it takes, since test machines stall."""


class Incidents:
    """Collects a producer's events and lets tests wait for one."""

    def __init__(self) -> None:
        self.seen: list[ProducerEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: ProducerEvent) -> None:
        self.seen.append(event)
        self._changed.set()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.seen]

    async def until(self, kind: str, times: int = 1) -> None:
        """Wait until there were so many events of a kind."""
        while self.kinds().count(kind) < times:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), PATIENCE)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def producing(
    bootstrap: str,
    *,
    on_event: Callable[[ProducerEvent], None] = lambda event: None,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> AsyncIterator[KafkaProducer]:
    """A started producer that is drained at the end of the block."""
    fast = {"probe_seconds": 0.1, "reconnect_backoff_max_seconds": 0.2, **settings}
    sink = KafkaProducer(KafkaSettings(bootstrap_servers=bootstrap, **fast), on_event=on_event, clock=clock)
    await sink.start()
    try:
        yield sink
    finally:
        await sink.drain(10)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the loop run until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0)


class LoggedRecord(NamedTuple):
    """A record as the log has it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def read_log(bootstrap: str, topic: str) -> list[LoggedRecord]:
    """Everything in a topic, partition by partition, read by a stock consumer."""
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": "reader",
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "error",
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
        "error_cb": lambda error: None,
    }
    consumer = Consumer(config)
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions)
        ends = {partition: _end(consumer, TopicPartition(topic, partition)) for partition in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
        found: list[LoggedRecord] = []
        deadline = time.monotonic() + PATIENCE
        position = {p: 0 for p, end in ends.items() if end}
        while any(position[p] < ends[p] for p in position):
            assert time.monotonic() < deadline, "the log cannot be read to its end"
            for message in consumer.consume(1_000, 0.2):
                if message.error() is None:
                    found.append(_logged(message))
                    position[found[-1].partition] = found[-1].offset + 1
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=PATIENCE)[1])
        except KafkaException:
            # A broker that was stopped for a while needs a moment until all clients know its partitions again.
            if time.monotonic() > deadline:
                raise
            consumer.list_topics(place.topic, timeout=PATIENCE)


def _logged(message: Message) -> LoggedRecord:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers: Any = message.headers() or []
    return LoggedRecord(partition, offset, message.timestamp()[1], message.key(), message.value(), list(headers))


def errors(outcomes: list[Outcome]) -> list[type | None]:
    """The kinds of error, None where a record is stored."""
    return [None if isinstance(outcome, Stored) else type(outcome.error) for outcome in outcomes]
