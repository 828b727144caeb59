"""Reads topics without a group, with a bounded number of consumers, each on a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, Overloaded
from eventbus_gateway.kafka.client import logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.lane import Lane
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.reading import Ask, Page
from eventbus_gateway.kafka.reading_errors import meaning_of
from eventbus_gateway.kafka.session import Session
from eventbus_gateway.kafka.settings import KafkaSettings

_REST_SECONDS = 1.0
"""A consumer that nobody goes on with reads ahead for so long."""
_SWEEP_SECONDS = 0.5
_CLOSE_SECONDS = 2.0

Stands = tuple[str, Mapping[int, int]] | None


class Times(Protocol):
    """Finds records by their time; ``Positions`` is one."""

    async def at_time(self, partitions: list[Partition], timestamp: int) -> Mapping[Partition, int | GatewayError]:
        """The first offset per partition whose record is not older than a time; the end where there is none."""
        ...


class _Reader:
    """A consumer as the event loop sees it."""

    __slots__ = ("free_since", "is_resting", "lane", "stands")

    def __init__(self, lane: Lane[Session]) -> None:
        self.lane = lane
        self.stands: Stands = None
        self.free_since = 0.0
        self.is_resting = False


class KafkaReader:
    """The consumers of one process that read without a group; see ``EventReader``.

    A read that goes on where another one ended gets its consumer, which has read ahead. Others get one that rests, or
    a new one; a consumer that reads ahead answers anything else only after its last request.

    Args:
        settings: how to reach Kafka.
        times: finds records by their time.
        is_up: whether Kafka can be reached, as far as that is known.
        max_readers: consumers at the most.
        idle_seconds: a consumer that was free for so long is closed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        times: Times,
        is_up: Callable[[], bool],
        *,
        max_readers: int,
        idle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._times = times
        self._is_up = is_up
        self._max_readers = max_readers
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._free: list[_Reader] = []  # the one that has been free for longest first
        self._closing: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.readers = 0
        """Consumers there are."""

    async def read(self, ask: Ask) -> Page:
        """See ``EventReader.read``."""
        self._require_kafka()
        reader = self._taken(ask)
        given_up = threading.Event()

        def work(session: Session) -> tuple[Page, Stands]:
            return session.read(ask, given_up.is_set), session.stands()

        future = reader.lane.submit(work)
        future.add_done_callback(partial(self._freed, reader))
        try:
            # Shielded: the thread goes on for a moment where the caller does not.
            page, _ = await asyncio.shield(future)
        except KafkaException as error:
            raise meaning_of(error) from None
        finally:
            given_up.set()
        return page

    async def at_time(self, topic: str, partitions: int, timestamp: int) -> Mapping[int, int]:
        """See ``EventReader.at_time``."""
        self._require_kafka()
        places = [(topic, partition) for partition in range(partitions)]
        positions: dict[int, int] = {}
        for (_, partition), found in (await self._times.at_time(places, timestamp)).items():
            if isinstance(found, GatewayError):
                raise found
            positions[partition] = found
        return positions

    async def close(self) -> None:
        """Close all consumers; waits two seconds for those that Kafka holds up."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for reader in self._free:
            self._dismiss(reader)
        self._free.clear()
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    def _require_kafka(self) -> None:
        if not self._is_up():
            raise KafkaUnavailable("Kafka cannot be reached", retry_after=self._settings.probe_seconds)

    def _taken(self, ask: Ask) -> _Reader:
        reader = next((free for free in self._free if free.stands == (ask.topic, ask.start)), None)
        reader = reader or next((free for free in self._free if free.is_resting), None)
        if reader is None and self._free and self.readers >= self._max_readers:
            reader = self._free[0]
        if reader is not None:
            self._free.remove(reader)
            return reader
        if self.readers >= self._max_readers:
            raise Overloaded("Too many reads are under way.", retry_after=1.0)
        self.readers += 1
        return _Reader(Lane("reader", self._open))

    def _freed(self, reader: _Reader, future: "asyncio.Future[tuple[Page, Stands]]") -> None:
        error = future.exception()
        reader.stands = future.result()[1] if error is None else None
        reader.is_resting = reader.stands is None
        reader.free_since = self._clock()
        if self._closed or (error is not None and not _is_passing(error)):
            self._dismiss(reader)
            return
        self._free.append(reader)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = self._clock()
        for reader in list(self._free):
            free_for = now - reader.free_since
            if free_for >= self._idle_seconds:
                self._free.remove(reader)
                self._dismiss(reader)
            elif free_for >= _REST_SECONDS and not reader.is_resting:
                reader.stands = None
                reader.is_resting = True
                reader.lane.submit(Session.rest).add_done_callback(_swallow)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._free else None

    def _dismiss(self, reader: _Reader) -> None:
        self.readers -= 1
        reader.lane.close()
        self._closing.add(reader.lane.ended)
        reader.lane.ended.add_done_callback(self._closing.discard)

    def _open(self) -> Session:
        return Session(reader_config(self._settings), self._settings.metadata_timeout_seconds)


def _is_passing(error: BaseException) -> bool:
    """Whether the consumer can be used again."""
    if isinstance(error, KafkaException):
        first = next(iter(error.args), None)
        return isinstance(first, KafkaError) and not first.fatal()
    return isinstance(error, GatewayError)


def _swallow(future: "asyncio.Future[None]") -> None:
    """A consumer that cannot rest cannot read either: the next read finds out."""
    future.exception()


def reader_config(settings: KafkaSettings) -> dict[str, Any]:
    """A consumer without a group that reads ahead a little and answers soon."""
    return {
        **client_config(settings),
        # The client asks for one; nobody joins it and nothing is committed to it.
        "group.id": "eventbus.read",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # A new assignment waits for the end of the last request, which the broker keeps open for so long.
        "fetch.wait.max.ms": 200,
        # How long it pauses once it has read ahead enough; the default of a second would hold up whoever reads on.
        "fetch.queue.backoff.ms": 10,
        "queued.min.messages": 2_000,
        "queued.max.messages.kbytes": 4_096,
        # Without a callback the client writes its errors to the terminal.
        "error_cb": lambda error: None,
        "logger": logger,
    }
