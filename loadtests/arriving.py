"""How soon an event that is published reaches a webhook, at a constant rate.

It runs in a process of its own (``python -m loadtests.arriving``) that both publishes and receives. Like
``loadtests.receiving`` it says its port, reads a plan and writes a report, a line each. Times are counted from when
an event should have been sent, so that a publish that has to wait for a free connection counts as late.
"""

import asyncio
import json
import re
import socket
import sys
import time
from collections import deque
from typing import NamedTuple, cast

import uvloop

from loadtests.events import numbered
from loadtests.histogram import bucket
from loadtests.http1 import complete_size
from loadtests.load import cpu_seconds

_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_number = re.compile(rb"\r\nce-id: (\d+)\r\n", re.IGNORECASE).search
_CONNECTIONS = 32
_GIVE_UP_SECONDS = 30.0
_BACKLOG = 1_024


class Plan(NamedTuple):
    """What to publish.

    Args:
        port: where the gateway listens, on the loopback address.
        pid: its process, whose CPU time is read.
        topic: where events are published.
        per_second: events per second.
        warm_up: events at the beginning that do not count.
        events: events that count.
    """

    port: int
    pid: int
    topic: str
    per_second: int
    warm_up: int
    events: int


class Report(NamedTuple):
    """What it took.

    Args:
        arrived: events that count and came.
        refused: publishes that were not answered with 201.
        repeated: events that came more than once.
        seconds: how long the events that count were published.
        server_cpu_seconds: CPU time of the gateway's process meanwhile.
        latencies: count of events by bucket of the time from when it was to be published to having it.
    """

    arrived: int
    refused: int
    repeated: int
    seconds: float
    server_cpu_seconds: float
    latencies: dict[int, int]


class _Run:
    """What all connections share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests = numbered(plan.topic, plan.warm_up + plan.events)
        self.due: dict[int, int] = {}
        self.waiting: deque[int] = deque()
        self.free: list[_Publishing] = []
        self.arrived: set[int] = set()
        self.repeated = 0
        self.refused = 0
        self.latencies: dict[int, int] = {}
        self.done = asyncio.Event()

    def publish(self, number: int) -> None:
        """An event is due."""
        self.due[number] = time.perf_counter_ns()
        if self.free:
            self.free.pop().send(number)
        else:
            self.waiting.append(number)

    def take(self, number: int) -> None:
        """An event is there."""
        now = time.perf_counter_ns()
        if number in self.arrived:
            self.repeated += 1
            return
        self.arrived.add(number)
        if number >= self.plan.warm_up:
            took = bucket((now - self.due[number]) // 1_000)
            self.latencies[took] = self.latencies.get(took, 0) + 1
        if len(self.arrived) == len(self.requests):
            self.done.set()


class _Answering(asyncio.Protocol):
    """Either side of HTTP: whole messages, one after the other."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        size = complete_size(data)
        self._data = b"" if size and len(data) >= size else data
        if not self._data:
            self.whole(data)

    def whole(self, message: bytes) -> None:
        """A message is complete."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send something."""
        if self._transport is not None:
            self._transport.write(data)


class _Receiving(_Answering):
    def whole(self, message: bytes) -> None:
        number = _number(message)
        if number is not None:
            self._run.take(int(number[1]))
        self.write(_TAKEN)


class _Publishing(_Answering):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._run.free.append(self)

    def send(self, number: int) -> None:
        """Publish an event."""
        self.write(self._run.requests[number])

    def whole(self, message: bytes) -> None:
        self._run.refused += message[9:12] != b"201"
        if self._run.waiting:
            self.send(self._run.waiting.popleft())
        else:
            self._run.free.append(self)


async def run(listening: socket.socket, plan: Plan) -> Report:
    """Publish at a rate and receive.

    Args:
        listening: where webhooks come.
        plan: what to publish.

    Raises:
        OSError: the gateway refuses connections.
    """
    loop, shared = asyncio.get_running_loop(), _Run(plan)
    server = await loop.create_server(lambda: _Receiving(shared), sock=listening)
    for _ in range(_CONNECTIONS):
        await loop.create_connection(lambda: _Publishing(shared), "127.0.0.1", plan.port)
    await _published(shared, range(plan.warm_up))
    cpu, start = cpu_seconds(plan.pid), time.perf_counter()
    await _published(shared, range(plan.warm_up, len(shared.requests)))
    seconds, cpu = time.perf_counter() - start, cpu_seconds(plan.pid) - cpu
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await shared.done.wait()
    except TimeoutError:
        print(f"after {_GIVE_UP_SECONDS:g} s not all events are there", file=sys.stderr)
    server.close()
    arrived = sum(number >= plan.warm_up for number in shared.arrived)
    return Report(arrived, shared.refused, shared.repeated, seconds, cpu, shared.latencies)


def main() -> None:
    """Listen, read a plan, carry it out, write the report."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        plan = Plan(**json.loads(sys.stdin.readline()))
        print(json.dumps(uvloop.run(run(listening, plan))._asdict()), flush=True)


async def _published(shared: _Run, numbers: range) -> None:
    """Publish each event when it is due."""
    start = time.perf_counter()
    for count, number in enumerate(numbers):
        early = start + count / shared.plan.per_second - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        shared.publish(number)


if __name__ == "__main__":
    main()
