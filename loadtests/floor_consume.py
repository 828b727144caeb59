"""The least that reading an event can cost: librdkafka in a plain loop, and fastavro or orjson for what it brings.

``python -m loadtests.floor_consume`` reads a plan as JSON from standard input and writes a report to standard output.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import orjson
from confluent_kafka import Consumer, TopicPartition

_FRAME = 5
"""Confluent's wire format: a zero byte and the schema's id."""
_AT_ONCE = 500
_GIVE_UP_SECONDS = 60.0


class Plan(NamedTuple):
    """What to read.

    Args:
        bootstrap: brokers.
        topic: name of the topic.
        partitions: how many it has.
        events: how many records.
        schema: file with the Avro schema of the values; None for JSON.
    """

    bootstrap: str
    topic: str
    partitions: int
    events: int
    schema: str | None


class Report(NamedTuple):
    """What was read.

    Args:
        events: records.
        seconds: how long it took.
        cpu_seconds: CPU time of all threads of the process.
    """

    events: int
    seconds: float
    cpu_seconds: float


def run(plan: Plan) -> Report:
    """Read a topic from its beginning.

    Args:
        plan: what to read.

    Raises:
        RuntimeError: there are fewer records.
    """
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "group.id": "loadtests"}
    consumer = Consumer({"bootstrap.servers": plan.bootstrap, "log_level": 3, **settings})
    decode = decoder(plan.schema)
    read = 0
    cpu, start = time.process_time(), time.perf_counter()
    consumer.assign([TopicPartition(plan.topic, number, 0) for number in range(plan.partitions)])
    while read < plan.events:
        for message in consumer.consume(min(_AT_ONCE, plan.events - read), 0.1):
            if message.error() is None:
                decode(message.value())
                read += 1
        if time.perf_counter() - start > _GIVE_UP_SECONDS:
            raise RuntimeError(f"the topic {plan.topic} has {read} records where {plan.events} are needed")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    consumer.close()
    return Report(read, seconds, cpu)


def decoder(schema: str | None) -> Callable[[Any], object]:
    """What decodes the value of a record.

    Args:
        schema: file with the Avro schema; None for JSON.
    """
    if schema is None:
        return orjson.loads
    parsed = fastavro.parse_schema(json.loads(Path(schema).read_text()))

    def decode(value: Any) -> object:
        return fastavro.schemaless_reader(io.BytesIO(value[_FRAME:]), parsed, None)

    return decode


def main() -> None:
    """Read a plan, carry it out, write the report."""
    json.dump(run(Plan(**json.load(sys.stdin)))._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
