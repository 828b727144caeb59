"""A compacted topic as a map that all replicas share.

Each replica reads the topic to its end at start and follows it from then on. A write is a record on top of what the
writer's view shows; the log decides which of several writes counts, by the rule in ``entries``, and the writer learns
from its own view whether it was its own. So a conditional write needs no lock, and whoever has written reads it back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from eventbus_gateway.errors import (
    GatewayError,
    KafkaUnavailable,
    OutcomeUnknown,
    Overloaded,
    PreconditionFailed,
    ShuttingDown,
    TopicUnavailable,
    UnknownTopic,
)
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.entries import Written, decode, encode, successor
from eventbus_gateway.kafka.follower import Follower, Pace
from eventbus_gateway.kafka.records import NotStored, RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.sweeper import Sweeper
from eventbus_gateway.kafka.table_limits import TableLimits
from eventbus_gateway.kafka.view import Change, Entry, View

logger = logging.getLogger("eventbus_gateway.kafka.table")

ANY = -1
"""As ``if_version``: whatever is there is replaced."""
ABSENT = 0
"""As ``if_version``: only where there is nothing."""

_ATTEMPTS = 20
_CLOSE_SECONDS = 2.0


class Table:
    """A replica's view of the table and its way to write.

    All methods belong to the event loop that called ``start()``.

    Args:
        settings: how to reach Kafka.
        topic: name of the topic; it has one partition and is compacted.
        sink: where writes go; must never store a record twice.
        limits: bounds.
        pace: how often the topic is looked at.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        sink: RecordSink,
        limits: TableLimits,
        *,
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._sink = sink
        self._limits = limits
        self._pace = pace
        self._now = now
        self._view = View()
        # The view of a reading that is not at its end yet; what is served meanwhile is the former one.
        self._next: View | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._waiting: dict[str, asyncio.Future[bool | None]] = {}
        # What such a reading has decided about writes that somebody waits for.
        self._decided: dict[str, bool] = {}
        self._ready = asyncio.Event()
        self._follower: Follower | None = None
        self._sweeper = Sweeper(topic, sink, now)
        self._closed = False
        self.trouble: str | None = None
        """Why the topic cannot be read now, None while it can."""

    async def start(self, seconds: float) -> bool:
        """Begin to read, and wait so long for the end; Kafka need not be reachable.

        Returns:
            Whether the view is complete; where not, it becomes so by itself.
        """
        self._follower = Follower(self._settings, self._topic, self, pace=self._pace)
        self._follower.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self.is_ready

    async def close(self) -> None:
        """Follow no more; writes that are under way end as unknown."""
        self._closed = True
        self._sweeper.close()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(None)
        if self._follower is not None:
            await self._follower.close(_CLOSE_SECONDS)

    @property
    def is_ready(self) -> bool:
        """Whether everything that was written before the start is in the view."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until the view is complete."""
        await self._ready.wait()

    def __len__(self) -> int:
        return len(self._view)

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return self._view.get(key)

    def items(self) -> Iterator[Entry]:
        """All entries; not to be kept over an ``await``."""
        return self._view.entries()

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Tell somebody about every change from now on, in the order of the log; the first reading counts as one.

        Args:
            listener: called on the loop, when the view shows the change already; must not block.
        """
        self._listeners.append(listener)

    async def put(self, key: str, value: bytes, *, if_version: int = ANY) -> Entry:
        """Write an entry and wait until this replica's view shows it.

        Args:
            key: not empty, at most 1,024 bytes.
            value: content.
            if_version: version of the entry that is replaced, ``ABSENT`` or ``ANY``.

        Raises:
            PreconditionFailed: the key has another version, or somebody else was faster.
            Overloaded: the table is full, or too many write the same key.
            EventTooLarge: the value is larger than the table takes.
            Unavailable: nothing was written.
            OutcomeUnknown: it may be, or become, part of the table.
        """
        return _shown(await self._replace(key, value, if_version))

    async def delete(self, key: str, *, if_version: int = ANY) -> bool:
        """Delete an entry and wait until this replica's view shows it.

        Returns:
            Whether there was one; raises as ``put`` does.
        """
        if self.get(key) is None and if_version in {ANY, ABSENT}:
            self._require_ready()
            return False
        await self._replace(key, None, if_version)
        return True

    # What the follower tells.

    def begin(self) -> None:
        """A reading starts at the beginning of the topic."""
        self.trouble = None
        self._next = View()
        self._decided.clear()

    def take(self, records: list[Consumed]) -> None:
        """The next records."""
        view = self._view if self._next is None else self._next
        for record in records:
            written = decode(record)
            if written is None:
                continue
            applied = view.apply(written)
            if self._next is None and applied.change is not None:
                self._tell(applied.change)
            if type(written) is Written and written.mark in self._waiting:
                self._decided[written.mark] = applied.counts
        if self._next is None:
            self._answer()

    def complete(self) -> None:
        """The view has everything that was there when the reading began."""
        if self._next is None:
            return
        former, self._view, self._next = self._view, self._next, None
        self._ready.set()
        for change in self._view.changes_since(former):
            self._tell(change)
        self._answer()
        self._sweeper.watch(self._view)

    def interrupted(self, reason: str) -> None:
        """The topic cannot be read now."""
        if self.trouble is None:
            logger.warning("%s", reason)
        self.trouble = reason

    # Inside.

    async def _replace(self, key: str, value: bytes | None, if_version: int) -> Written:
        for _ in range(_ATTEMPTS):
            self._require_ready()
            current = self._view.current(key)
            self._require_version(current, if_version)
            refusal = None if value is None else self._limits.refusal(self._view, key, value)
            if refusal is not None:
                raise refusal
            written = successor(key, value, current, self._now())
            counts = await self._write(written)
            self._sweeper.remove(self._view.leftovers(key))
            if counts:
                return written
            if if_version != ANY:
                raise PreconditionFailed("Somebody else has changed it at the same time.")
        raise Overloaded("Too many write the same entry", retry_after=1.0)

    async def _write(self, written: Written) -> bool:
        """Store a write and wait until the own view has decided about it; says whether it counts."""
        waiter: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._waiting[written.mark] = waiter
        try:
            (outcome,) = await self._sink.send(self._topic, [encode(written)])
            if isinstance(outcome, NotStored):
                raise self._translated(outcome.error)
            # Also where the outcome is unknown: the view knows better.
            async with asyncio.timeout(self._limits.visible_seconds):
                counts = await waiter
        except TimeoutError:
            counts = None
        finally:
            del self._waiting[written.mark]
        if counts is None:
            raise OutcomeUnknown("The change may or may not have been stored")
        return counts

    def _answer(self) -> None:
        """Tell whoever waits; what they wrote is in the view by now."""
        decided, self._decided = self._decided, {}
        for mark, counts in decided.items():
            waiter = self._waiting.get(mark)
            if waiter is not None and not waiter.done():
                waiter.set_result(counts)

    def _require_ready(self) -> None:
        if self._closed:
            raise ShuttingDown
        if not self.is_ready:
            # What is not known cannot be replaced: the log would take it for a write that lost its race.
            raise KafkaUnavailable(self.trouble or f"The topic {self._topic} has not been read yet", retry_after=1.0)

    @staticmethod
    def _require_version(current: Written | None, expected: int) -> None:
        found = ABSENT if current is None or current.grave else current.version
        if expected not in {ANY, found}:
            raise PreconditionFailed("It has another version by now.")

    def _translated(self, error: GatewayError) -> GatewayError:
        if isinstance(error, UnknownTopic):
            return TopicUnavailable(f"The topic {self._topic} does not exist: create it with eventbus init")
        return error

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            # One listener's mistake must keep neither the others nor the view from going on.
            except Exception:
                logger.exception("a listener of %s failed", self._topic)


def _shown(written: Written) -> Entry:
    return Entry(written.key, written.value, written.version)
