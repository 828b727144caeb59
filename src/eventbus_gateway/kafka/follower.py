"""Reads a topic of one partition from its beginning and follows it from then on, on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventbus_gateway.kafka.client import logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.conversion import record_of
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.uptime import uptime

_BATCH = 1_000
_OUTSTANDING = 4
"""Batches that may wait for the event loop; then the thread waits, and librdkafka, whose queue is bounded."""
_QUEUE_KIBIBYTES = 4_096
# Who only assigns partitions needs no coordinator, so its troubles are not ours.
_IGNORED = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
    }
)
_MISSING = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION})


class Pace(NamedTuple):
    """How often a follower looks.

    Args:
        poll_seconds: longest wait for a record; it ends at once when one comes.
        check_seconds: how often the end of the topic is asked for while nothing comes.
        stale_seconds: after so long without contact the topic is read again from its beginning: by then compaction
            may have removed a record and the tombstone that told about it.
        fetch_wait_ms: how long a broker keeps a request open while there is nothing new, in milliseconds. A real one
            answers at once when something comes; the embedded one does not.
    """

    poll_seconds: float = 1.0
    check_seconds: float = 60.0
    stale_seconds: float = 3_600.0
    fetch_wait_ms: int = 1_000


class Listener(Protocol):
    """Who is told, always on the event loop."""

    def begin(self) -> None:
        """What follows starts at the beginning of the topic."""
        ...

    def take(self, records: list[Consumed]) -> None:
        """The next records, in order."""
        ...

    def complete(self) -> None:
        """Everything that was there when the reading began has been handed over."""
        ...

    def interrupted(self, reason: str) -> None:
        """The topic cannot be read now; a new beginning follows as soon as it can."""
        ...


class _StartOverError(Exception):
    """The place where we stand says nothing about the topic any more."""


class Follower:
    """One reader; heals by itself.

    Args:
        settings: how to reach Kafka.
        topic: name of a topic with one partition.
        listener: who is told.
        pace: how often it looks.
        clock: seconds that go on while the process is stopped.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        listener: Listener,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._listener = listener
        self._pace = pace or Pace()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._stop = threading.Event()
        self._room = threading.Semaphore(_OUTSTANDING)
        self._contact = clock()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name=f"eventbus-follow-{self._topic}", daemon=True).start()

    async def close(self, seconds: float) -> None:
        """Read no more; waits so long for the thread, which nobody has to wait for."""
        self._stop.set()
        self._room.release()
        await asyncio.wait([self._ended], timeout=seconds)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._read()
                except KafkaException as error:
                    self._tell(self._listener.interrupted, _reason(error, self._topic))
                    self._stop.wait(self._settings.probe_seconds)
                except _StartOverError:
                    continue
            self._loop.call_soon_threadsafe(self._ended.set_result, None)
        except RuntimeError:
            return  # the loop was closed; nobody listens any more

    def _read(self) -> None:
        consumer = Consumer(self._config(), logger=logger)
        try:
            position, end = self._bounds(consumer)
            consumer.assign([TopicPartition(self._topic, 0, position)])
            self._tell(self._listener.begin)
            complete = self._completed(position >= end, False)
            checked = self._clock()
            while not self._stop.is_set():
                messages = self._next(consumer)
                records, at_end = _sorted_out(messages)
                if records:
                    position = records[-1].offset + 1
                    self._hand_over(records)
                complete = self._completed(at_end or position >= end, complete)
                if self._clock() - checked >= self._pace.check_seconds:
                    checked = self._clock()
                    self._check(consumer, position)
                elif messages:
                    self._contact = checked = self._clock()
        finally:
            consumer.close()

    def _completed(self, now: bool, before: bool) -> bool:
        if now and not before:
            self._tell(self._listener.complete)
        return now or before

    def _next(self, consumer: Consumer) -> list[Message]:
        # consume() alone waits for a full batch or the whole time; poll() returns with the first message.
        first = consumer.poll(self._pace.poll_seconds)
        if first is None:
            return []
        return [first, *consumer.consume(_BATCH - 1, 0)]

    def _hand_over(self, records: list[Consumed]) -> None:
        self._room.acquire()

        def take() -> None:
            self._room.release()
            if not self._stop.is_set():
                self._listener.take(records)

        self._loop.call_soon_threadsafe(take)

    def _tell(self, listen: Callable[..., object], *what: object) -> None:
        def tell() -> None:
            if not self._stop.is_set():
                listen(*what)

        self._loop.call_soon_threadsafe(tell)

    def _bounds(self, consumer: Consumer) -> tuple[int, int]:
        """First and next offset of the topic.

        Raises:
            KafkaException: no broker told in time.
        """
        partition = TopicPartition(self._topic, 0)
        found = consumer.get_watermark_offsets(partition, timeout=self._settings.metadata_timeout_seconds)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        self._contact = self._clock()
        return found

    def _check(self, consumer: Consumer, position: int) -> None:
        """Nothing came for a while: is that because nothing was written?"""
        last = self._contact
        try:
            _, end = self._bounds(consumer)
        except KafkaException:
            return  # librdkafka reconnects by itself; what counts is when there was contact
        if end < position or self._clock() - last > self._pace.stale_seconds:
            raise _StartOverError

    def _config(self) -> dict[str, Any]:
        return {
            **client_config(self._settings),
            "group.id": f"{self._topic}.readers",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": self._pace.fetch_wait_ms,
            "queued.max.messages.kbytes": _QUEUE_KIBIBYTES,
            "error_cb": lambda error: None,
        }


def _sorted_out(messages: list[Message]) -> tuple[list[Consumed], bool]:
    """Records, and whether the end of the topic was reached behind them.

    Raises:
        KafkaException: reading cannot go on.
    """
    records: list[Consumed] = []
    at_end = False
    for message in messages:
        error = message.error()
        if error is None:
            headers: Any = message.headers() or []
            records.append(record_of(message, Headers.of(headers)))
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end = True
        elif error.code() not in _IGNORED:
            raise KafkaException(error)
    return records, at_end


def _reason(error: KafkaException, topic: str) -> str:
    first = next(iter(error.args), None)
    if not isinstance(first, KafkaError):
        return f"The topic {topic} cannot be read"
    if first.code() in _MISSING:
        return f"The topic {topic} does not exist: create it with eventbus init"
    if first.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return f"The gateway may not read the topic {topic}"
    return f"The topic {topic} cannot be read: {first.name()}"
