"""A reader's walk through a topic, from one batch of events to the next."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.drain import Drain
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.reading import Ask, Edge, EventReader, Lost, Page
from eventbus_gateway.subscriptions.forms import SchemaNeeded
from eventbus_gateway.subscriptions.outgoing import Event, Opened, Outgoing
from eventbus_gateway.subscriptions.patterns import Pattern
from eventbus_gateway.subscriptions.turns import Turn

_MAX_PAGE = 1_000


class Ending:
    """Whether there is still somebody to read for: the caller is there, and the process goes on.

    Args:
        drain: the end of the process.
        gone: completes when the caller has gone away.
    """

    def __init__(self, drain: Drain, gone: Callable[[], Awaitable[None]]) -> None:
        self._drain = drain
        self._gone = gone
        self._tasks: list[asyncio.Future[None]] = []

    @property
    def reached(self) -> bool:
        """Whether nobody is there any more."""
        return self._drain.begun or any(task.done() for task in self._tasks)

    async def pause(self, seconds: float) -> None:
        """Do nothing for a while, at the longest until the end."""
        self._watch()
        await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _watch(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._drain.wait()), asyncio.ensure_future(self._gone())]

    async def or_result(self, reading: Coroutine[None, None, Page]) -> Page | None:
        """What a read gives; None where the end comes first, and then the read is cancelled."""
        self._watch()
        work = asyncio.create_task(reading)
        either: list[asyncio.Future[Any]] = [work, *self._tasks]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                work.cancel()
        return work.result() if work.done() and not work.cancelled() else None

    def close(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()


class Batch(NamedTuple):
    """What one step of a walk gives.

    Args:
        events: events as JSON text.
        places: for each event, its partition and the offset behind it.
        start: where the records of the events begin, for every partition.
        lost: positions that were not there any more.
    """

    events: list[bytes]
    places: list[tuple[int, int]]
    start: Mapping[int, int]
    lost: list[Lost]


class Following:
    """One reader's walk through one topic.

    Args:
        reader: reads the topic.
        outgoing: makes events of its records.
        partitions: how many the topic is known to have.
        pattern: which events are wanted, None for all.
        max_scanned: records that one step passes over for the pattern.
        ending: until when.
        count: told how many events were found.
    """

    def __init__(
        self,
        reader: EventReader,
        outgoing: Outgoing,
        partitions: Callable[[], int],
        pattern: Pattern | None,
        max_scanned: int,
        ending: Ending,
        count: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._outgoing = outgoing
        self._partitions = partitions
        self._pattern = pattern
        self._max_scanned = max_scanned
        self._ending = ending
        self._count = count
        self.topic = outgoing.form.topic
        self.at: Mapping[int, int] | Edge = Edge.EARLIEST
        """Where it stands: the next offset of every partition, once a step has found them."""

    async def next(self, limit: int, wait: float, max_bytes: int) -> Batch:
        """The next events, at least one where there is one within the wait; none where the end comes first.

        Args:
            limit: events at the most.
            wait: seconds to wait for the first one.
            max_bytes: bytes of events at the most; a single larger one is given all the same.

        Raises:
            Overloaded, UnknownTopic, TopicUnreadable, KafkaUnavailable: it cannot be read.
            RegistryUnavailable, ShuttingDown: the first event cannot be decoded now.
        """
        deadline = time.monotonic() + wait
        lost: list[Lost] = []
        size, scanned = limit, 0
        while True:
            # An edge is turned into positions first, so that whoever ends the wait knows where to go on.
            seconds = max(0.0, deadline - time.monotonic()) if not isinstance(self.at, Edge) else 0.0
            ask = Ask(self.topic, self.at, self._partitions(), size, max_bytes, seconds)
            reading = self._reader.read(ask)
            page = await (self._ending.or_result(reading) if seconds else reading)
            if page is None:
                return Batch([], [], {}, lost)
            lost += page.lost
            batch = Batch([], [], page.start, lost)
            await self._take(page, batch, limit, max_bytes)
            scanned += len(page.records)
            self._count(len(batch.events))
            if batch.events or scanned >= self._max_scanned or (not page.records and time.monotonic() >= deadline):
                return batch
            if page.records:
                size = min(2 * size, _MAX_PAGE)

    async def _take(self, page: Page, batch: Batch, limit: int, max_bytes: int) -> None:
        held, turn = 0, Turn()
        for index, record in enumerate(page.records):
            try:
                event = self._event(record)
            except SchemaNeeded:
                event = await self._fetched(record, batch)
                if event is _LATER:
                    return self._stop_before(page, index)
            if event is not None:
                text = orjson.dumps(event)
                held += len(text)
                if batch.events and (held > max_bytes or len(batch.events) >= limit):
                    return self._stop_before(page, index)
                batch.events.append(text)
                batch.places.append((record.partition, record.offset + 1))
            if turn.is_over_after(len(record.value or b"")):
                await asyncio.sleep(0)
        self.at = page.positions
        return None

    def _stop_before(self, page: Page, index: int) -> None:
        at = dict(page.start)
        for record in page.records[:index]:
            at[record.partition] = record.offset + 1
        self.at = at

    def _event(self, record: Consumed) -> Event | None:
        """The event, None where it is not wanted.

        Raises:
            SchemaNeeded: a schema has to be fetched first.
        """
        if self._pattern is not None:
            return self._wanted(self._outgoing.open(record), self._pattern)
        event = self._outgoing.event(record)
        return event if event is not None else self._outgoing.open(record).event()

    def _wanted(self, opened: Opened, pattern: Pattern) -> Event | None:
        return opened.event() if opened.matches(pattern) else None

    async def _fetched(self, record: Consumed, batch: Batch) -> Event | None:
        """The same, once its schemas are fetched; ``_LATER`` where that fails and there are events before it."""
        opened = self._outgoing.open(record)
        while True:
            try:
                return opened.event() if self._pattern is None else self._wanted(opened, self._pattern)
            except SchemaNeeded as needed:
                try:
                    await opened.prepare(needed)
                except GatewayError:
                    if not batch.events:
                        raise
                    return _LATER


_LATER: Event = {}
"""Stands for an event that cannot be decoded now."""
