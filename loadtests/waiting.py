"""How soon an event that is published reaches a client that waits for it.

It runs in a process of its own (``python -m loadtests.waiting``: a plan as JSON on standard input, a report on
standard output). One connection waits in a receive, another one publishes an event when it does, and the first one
acks it.
"""

import asyncio
import json
import re
import sys
import time
from typing import NamedTuple

import uvloop

from loadtests.events import publishes
from loadtests.histogram import bucket
from loadtests.http1 import body_of, complete_size, post
from loadtests.load import cpu_seconds

_TOKEN = re.compile(rb'"ackToken":"([^"]+)"')
_BEGIN_SECONDS = 0.01
"""Time for a receive to get to where it waits."""
_ANSWER_SECONDS = 30.0


class Plan(NamedTuple):
    """What to wait for.

    Args:
        port: where the gateway listens, on the loopback address.
        pid: its process, whose CPU time is read.
        subscription: name of a subscription of the topic that stands at its end.
        topic: where events are published.
        rounds: how many events.
    """

    port: int
    pid: int
    subscription: str
    topic: str
    rounds: int


class Report(NamedTuple):
    """What it took.

    Args:
        seconds: how long all of it took.
        server_cpu_seconds: CPU time of the gateway's process meanwhile.
        latencies: count of events by bucket of the time from sending the publish to having the event.
    """

    seconds: float
    server_cpu_seconds: float
    latencies: dict[int, int]


class _Connection:
    """One connection that asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._writer.write(request)

    async def answer(self, status: bytes) -> bytes:
        """The body of the answer to it.

        Raises:
            RuntimeError: another status, or no answer in time.
        """
        data = b""
        async with asyncio.timeout(_ANSWER_SECONDS):
            while not (size := complete_size(data)) or len(data) < size:
                part = await self._reader.read(65_536)
                if not part:
                    raise RuntimeError("the gateway closed a connection")
                data += part
        if data[9:12] != status:
            raise RuntimeError(data[:300].decode("latin-1"))
        return body_of(data)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def run(plan: Plan) -> Report:
    """Wait for as many events as a plan says.

    Args:
        plan: what to wait for.

    Raises:
        OSError: the gateway refuses connections.
        RuntimeError: something was answered as it should not.
    """
    waiting = _Connection(*await asyncio.open_connection("127.0.0.1", plan.port))
    publishing = _Connection(*await asyncio.open_connection("127.0.0.1", plan.port))
    path = f"/v1/subscriptions/{plan.subscription}"
    receive = post(f"{path}/receive", b'{"maxEvents":1,"waitSeconds":20}')
    requests = publishes(plan.topic, 1, 64)
    latencies: dict[int, int] = {}
    cpu, start = cpu_seconds(plan.pid), time.perf_counter()
    for number in range(plan.rounds):
        waiting.send(receive)
        await asyncio.sleep(_BEGIN_SECONDS)
        sent = time.perf_counter_ns()
        publishing.send(requests[number % len(requests)])
        tokens = _TOKEN.findall(await waiting.answer(b"200"))
        took = bucket((time.perf_counter_ns() - sent) // 1_000)
        latencies[took] = latencies.get(took, 0) + 1
        await publishing.answer(b"201")
        if len(tokens) != 1:
            raise RuntimeError(f"a wait for one event gave {len(tokens)}")
        waiting.send(post(f"{path}/ack", b'{"ackTokens":["%s"]}' % tokens[0]))
        await waiting.answer(b"200")
    report = Report(time.perf_counter() - start, cpu_seconds(plan.pid) - cpu, latencies)
    waiting.close()
    publishing.close()
    return report


def main() -> None:
    """Read a plan, carry it out, write the report."""
    plan = Plan(**json.load(sys.stdin))
    json.dump(uvloop.run(run(plan))._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
