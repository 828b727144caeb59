"""A consumer on a thread of its own that reads what it is told to, without joining a group."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventbus_gateway.kafka.background import in_background
from eventbus_gateway.kafka.client import logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.consumed import Sharing
from eventbus_gateway.kafka.conversion import to_batch
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.kafka.strands import MOST_IN_HAND, SHARED, Batch, Order, Read

_IDLE_SECONDS = 1.0
"""How often a reader that reads nothing takes the client's log lines; they would pile up."""
_SHARED_POLL_SECONDS = 0.05
_LANE_POLL_SECONDS = 0.02
"""How long an order may have to wait while nothing comes."""
_LANE_FETCH_WAIT_MS = 50
"""A lane learns after so long that it is at the end."""
_CLOSE_SECONDS = 2.0
_RESPONSE_OVERHEAD = 1_048_576


class Receiver(Protocol):
    """Whom readers tell what they have read, always on the event loop."""

    def received(self, number: int, batch: Batch) -> None:
        """A reader has read a batch; it waits after a few until one is taken."""
        ...

    def ended(self, number: int) -> None:
        """A reader failed for good."""
        ...


class Reader(Protocol):
    """Reads partitions; ``ReadingThread`` is one."""

    @property
    def status(self) -> tuple[int, int]:
        """How many partitions are read, and how many batches are in hand."""
        ...

    def order(self, order: Order) -> None:
        """Read a partition, or leave it."""
        ...

    def taken(self) -> None:
        """A batch is done with."""
        ...

    async def close(self) -> None:
        """Read no more; waits a moment for the end."""
        ...


MakeReader = Callable[[int, Receiver], Reader]


def reading_threads(kafka: KafkaSettings, consume: ConsumeSettings) -> MakeReader:
    """How readers are made.

    Args:
        kafka: how to reach Kafka.
        consume: how much is read at once.
    """

    def make(number: int, receiver: Receiver) -> Reader:
        config = reading_config(kafka, consume, fetch_wait_ms=consume.fetch_wait_ms)
        if number == SHARED:
            return ReadingThread(number, config, consume.batch_records, _SHARED_POLL_SECONDS, receiver)
        config = reading_config(kafka, consume, fetch_wait_ms=_LANE_FETCH_WAIT_MS)
        return ReadingThread(number, config, consume.batch_records, _LANE_POLL_SECONDS, receiver)

    return make


def reading_config(kafka: KafkaSettings, consume: ConsumeSettings, *, fetch_wait_ms: int) -> dict[str, Any]:
    """A consumer that reads committed records exactly from where it is told to, and commits nothing."""
    return {
        **client_config(kafka),
        "group.id": "eventbus.feeds",  # must be there; it is neither joined nor committed to
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "fetch.wait.max.ms": fetch_wait_ms,
        "fetch.error.backoff.ms": 100,
        # With the default of a second a queue that was full once stays empty for so long.
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": max(1, consume.queue_bytes // 1024),
        "fetch.message.max.bytes": consume.partition_fetch_bytes,
        "fetch.max.bytes": max(consume.queue_bytes, kafka.max_record_bytes),
        "message.max.bytes": kafka.max_record_bytes,
        "receive.message.max.bytes": max(
            100_000_000, consume.queue_bytes + kafka.max_record_bytes + _RESPONSE_OVERHEAD
        ),
        "error_cb": lambda error: None,
    }


class ReadingThread:
    """See ``Reader``. The consumer is made with the first order.

    Args:
        number: of the reader.
        config: properties of the consumer.
        batch_records: most records of one batch.
        poll_seconds: how long to wait for a record before looking for orders.
        receiver: who is told.
    """

    def __init__(
        self, number: int, config: dict[str, Any], batch_records: int, poll_seconds: float, receiver: Receiver
    ) -> None:
        self._number = number
        self._config = config
        self._batch_records = batch_records
        self._poll_seconds = poll_seconds
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._orders: list[Order] = []
        self._tickets: dict[Partition, int] = {}
        self._sharing = Sharing()
        self._in_hand = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def status(self) -> tuple[int, int]:
        """See ``Reader.status``."""
        return len(self._tickets), self._in_hand

    def order(self, order: Order) -> None:
        """See ``Reader.order``."""
        with self._changed:
            self._orders.append(order)
            self._changed.notify()
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=f"eventbus-reader-{self._number}", daemon=True)
            self._thread.start()

    def taken(self) -> None:
        """See ``Reader.taken``."""
        with self._changed:
            self._in_hand -= 1
            self._changed.notify()

    async def close(self) -> None:
        """See ``Reader.close``."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        thread = self._thread
        if thread is not None:
            await in_background("reader-close", lambda: thread.join(_CLOSE_SECONDS))

    def _run(self) -> None:
        consumer = None
        try:
            consumer = Consumer(self._config, logger=logger)
            while (orders := self._next_orders()) is not None:
                self._carry_out(consumer, orders)
                self._read(consumer)
        except Exception as error:  # noqa: BLE001  the rim of the thread: another reader takes over
            logger.warning("a reader failed and is replaced: %s", _name(error))
            self._tell(self._receiver.ended, self._number)
        finally:
            # This can block for long; nobody waits for it without a limit.
            if consumer is not None:
                with contextlib.suppress(KafkaException, RuntimeError, SystemError):
                    consumer.close()

    def _next_orders(self) -> list[Order] | None:
        """Wait until there is something to do; None at the end."""
        with self._changed:
            while not (self._closed or self._orders or self._may_read()):
                if not self._changed.wait(_IDLE_SECONDS):
                    break
            orders, self._orders = self._orders, []
            return None if self._closed else orders

    def _may_read(self) -> bool:
        return bool(self._tickets) and self._in_hand < MOST_IN_HAND

    def _carry_out(self, consumer: Consumer, orders: Sequence[Order]) -> None:
        for kind, run in groupby(orders, type):
            if kind is Read:
                reads = [order for order in run if isinstance(order, Read)]
                consumer.incremental_assign([TopicPartition(*order.partition, order.offset) for order in reads])
                self._tickets.update((order.partition, order.ticket) for order in reads)
            else:
                # A former reader may have been told to read what this one is told to leave.
                leaves = [order for order in run if self._tickets.get(order.partition) == order.ticket]
                if leaves:
                    consumer.incremental_unassign([TopicPartition(*order.partition) for order in leaves])
                for order in leaves:
                    del self._tickets[order.partition]

    def _read(self, consumer: Consumer) -> None:
        if not self._tickets:
            consumer.poll(0)
        if not self._may_read():
            return
        first = consumer.poll(self._poll_seconds)
        if first is None:
            return
        messages = [first, *consumer.consume(self._batch_records - 1, 0)] if self._batch_records > 1 else [first]
        _check(messages)
        batch = to_batch(messages, self._tickets, self._sharing)
        if batch:
            with self._changed:
                self._in_hand += 1
            self._tell(self._receiver.received, self._number, batch)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(function, *arguments)


def _check(messages: Sequence[Message]) -> None:
    """Raise the error that says that the consumer is good for nothing any more."""
    for message in messages:
        error = message.error()
        if error is not None and error.fatal():
            raise KafkaException(error)


def _name(error: Exception) -> str:
    reason = next(iter(error.args), None)
    return reason.name() if isinstance(reason, KafkaError) else type(error).__name__
