"""Clients that pull a subscription to its end: each receives and acks up to so many events at once, again and again.

It runs in a process of its own (``python -m loadtests.pull_load``: a plan as JSON on standard input, a report on
standard output). Every event must come exactly once, for the first time, and every ack must succeed.
"""

import asyncio
import json
import re
import sys
import time
from typing import NamedTuple, cast

import uvloop

from loadtests.histogram import bucket
from loadtests.http1 import body_of, complete_size, post
from loadtests.load import cpu_seconds

_TOKENS = re.compile(rb'"ackToken":"([^"]+)"')
_ALL_TOKENS = re.compile(rb'"ackTokens":\["[^\]]+"\]')
"""The tokens that stand for all events of an answer, as they go back."""
_PLACES = re.compile(rb'"partition":(\d+),"offset":(\d+)')
_FIRST = b'"deliveryCount":1}'
_GIVE_UP_SECONDS = 60.0


class Plan(NamedTuple):
    """What to pull.

    Args:
        port: where the gateway listens, on the loopback address.
        pid: its process, whose CPU time is read.
        subscription: name of the subscription.
        connections: clients at the same time.
        events_per_request: events asked for at once.
        events: how many there are.
        acks_apart: whether events are acked by a request of their own before the next receive.
    """

    port: int
    pid: int
    subscription: str
    connections: int
    events_per_request: int
    events: int
    acks_apart: bool


class Report(NamedTuple):
    """What came.

    Args:
        events: different events that were received and acked.
        repeated: events that came more than once, or were said to.
        failures: answers that were no success, by their status line and first bytes.
        seconds: from the first request to the last answer.
        server_cpu_seconds: CPU time of the gateway's process meanwhile.
        latencies: count of receives by bucket of their duration.
    """

    events: int
    repeated: int
    failures: list[str]
    seconds: float
    server_cpu_seconds: float
    latencies: dict[int, int]


class _Pull:
    """What all clients share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.places: set[tuple[bytes, bytes]] = set()
        self.acked = 0
        self.repeated = 0
        self.failures: list[str] = []
        self.latencies: dict[int, int] = {}
        self.done = asyncio.Event()

    def take(self, body: bytes) -> list[bytes]:
        """The tokens of the events in an answer."""
        places, tokens = _PLACES.findall(body), _TOKENS.findall(body)
        before = len(self.places)
        self.places.update(places)
        self.repeated += len(places) - (len(self.places) - before) + len(tokens) - body.count(_FIRST)
        return tokens

    def fail(self, data: bytes) -> None:
        """Something was not answered as it should."""
        self.failures.append(data[:300].decode("latin-1"))
        self.done.set()

    def acks(self, count: int) -> None:
        """So many events are done with."""
        self.acked += count
        if self.acked >= self.plan.events:
            self.done.set()


class _Client(asyncio.Protocol):
    """One client: at most one request under way."""

    def __init__(self, pull: _Pull) -> None:
        self._pull = pull
        self._path = f"/v1/subscriptions/{pull.plan.subscription}"
        self._ask = b'"maxEvents":%d' % pull.plan.events_per_request
        self._receive = post(f"{self._path}/receive", b'{%b,"waitSeconds":1}' % self._ask)
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._acking = 0
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.receive()

    def receive(self) -> None:
        """Ask for events."""
        self._sent = time.perf_counter_ns()
        self._write(self._receive)

    def receive_and_ack(self, tokens: bytes) -> None:
        """The same, and say that those before are done; at the end that is told soon."""
        self._sent = time.perf_counter_ns()
        self._write(post(f"{self._path}/receive", b'{%b,"waitSeconds":0.05,%b}' % (self._ask, tokens)))

    def ack(self, tokens: bytes) -> None:
        """Be done with events."""
        self._write(post(f"{self._path}/ack", b"{%b}" % tokens))

    def data_received(self, data: bytes) -> None:
        self._data += data
        size = complete_size(self._data)
        if not size or len(self._data) < size:
            return
        answer, self._data = self._data, b""
        if answer[9:12] != b"200" or (self._acking and b'{"succeeded":%d,"failed":[]}' % self._acking not in answer):
            self._pull.fail(answer)
            return
        acked, self._acking = self._acking, 0
        if acked:
            self._pull.acks(acked)
        if acked and self._pull.plan.acks_apart:
            self.receive()
        else:
            self._take(answer)

    def _take(self, answer: bytes) -> None:
        took = bucket((time.perf_counter_ns() - self._sent) // 1_000)
        self._pull.latencies[took] = self._pull.latencies.get(took, 0) + 1
        tokens = self._pull.take(body_of(answer))
        if tokens:
            self._acking = len(tokens)
            if self._pull.plan.acks_apart:
                self.ack(b'"ackTokens":["%s"]' % b'","'.join(tokens))
            elif (together := _ALL_TOKENS.search(answer)) is not None:
                self.receive_and_ack(together[0])
            else:
                self._pull.fail(answer)
        elif not self._pull.done.is_set():
            self.receive()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._pull.done.is_set():
            self._pull.fail(b"a connection was closed")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def run(plan: Plan) -> Report:
    """Pull a subscription to its end.

    Args:
        plan: what to pull.

    Raises:
        OSError: the gateway refuses connections.
    """
    loop = asyncio.get_running_loop()
    pull = _Pull(plan)
    cpu, start = cpu_seconds(plan.pid), time.perf_counter()
    clients = [_Client(pull) for _ in range(plan.connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", plan.port)  # type: ignore[misc]
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await pull.done.wait()
    except TimeoutError:
        pull.failures.append(f"after {_GIVE_UP_SECONDS:g} s only {pull.acked} events were acked")
    seconds, cpu = time.perf_counter() - start, cpu_seconds(plan.pid) - cpu
    for client in clients:
        client.close()
    return Report(len(pull.places), pull.repeated, pull.failures, seconds, cpu, pull.latencies)


def main() -> None:
    """Read a plan, carry it out, write the report."""
    plan = Plan(**json.load(sys.stdin))
    json.dump(uvloop.run(run(plan))._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
