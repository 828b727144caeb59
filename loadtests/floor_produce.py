"""The least that a record can cost: librdkafka fed by a plain loop with records that the gateway has written.

``python -m loadtests.floor_produce`` reads a plan as JSON from standard input and writes a report to standard output.
"""

import base64
import itertools
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 1,
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 32_768,
}
_RECORDS_PER_POLL = 100
_FULL_QUEUE_SECONDS = 0.001

# A record: key, value and headers, whose values are bytes; the client's own types allow more.
Sample = tuple[bytes | None, bytes, list[tuple[str, str | bytes | None]]]


class Report(NamedTuple):
    """What the loop did within its measured interval.

    Args:
        stored: records acknowledged.
        failed: records that were not, warm-up included.
        seconds: length of the interval.
        cpu_seconds: CPU time of all threads of the process within it.
    """

    stored: int
    failed: int
    seconds: float
    cpu_seconds: float


class _Deliveries:
    """Counts delivery reports."""

    def __init__(self) -> None:
        self.stored = 0
        self.failed = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.stored += 1
        else:
            self.failed += 1


def samples(bootstrap: str, topic: str, partitions: int, count: int) -> list[Sample]:
    """Records of a topic as they are stored, from the beginning of each partition.

    Args:
        bootstrap: brokers.
        topic: where to read.
        partitions: how many it has.
        count: how many records to read at the most.

    Raises:
        RuntimeError: there are none.
    """
    # Retention may have removed the beginning already.
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "group.id": "loadtests"}
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    found: list[Sample] = []
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(count - len(found), 0.5):
                value, headers = message.value(), message.headers()
                if message.error() is None and value is not None:
                    found.append((message.key(), value, _pairs(headers)))
    finally:
        consumer.close()
    if len(found) < count:
        raise RuntimeError(f"the topic {topic} has {len(found)} records where {count} are needed")
    return found


def _pairs(headers: Any) -> list[tuple[str, bytes | str | None]]:
    return [(name, data) for name, data in headers or []]


def plan(bootstrap: str, topic: str, records: Sequence[Sample], warm_up_seconds: float, seconds: float) -> str:
    """The plan that ``main`` reads."""
    text = [
        [
            None if key is None else _text(key),
            _text(value),
            [[name, _text(cast("bytes", data))] for name, data in headers],
        ]
        for key, value, headers in records
    ]
    return json.dumps([bootstrap, topic, text, warm_up_seconds, seconds])


def main() -> None:
    """Read a plan, produce, write the report."""
    bootstrap, topic, text, warm_up_seconds, seconds = json.load(sys.stdin)
    records: list[Sample] = [
        (None if key is None else _bytes(key), _bytes(value), [(name, _bytes(data)) for name, data in headers])
        for key, value, headers in text
    ]
    json.dump(_produce(bootstrap, topic, records, warm_up_seconds, seconds)._asdict(), sys.stdout)


def _produce(bootstrap: str, topic: str, records: Sequence[Sample], warm_up_seconds: float, seconds: float) -> Report:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 3, **SETTINGS})
    deliveries = _Deliveries()
    endless = itertools.cycle(records)
    _feed(producer, topic, endless, deliveries, time.perf_counter() + warm_up_seconds)
    stored, cpu, start = deliveries.stored, time.process_time(), time.perf_counter()
    _feed(producer, topic, endless, deliveries, start + seconds)
    stored, cpu, took = deliveries.stored - stored, time.process_time() - cpu, time.perf_counter() - start
    left = producer.flush(30)
    return Report(stored, deliveries.failed + left, took, cpu)


def _feed(
    producer: Producer, topic: str, records: "itertools.cycle[Sample]", deliveries: _Deliveries, until: float
) -> None:
    produce, poll = producer.produce, producer.poll
    while time.perf_counter() < until:
        for key, value, headers in itertools.islice(records, _RECORDS_PER_POLL):
            while True:
                try:
                    produce(topic, value, key, headers=headers, on_delivery=deliveries)
                    break
                except BufferError:
                    poll(_FULL_QUEUE_SECONDS)
        poll(0)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


if __name__ == "__main__":
    main()
