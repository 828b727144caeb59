"""Receivers of webhooks: they keep books of what came and of what they answered, and misbehave as a test wants."""

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httptools
from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.webhooks.manners import OK, Arrival, Manner, Place, Reply, always

from eventbus_gateway.webhooks.signing import Secret, Verdict, Verifier

HOST = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine; the gateways of these tests may call this address only."""

_PIECE = 16_384


class Hook:
    """One URL and its books.

    What the receiver writes down is read by the test in another thread: lists grow at their end only, and of all else
    there are copies.

    Args:
        url: where it is.
        next_moment: counts moments.
    """

    def __init__(self, url: str, next_moment: Callable[[], int]) -> None:
        self.url = url
        self.manner: Manner = always(OK)
        self.secrets: dict[str, Verifier] = {}
        self.arrivals: list[Arrival] = []
        self.answers: list[tuple[float, Arrival]] = []
        """When each event was taken, in that order."""
        self.under_way: dict[int, Arrival] = {}
        """Requests that have no answer yet, by their moments."""
        self._taken: dict[Place, int] = {}
        self._came: dict[str, int] = defaultdict(int)
        self._next_moment = next_moment

    def trust(self, name: str, secret: str) -> None:
        """Verify signatures with a secret from now on."""
        self.secrets = {**self.secrets, name: Verifier([Secret.parse(secret)])}

    def taken(self) -> dict[Place, int]:
        """Places of the events that were answered with 2xx, with the moment of the first such answer."""
        return self._taken.copy()

    def ids(self) -> list[str]:
        """Events that were taken, each as often as that was, in that order."""
        return [arrival.event for _, arrival in list(self.answers)]

    def deliveries(self) -> dict[str, list[Arrival]]:
        """All requests by event."""
        found: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in list(self.arrivals):
            found[arrival.event].append(arrival)
        return found

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the books say so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}; {self.counts()}"
            await pause()

    async def until_taken(self, number: int) -> None:
        """Wait until so many different events were taken."""
        await self.until(lambda: len(self._taken) >= number, f"{number} events to be taken")

    def counts(self) -> str:
        """How much there is, for messages."""
        return f"{len(self.arrivals)} requests, {len(self.answers)} successes, {len(self._taken)} events"

    def check_order(self) -> None:
        """No event of a key came before all earlier ones of its key were taken, save behind them in one request."""
        first: dict[Place, Arrival] = {}
        within: dict[tuple[int, Place], int] = {}
        for arrival in list(self.arrivals):
            first.setdefault(arrival.place, arrival)
            within[arrival.request, arrival.place] = arrival.moment
        lanes: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
        for arrival in first.values():
            lanes[arrival.key, arrival.place[0]].append(arrival)
        taken = self.taken()
        for lane in lanes.values():
            for before, arrival in pairwise(sorted(lane, key=lambda arrival: arrival.place)):
                never = arrival.moment
                earlier = min(taken.get(before.place, never), within.get((arrival.request, before.place), never))
                assert earlier < arrival.moment, (before, arrival)

    def check_messages(self, *, single: bool = True) -> None:
        """A ``webhook-id`` always stands for the same events.

        Args:
            single: whether each event has a request, and so an id, of its own.
        """
        requests: dict[int, list[Arrival]] = defaultdict(list)
        for arrival in list(self.arrivals):
            requests[arrival.request].append(arrival)
        contents: dict[str, list[Place]] = {}
        for arrivals in requests.values():
            places = [arrival.place for arrival in arrivals]
            assert contents.setdefault(arrivals[0].message, places) == places, arrivals
        if single:
            assert len(contents) == len({arrival.place for arrival in self.arrivals}), "ids do not change"

    # What the receiver notes.

    def came(self, headers: Mapping[str, str], body: bytes) -> tuple[list[Arrival], Reply]:
        """Note a request, and find its answer."""
        signed_by = frozenset(
            name for name, each in self.secrets.items() if each.verify(headers, body) is Verdict.VALID
        )
        number, at = self._next_moment(), time.monotonic()
        arrivals = []
        for event in _events(headers, body):
            name, place = event.get("id", ""), (int(event.get("partition", -1)), int(event.get("offset", -1)))
            arrival = Arrival(
                self._next_moment(),
                number,
                at,
                name,
                headers["webhook-id"],
                event.get("partitionkey", ""),
                place,
                self._came[name],
                signed_by,
                headers,
            )
            self._came[name] += 1
            self.under_way[arrival.moment] = arrival
            arrivals.append(arrival)
        self.arrivals += arrivals
        return arrivals, self.manner(arrivals[0])

    def answering(self, arrivals: Sequence[Arrival], reply: Reply) -> None:
        """Note what is about to be answered: before anybody can know it."""
        self.gone(arrivals)
        for arrival in arrivals if reply.is_success else ():
            self._taken.setdefault(arrival.place, self._next_moment())
            self.answers.append((time.monotonic(), arrival))

    def gone(self, arrivals: Sequence[Arrival]) -> None:
        """Note that nobody waits for an answer any more."""
        for arrival in arrivals:
            self.under_way.pop(arrival.moment, None)


def _events(headers: Mapping[str, str], body: bytes) -> list[Mapping[str, Any]]:
    """The attributes of the events in a request (CloudEvents 1.0.2 over HTTP)."""
    media = headers.get("content-type", "")
    if media == "application/cloudevents-batch+json":
        return list(json.loads(body))
    if media == "application/cloudevents+json":
        return [json.loads(body)]
    return [{name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}]


class Receiver:
    """A server with any number of hooks, in a thread and on an event loop of its own, until the end of the block."""

    def __init__(self) -> None:
        self.port = 0
        self.hooks: dict[str, Hook] = {}
        self.talks: set[_Talk] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)
        self._server: asyncio.Server | None = None
        self._moment = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def hook(self, manner: Manner | None = None) -> Hook:
        """A new URL; all that comes there is taken, when it is not said how."""
        path = f"/{len(self.hooks)}"
        one = self.hooks[path] = Hook(f"http://{HOST}:{self.port}{path}", self._next)
        one.manner = manner or one.manner
        return one

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._up())

    def down(self) -> None:
        """Listen no more, and reset all connections."""
        self._run(self._down())

    async def _up(self) -> None:
        self._server = await self._loop.create_server(lambda: _Talk(self), HOST, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _down(self) -> None:
        assert self._server is not None
        self._server.close()
        for talk in list(self.talks):
            talk.reset()
        # Lets the transports see their end.
        while self.talks:
            await pause()

    def _run(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            await work

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(PATIENCE)

    def _next(self) -> int:
        self._moment += 1
        return self._moment


class _Talk(asyncio.Protocol):
    """One connection; its client sends a request only when it has the answer to the one before."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: tuple[Hook, list[Arrival]] | None = None
        self._left = memoryview(b"")
        self._may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._receiver.talks.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.talks.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting is not None:
            hook, arrivals = self._waiting
            hook.gone(arrivals)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def reset(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    # What the parser finds.

    def on_url(self, url: bytes) -> None:
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        headers, body, self._headers, self._body = self._headers, self._body, {}, b""
        hook = self._receiver.hooks[self._path]
        arrivals, reply = hook.came(headers, body)
        self._waiting = hook, arrivals
        if reply.end == "never":
            return
        if reply.after:
            self._timer = self._loop.call_later(reply.after, self._answer, hook, arrivals, reply)
        else:
            self._answer(hook, arrivals, reply)

    def _answer(self, hook: Hook, arrivals: Sequence[Arrival], reply: Reply) -> None:
        self._timer = self._waiting = None
        if self._transport.is_closing():
            return
        hook.answering(arrivals, reply)
        if reply.end == "reset":
            self.reset()
            return
        headers = {"content-length": str(len(reply.body)), **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} Said", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        head = "\r\n".join(lines).encode()
        if reply.end == "truncated":
            self._transport.write(head)
            self._transport.close()
            return
        self._transport.write(head + reply.body[:_PIECE])
        self._left = memoryview(reply.body)[_PIECE:]
        self._go_on()

    def _go_on(self) -> None:
        """Write as much of an answer as its reader takes."""
        while self._left and self._may_write and not self._transport.is_closing():
            self._transport.write(self._left[:_PIECE])
            self._left = self._left[_PIECE:]
