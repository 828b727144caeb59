"""A receiver of webhooks that counts: every event has to come once, in the order of its key, and signed.

It runs in a process of its own (``python -m loadtests.receiving``). It says the number of its port in a line on
standard output, reads a plan as JSON from a line of standard input, and takes requests from then on; connections that
are made before wait. Its report follows as JSON in a second line once all events are there.
"""

import asyncio
import hmac
import json
import re
import socket
import sys
import time
from base64 import b64decode, b64encode
from typing import NamedTuple, cast

import uvloop

from loadtests.http1 import body_of, complete_size
from loadtests.load import cpu_seconds

_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_PREFIX = "whsec_"
_BATCH = b"application/cloudevents-batch+json"
# Both name these attributes in a row.
_in_head = re.compile(rb"\r\nce-partition: (\d+)\r\nce-offset: (\d+)\r\nce-partitionkey: ([^\r]*)\r\n", re.IGNORECASE)
_in_batch = re.compile(rb'"partition":(\d+),"offset":(\d+),"partitionkey":"([^"]*)"')
_id, _timestamp, _signature = (
    re.compile(rb"\r\nwebhook-%b: ([^\r]*)\r\n" % name, re.IGNORECASE) for name in (b"id", b"timestamp", b"signature")
)
_GIVE_UP_SECONDS = 60.0
_BACKLOG = 1_024


class Plan(NamedTuple):
    """What to expect.

    Args:
        events: how many different ones.
        secret: what signs them; they are not signed without one.
        pid: process of the sender, whose CPU time is read; None for none.
        cpu_seconds: what that process had used before it was asked to send.
    """

    events: int
    secret: str | None = None
    pid: int | None = None
    cpu_seconds: float = 0.0


class Report(NamedTuple):
    """What came.

    Args:
        events: different events.
        repeated: events that came once more.
        disordered: events that came behind a later one of their key.
        unsigned: requests whose signature is not the one of the secret.
        seconds: from the first request to the last event.
        server_cpu_seconds: CPU time of the sender until the last event.
    """

    events: int
    repeated: int
    disordered: int
    unsigned: int
    seconds: float
    server_cpu_seconds: float


class Arrivals:
    """What came so far.

    Args:
        secret: what signs requests, as its owner was shown it; None where they are not signed.
    """

    def __init__(self, secret: str | None) -> None:
        self._key = None if secret is None else b64decode(secret.removeprefix(_PREFIX))
        self._places: set[tuple[bytes, bytes]] = set()
        self._latest: dict[bytes, int] = {}
        self.repeated = 0
        self.disordered = 0
        self.unsigned = 0

    def __len__(self) -> int:
        return len(self._places)

    def take(self, request: bytes) -> None:
        """Note what is in a whole request."""
        body = body_of(request)
        head = request[: len(request) - len(body)]
        for partition, offset, key in _in_batch.findall(body) if _BATCH in head else _in_head.findall(head):
            place = (partition, offset)
            if place in self._places:
                self.repeated += 1
                continue
            self._places.add(place)
            # All events of a key are in one partition.
            number = int(offset)
            if number < self._latest.get(key, -1):
                self.disordered += 1
            else:
                self._latest[key] = number
        if self._key is not None and not _is_signed(self._key, head, body):
            self.unsigned += 1


class _Receiver:
    """What all connections share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arrivals = Arrivals(plan.secret)
        self.first: float | None = None
        self.done = asyncio.Event()

    def take(self, request: bytes) -> None:
        """A request is complete."""
        if self.first is None:
            self.first = time.perf_counter()
        self.arrivals.take(request)
        if len(self.arrivals) >= self.plan.events:
            self.done.set()


class _Connection(asyncio.Protocol):
    """One connection; the next request comes after the answer."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._data:
            data = self._data + data
        size = complete_size(data)
        if not size or len(data) < size:
            self._data = data
            return
        self._data = b""
        self._receiver.take(data)
        if self._transport is not None:
            self._transport.write(_TAKEN)


async def run(listening: socket.socket, plan: Plan) -> Report:
    """Take requests until all events are there, or until that takes too long.

    Args:
        listening: where they come.
        plan: what to expect.
    """
    receiver = _Receiver(plan)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(receiver), sock=listening)
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await receiver.done.wait()
    except TimeoutError:
        print(f"after {_GIVE_UP_SECONDS:g} s not all events are there", file=sys.stderr)
    now, arrivals = time.perf_counter(), receiver.arrivals
    cpu = 0.0 if plan.pid is None else cpu_seconds(plan.pid) - plan.cpu_seconds
    server.close()
    seconds = now - (receiver.first or now)
    return Report(len(arrivals), arrivals.repeated, arrivals.disordered, arrivals.unsigned, seconds, cpu)


def main() -> None:
    """Listen, read a plan, receive, write the report."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        plan = Plan(**json.loads(sys.stdin.readline()))
        print(json.dumps(uvloop.run(run(listening, plan))._asdict()), flush=True)


def _is_signed(key: bytes, head: bytes, body: bytes) -> bool:
    """Whether a request is signed as Standard Webhooks asks for."""
    found = [pattern.search(head) for pattern in (_id, _timestamp, _signature)]
    message_id, timestamp, signatures = ["" if match is None else match[1].decode("ascii") for match in found]
    content = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" in signatures.split(" ")


if __name__ == "__main__":
    main()
