"""The least that a delivery can cost: librdkafka and fastavro in a plain loop, and aiohttp to send what it brings.

``python -m loadtests.floor_push`` reads a plan as JSON from standard input and writes a report to standard output.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
import orjson
import uvloop
from confluent_kafka import Consumer, Message, TopicPartition

from loadtests.floor_consume import decoder

_AT_ONCE = 500
_POLL_SECONDS = 0.1
_GIVE_UP_SECONDS = 60.0


class Plan(NamedTuple):
    """What to read, and where to send it.

    Args:
        bootstrap: brokers.
        topic: name of the topic.
        partitions: how many it has.
        events: how many records.
        schema: file with the Avro schema of the values.
        url: of the receiver.
        per_request: events in a request.
        in_flight: requests at the same time.
    """

    bootstrap: str
    topic: str
    partitions: int
    events: int
    schema: str
    url: str
    per_request: int
    in_flight: int


class Report(NamedTuple):
    """What was sent.

    Args:
        events: records.
        seconds: how long it took.
        cpu_seconds: CPU time of all threads of the process.
    """

    events: int
    seconds: float
    cpu_seconds: float


async def run(plan: Plan) -> Report:
    """Read a topic from its beginning and send each record.

    Args:
        plan: what to send.

    Raises:
        RuntimeError: there are fewer records, or an answer is no success.
    """
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "group.id": "loadtests"}
    consumer = Consumer({"bootstrap.servers": plan.bootstrap, "log_level": 3, **settings})
    connector = aiohttp.TCPConnector(limit=plan.in_flight)
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies, auto_decompress=False) as session:
        cpu, start = time.process_time(), time.perf_counter()
        consumer.assign([TopicPartition(plan.topic, number, 0) for number in range(plan.partitions)])
        sent = 0
        while sent < plan.events:
            messages = [one for one in consumer.consume(_wanted(plan, sent), _POLL_SECONDS) if one.error() is None]
            await _sent(session, plan, messages)
            sent += len(messages)
            if time.perf_counter() - start > _GIVE_UP_SECONDS:
                raise RuntimeError(f"the topic {plan.topic} has {sent} records where {plan.events} are needed")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    consumer.close()
    return Report(sent, seconds, cpu)


def _wanted(plan: Plan, sent: int) -> int:
    return min(_AT_ONCE * plan.per_request, plan.events - sent)


async def _sent(session: aiohttp.ClientSession, plan: Plan, messages: Sequence[Message]) -> None:
    decode = decoder(plan.schema)
    rest = iter([messages[start : start + plan.per_request] for start in range(0, len(messages), plan.per_request)])

    async def work() -> None:
        for part in rest:
            headers, body = _single(part[0], decode) if plan.per_request == 1 else _batch(part, decode)
            async with session.post(plan.url, data=body, headers=headers) as answer:
                if answer.status != 204:
                    raise RuntimeError(f"the receiver answered {answer.status}")

    await asyncio.gather(*[work() for _ in range(plan.in_flight)])


def _single(message: Message, decode: Any) -> tuple[dict[str, str], bytes]:
    partition, offset, key = _place(message)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": f"{partition}-{offset}",
        "ce-source": "/loadtests",
        "ce-type": "health.example.visits",
        "ce-partition": str(partition),
        "ce-offset": str(offset),
        "ce-partitionkey": key,
        "content-type": "application/json",
    }
    return headers, orjson.dumps(decode(message.value()))


def _batch(messages: Sequence[Message], decode: Any) -> tuple[dict[str, str], bytes]:
    events = []
    for message in messages:
        partition, offset, key = _place(message)
        events.append(
            {"partition": partition, "offset": offset, "partitionkey": key, "data": decode(message.value())}
        )
    return {"content-type": "application/cloudevents-batch+json"}, orjson.dumps(events)


def _place(message: Message) -> tuple[int | None, int | None, str]:
    key = message.key()
    return message.partition(), message.offset(), key.decode() if isinstance(key, bytes) else ""


def main() -> None:
    """Read a plan, carry it out, write the report."""
    json.dump(uvloop.run(run(Plan(**json.load(sys.stdin))))._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
