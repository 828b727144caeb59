"""A subscription that is read by several consumers at the same time, while anything may happen to the processes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.subscriptions.consuming import Books, Caller, Consumer, pause
from tests.end_to_end.subscriptions.replicas import KEYS, Replicas
from tests.leaks import marked

from eventbus_gateway.subscriptions.names import shard_of

_BATCH = 500
_FEW = 50
_AHEAD = 600
_KEYS = 300
_numbers = count()

DATA = marked("what the event is about", "the data of a published event")


class Subscribed:
    """A topic of its own with a subscription to it.

    Args:
        replicas: who serves it.
        caller: the one who has subscribed.
        topic: name of the topic.
        about: what the gateway says about the subscription.
    """

    def __init__(self, replicas: Replicas, caller: Caller, topic: str, about: dict[str, Any]) -> None:
        self.replicas = replicas
        self.caller = caller
        self.topic = topic
        self.about = about
        self.name: str = about["name"]
        self.id: str = about["id"]
        self.group: str = about["consumerGroup"]
        self.parallelism: int = about["parallelism"]
        self.path = f"/subscriptions/{self.name}"
        self.published: list[str] = []
        self._callers = [caller]

    async def publish(self, number: int, caller: Caller | None = None, *, keys: int = _KEYS) -> list[str]:
        """Store so many events, as many keys in turn; their ids."""
        first = len(self.published)
        ids = [f"{self.name}#{index}" for index in range(first, first + number)]
        for start in range(0, number, _BATCH):
            batch = [_event(each, first + start + at, keys) for at, each in enumerate(ids[start : start + _BATCH])]
            await self._publish(batch, caller or self.caller)
        self.published += ids
        return ids

    async def _publish(self, batch: list[dict[str, Any]], caller: Caller) -> None:
        path, media = f"/topics/{self.topic}/events", "application/cloudevents-batch+json"
        # 404 for a topic so new that the process does not know it yet.
        while (answer := await caller.call("POST", path, batch, content_type=media)).status == 404:
            await pause()
        assert answer.status == 200, answer.body[:500]

    async def status(self) -> Any:
        """How far it is."""
        return await self.caller.ok("GET", f"{self.path}/status")

    def caller_of(self, *members: GatewayProcess, key: str = KEYS["care"], patience: float = PATIENCE) -> Caller:
        """Another caller, of these processes only."""
        caller = Caller(members or self.replicas.members, key, patience)
        self._callers.append(caller)
        return caller

    def close(self) -> None:
        for caller in self._callers:
            caller.close()

    async def receive(self, caller: Caller | None = None, **body: Any) -> list[dict[str, Any]]:
        """Ask once for events."""
        asked = {"maxEvents": 100, "waitSeconds": 10, **body}
        events: list[dict[str, Any]] = (await (caller or self.caller).ok("POST", f"{self.path}/receive", asked))[
            "events"
        ]
        return events

    async def receive_all(self, number: int, **body: Any) -> list[dict[str, Any]]:
        """Ask for events until there were so many."""
        events: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE
        while len(events) < number:
            assert time.monotonic() < deadline, f"{len(events)} of {number} events came"
            events += await self.receive(maxEvents=number - len(events), **body)
        return events

    async def ack(self, events: Sequence[dict[str, Any]], caller: Caller | None = None) -> None:
        """Be done with events, each of which must be ours."""
        tokens = [event["ackToken"] for event in events]
        answer = await (caller or self.caller).ok("POST", f"{self.path}/ack", {"ackTokens": tokens})
        assert answer == {"succeeded": len(events), "failed": []}

    def shard(self, partition: int) -> int:
        return shard_of(partition, self.parallelism)


class Reading:
    """Consumers at work.

    Args:
        subscribed: what they read.
        callers: one for each of them.
        body: of their receives.
    """

    def __init__(self, subscribed: Subscribed, callers: Sequence[Caller], body: dict[str, Any]) -> None:
        self.books = Books()
        self.callers = callers
        self._subscribed = subscribed
        self._consumers = [Consumer(caller, subscribed.name, self.books, **body) for caller in callers]

    async def run(self) -> None:
        await asyncio.gather(*(consumer.run() for consumer in self._consumers))

    def stop(self) -> None:
        for consumer in self._consumers:
            consumer.stop()

    async def more_acked(self, number: int) -> None:
        """Wait until so many further events were acked."""
        enough = len(self.books.acked) + number
        await self.books.until(lambda: len(self.books.acked) >= enough, f"{enough} acks")

    async def finish(self) -> None:
        """Wait until everything was handed out and nothing is left."""
        wanted, seen = set(self._subscribed.published), self.books.deliveries
        try:
            await self.books.until(lambda: wanted <= seen.keys(), f"all {len(wanted)} events")
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self._subscribed.status()}") from None
        deadline = time.monotonic() + PATIENCE
        while (status := await self._subscribed.status())["lag"] != 0:
            assert time.monotonic() < deadline, status
            await pause()
        assert seen.keys() == wanted, "nothing else was handed out"


@contextlib.asynccontextmanager
async def subscribed(
    replicas: Replicas, *, partitions: int = 6, parallelism: int = 3, owner: str = "care", **fields: Any
) -> AsyncIterator[Subscribed]:
    """A new topic and a subscription from its beginning on."""
    name = f"{owner}-{next(_numbers)}-{replicas.prefix.removeprefix('_')}"
    replicas.broker.create_topic(name, partitions)
    caller = Caller(replicas.members, KEYS[owner])
    spec = {"topics": [name], "start": "earliest", "parallelism": parallelism, **fields}
    one = Subscribed(replicas, caller, name, await caller.ok("PUT", f"/subscriptions/{name}", spec))
    try:
        yield one
    finally:
        one.close()


@contextlib.asynccontextmanager
async def reading(
    one: Subscribed, *, consumers: int = 3, patience: float = PATIENCE, **body: Any
) -> AsyncIterator[Reading]:
    """Consumers that read until the end of the block; a failure of one of them is raised there."""
    work = Reading(one, [one.caller_of(patience=patience) for _ in range(consumers)], body)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work.run())
        yield work
        work.stop()


@contextlib.asynccontextmanager
async def publishing(one: Subscribed, work: Reading, *members: GatewayProcess) -> AsyncIterator[None]:
    """Events are published by way of these processes until the end of the block, not far ahead of the consumers."""
    over = asyncio.Event()
    caller = one.caller_of(*members)

    async def publish() -> None:
        while not over.is_set():
            if len(one.published) - len(work.books.deliveries) < _AHEAD:
                await one.publish(_FEW, caller)
            await pause()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        yield
        over.set()


def _event(name: str, number: int, keys: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "partitionkey": f"k{number % keys}",
        "data": {"n": number, "note": DATA},
    }
