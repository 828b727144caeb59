"""Consumers behind a load balancer, and the books of what they were handed."""

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.wire import Answer, Unanswered, Wire
from tests.leaks import heard

Document = dict[str, Any]

_PAUSE = 0.05
_AVOIDED = 2.0


class Caller:
    """Calls the API as one client: one request at a time, over connections that stay open.

    Args:
        members: the processes; each request goes to another one than the last, in turn. As a load balancer does it,
            those that take no connection are passed over, and for a while those that let a request go unanswered.
        key: API key, None for none.
        patience: seconds after which a request is given up and its connection closed.
    """

    def __init__(self, members: Sequence[GatewayProcess], key: str | None = None, patience: float = PATIENCE) -> None:
        self.statuses: list[int] = []
        """Of all answers in their order; 0 for a request that was not answered."""
        self.asked: list[int] = []
        """The port that each request went to."""
        self._members = members
        self._key = key
        self._patience = patience
        self._turn = 0
        self._wires: dict[int, Wire] = {}
        self._silent: dict[int, float] = {}

    async def call(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        """Send one request to the next process.

        Args:
            method: the method.
            path: path below ``/v1``.
            document: body as JSON value, none when left out.
            headers: further ones; names have ``_`` for ``-``.

        Raises:
            Unanswered: the connection ended, or the patience, without an answer.
        """
        wire = await self._next()
        body = b"" if document is None else json.dumps(document).encode()
        media = {} if document is None else {"content-type": "application/json"}
        key = {} if self._key is None else {"authorization": f"Bearer {self._key}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {"host": "gateway", "content-length": str(len(body)), **media, **key, **given}
        head = [f"{method} /v1{path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
        try:
            async with asyncio.timeout(self._patience):
                answer = await wire.exchange("\r\n".join(head).encode() + body)
        except (TimeoutError, Unanswered) as error:
            wire.close()
            self.statuses.append(0)
            if isinstance(error, TimeoutError):
                self._silent[self.asked[-1]] = time.monotonic() + _AVOIDED
            raise Unanswered from error
        self.statuses.append(answer.status)
        if answer.status >= 400:
            heard(f"the answer {answer.status}", answer.body)
        return answer

    async def ok(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """Send one request and get the document of its answer, which must be a success."""
        answer = await self.call(method, path, document, **headers)
        assert answer.status in {200, 201, 204}, (method, path, answer.status, answer.body[:500])
        return answer.json() if answer.body else None

    async def refused(self, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, str]:
        """Send one request and get status and code of the problem that it is answered with."""
        answer = await self.call(method, path, document, **headers)
        assert answer.headers.get("content-type", "").startswith("application/problem+json"), answer.body[:500]
        return answer.status, answer.json()["code"]

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()

    async def _next(self) -> Wire:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for _ in range(len(self._members)):
                member = self._members[self._turn % len(self._members)]
                self._turn += 1
                if time.monotonic() >= self._silent.get(member.port, 0.0):
                    with contextlib.suppress(OSError):
                        return await self._wire(member)
            await pause()
        raise AssertionError("no process takes connections")

    async def _wire(self, member: GatewayProcess) -> Wire:
        wire = self._wires.get(member.port)
        if wire is None or not wire.open or wire.is_over():
            if wire is not None:
                wire.close()
            wire = Wire(*await asyncio.open_connection("127.0.0.1", member.port))
            self._wires[member.port] = wire
        self.asked.append(member.port)
        return wire


class Delivery(NamedTuple):
    """One event as it was handed out.

    Args:
        id: of the event.
        key: of the event.
        partition: where it is.
        offset: where it is there.
        deliveries: how often it was handed out, as the gateway says.
        token: stands for this hand-out.
        asked: when the receive was sent.
        got: when it was answered.
        moment: place in the order of everything that the books note.
    """

    id: str
    key: str | None
    partition: int
    offset: int
    deliveries: int
    token: str
    asked: float
    got: float
    moment: int


class Books:
    """Who was handed what, and what was acked."""

    def __init__(self) -> None:
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.acks_sent: dict[str, int] = {}
        """When the first ack of each hand-out was sent, by token."""
        self.acked: dict[str, int] = {}
        """Hand-outs whose ack succeeded, and when that was known, by token."""
        self.refusals: dict[str, str] = {}
        """Codes of acks that did not, by token."""
        self._moment = 0
        self._changed = asyncio.Event()

    def received(self, events: Iterable[Mapping[str, Any]], asked: float) -> list[str]:
        """Note what a receive has brought; its tokens."""
        tokens = []
        for event in events:
            place = event["partition"], event["offset"], event["deliveryCount"], event["ackToken"]
            delivery = Delivery(event["id"], event.get("partitionkey"), *place, asked, time.monotonic(), self._next())
            self.deliveries[delivery.id].append(delivery)
            tokens.append(delivery.token)
        self._tell()
        return tokens

    def acking(self, tokens: Iterable[str]) -> None:
        """Note that an ack is about to be sent."""
        for token in tokens:
            self.acks_sent.setdefault(token, self._next())

    def acknowledged(self, tokens: Sequence[str], failed: Mapping[int, str]) -> None:
        """Note what became of an ack: codes of those that failed, by their index."""
        for index, token in enumerate(tokens):
            if index in failed:
                self.refusals[token] = failed[index]
            else:
                self.acked[token] = self._next()
        self._tell()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the books say so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(0.0, deadline - time.monotonic()))
            assert time.monotonic() < deadline, f"waited in vain: {what}; {len(self.deliveries)} events were seen"

    def repeated(self) -> dict[str, list[Delivery]]:
        """Events that were handed out more than once."""
        return {name: deliveries for name, deliveries in self.deliveries.items() if len(deliveries) > 1}

    def check_order(self) -> None:
        """No event of a key was handed out for the first time before, or while, an earlier one was unacked."""
        keys: dict[str | None, list[list[Delivery]]] = defaultdict(list)
        for deliveries in self.deliveries.values():
            keys[deliveries[0].key].append(deliveries)
        for events in keys.values():
            events.sort(key=lambda deliveries: deliveries[0].offset)
            for earlier, later in pairwise(events):
                sent = min(self.acks_sent.get(delivery.token, self._moment) for delivery in earlier)
                assert sent < min(delivery.moment for delivery in later), (earlier, later)

    def check_acked_stay_away(self) -> None:
        """No event came again in an answer to what was asked after its ack had succeeded."""
        for deliveries in self.repeated().values():
            for earlier in deliveries:
                known = self.acked.get(earlier.token)
                assert known is None or all(later.moment < known for later in deliveries), deliveries

    def _next(self) -> int:
        self._moment += 1
        return self._moment

    def _tell(self) -> None:
        self._changed.set()


class Consumer:
    """A client that receives, and acks what it was handed, until it is told to stop.

    Args:
        caller: its way to the gateway.
        name: name of the subscription.
        books: where it notes what happens.
        patience: seconds for which it repeats an ack that may be tried again.
        body: of its receives.
    """

    def __init__(self, caller: Caller, name: str, books: Books, *, patience: float = PATIENCE, **body: Any) -> None:
        self._patience = patience
        self._caller = caller
        self._path = f"/subscriptions/{name}"
        self._books = books
        self._body = {"maxEvents": 20, "waitSeconds": 1, "leaseSeconds": 30, **body}
        self._over = self._together = False

    def stop(self) -> None:
        self._over = True

    async def run(self) -> None:
        while not self._over:
            asked = time.monotonic()
            try:
                answer = await self._caller.call("POST", f"{self._path}/receive", self._body)
            except Unanswered:
                continue
            if answer.status == 503:
                await pause()
                continue
            assert answer.status == 200, (answer.status, answer.body[:500])
            document = answer.json()
            tokens = self._books.received(document["events"], asked)
            if tokens:
                # In turns each event by its own token, and all of them together.
                self._together = not self._together
                await self._ack(tokens, document["ackTokens"] if self._together else tokens)

    async def _ack(self, tokens: list[str], said: list[str]) -> None:
        self._books.acking(tokens)
        deadline = time.monotonic() + self._patience
        while tokens and time.monotonic() < deadline:
            try:
                answer = await self._caller.call("POST", f"{self._path}/ack", {"ackTokens": said})
            except Unanswered:
                continue
            failed = _failures(answer, tokens, said)
            again = {index for index, (_, retryable) in failed.items() if retryable}
            told = [token for index, token in enumerate(tokens) if index not in again]
            codes = {told.index(tokens[index]): code for index, (code, _) in failed.items() if index not in again}
            self._books.acknowledged(told, codes)
            tokens = said = [tokens[index] for index in sorted(again)]
            if tokens:
                await pause()
        assert not tokens, "an ack was never answered"


async def pause() -> None:
    """Let others work before something is asked again."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), _PAUSE)


def _failures(answer: Answer, tokens: Sequence[str], said: Sequence[str]) -> dict[int, tuple[str, bool]]:
    """Code and whether it may be tried again, for the place of each event's token that failed.

    Args:
        answer: what the gateway says.
        tokens: those of the events.
        said: what was sent for them.
    """
    document = answer.json()
    if answer.status == 200:
        failed = document["failed"]
        assert document["succeeded"] == len(tokens) - len(failed)
        places = [tokens.index(each.get("ackToken", said[each["index"]])) for each in failed]
        assert len(set(places)) == len(failed)
        return {place: (each["code"], each["retryable"]) for place, each in zip(places, failed, strict=True)}
    code = document["code"]
    assert code in {"lease_lost", "owner_unavailable", "kafka_unavailable"}, document
    return dict.fromkeys(range(len(tokens)), (code, answer.status == 503))
