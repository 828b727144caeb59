"""A closed loop of HTTP/1.1 requests: every connection sends its next request when the answer to the last one came.

It runs in a process of its own (``python -m loadtests.load``: a plan as JSON on standard input, a report on standard
output) and does as little as possible per request, because it shares the machine with what it measures.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from loadtests.events import publishes
from loadtests.histogram import Histogram, bucket
from loadtests.http1 import complete_size

_DRAIN_SECONDS = 30.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Plan(NamedTuple):
    """What load to make.

    Args:
        port: where the server listens, on the loopback address.
        pid: process of the server, whose CPU time is read.
        connections: connections that are kept open.
        topic: topic of the events.
        events_per_request: events in each request.
        requests: different requests that are sent in turns.
        warm_up_seconds: time before the measured interval.
        seconds: the measured interval.
        headers: further lines of each head, each with its line end.
    """

    port: int
    pid: int
    connections: int
    topic: str
    events_per_request: int
    requests: int
    warm_up_seconds: float
    seconds: float
    headers: str = ""


class Report(NamedTuple):
    """What came back.

    Args:
        answers: requests answered by status, from the first to the last one, warm-up included.
        unanswered: requests that were sent and never answered completely.
        measured: answers by status within the measured interval.
        seconds: length of the measured interval.
        server_cpu_seconds: CPU time of the server's process within it.
        own_cpu_seconds: CPU time of this process within it.
        latencies: count of the answers of the measured interval by bucket of their duration.
    """

    answers: dict[str, int]
    unanswered: int
    measured: dict[str, int]
    seconds: float
    server_cpu_seconds: float
    own_cpu_seconds: float
    latencies: dict[int, int]


class _Loop:
    """What all connections share.

    Args:
        requests: whole requests.
        connections: how many connections there will be.
    """

    def __init__(self, requests: Sequence[bytes], connections: int) -> None:
        self.requests = requests
        self.answers: Counter[bytes] = Counter()
        self.latencies: dict[int, int] = {}
        self.sending = True
        self.waiting = connections
        self.idle = asyncio.Event()

    def stopped(self) -> None:
        """A connection will send nothing more."""
        self.waiting -= 1
        if self.waiting == 0:
            self.idle.set()


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, loop: _Loop, first: int) -> None:
        self._loop = loop
        self._next = first
        self._sent = 0
        self._part = b""
        self._size = 0
        self._transport: asyncio.Transport | None = None
        self.under_way = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the next request."""
        requests = self._loop.requests
        self._next = (self._next + 1) % len(requests)
        self.under_way = True
        self._sent = time.perf_counter_ns()
        assert self._transport is not None
        self._transport.write(requests[self._next])

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
        size = self._size or complete_size(data)
        if size == 0 or len(data) < size:
            self._part, self._size = data, size
            return
        if len(data) > size:
            raise RuntimeError("more than one answer came to one request")
        took = bucket((time.perf_counter_ns() - self._sent) // 1_000)
        loop = self._loop
        latencies = loop.latencies
        latencies[took] = latencies.get(took, 0) + 1
        loop.answers[data[9:12]] += 1
        self.under_way = False
        if self._part:
            self._part, self._size = b"", 0
        if loop.sending:
            self.send()
        else:
            loop.stopped()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.under_way or self._loop.sending:
            self.under_way = True  # the loop is not closed on this connection any more
            self._loop.stopped()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()


async def run(plan: Plan, requests: Sequence[bytes]) -> Report:
    """Make the load of a plan.

    Args:
        plan: how much, for how long, against whom.
        requests: whole HTTP requests.

    Raises:
        OSError: the server refuses connections.
    """
    loop = asyncio.get_running_loop()
    shared = _Loop(requests, plan.connections)
    step = max(1, len(requests) // plan.connections)
    connections = [_Connection(shared, number * step % len(requests)) for number in range(plan.connections)]
    for connection in connections:
        await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", plan.port)  # type: ignore[misc]
    for connection in connections:
        connection.send()
    await _idle_or_after(shared, plan.warm_up_seconds)
    before, own, cpu, start = Counter(shared.answers), time.process_time(), cpu_seconds(plan.pid), time.perf_counter()
    shared.latencies = {}
    await _idle_or_after(shared, plan.seconds)
    seconds, cpu = time.perf_counter() - start, cpu_seconds(plan.pid) - cpu
    own, measured, latencies = time.process_time() - own, shared.answers - before, shared.latencies
    shared.latencies, shared.sending = {}, False
    await _idle_or_after(shared, _DRAIN_SECONDS)
    unanswered = sum(connection.under_way for connection in connections)
    for connection in connections:
        connection.close()
    return Report(_by_text(shared.answers), unanswered, _by_text(measured), seconds, cpu, own, latencies)


def cpu_seconds(pid: int) -> float:
    """User and system time that all threads of a process have used (proc(5), /proc/pid/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def rss_mib(pid: int) -> float:
    """Resident memory of a process (proc(5), VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def histogram(report: Report) -> Histogram:
    """The durations of the measured interval."""
    return Histogram({int(index): count for index, count in report.latencies.items()})


def main() -> None:
    """Read a plan, make its load, write the report."""
    plan = Plan(**json.load(sys.stdin))
    requests = publishes(plan.topic, plan.events_per_request, plan.requests, plan.headers)
    gc.disable()  # nothing here makes cycles, and a pause would be taken for one of the server
    report = uvloop.run(run(plan, requests))
    json.dump(report._asdict(), sys.stdout)


async def _idle_or_after(loop: _Loop, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await loop.idle.wait()
    except TimeoutError:
        return


def _by_text(counts: Counter[bytes]) -> dict[str, int]:
    return {status.decode(): count for status, count in counts.items()}


if __name__ == "__main__":
    main()
