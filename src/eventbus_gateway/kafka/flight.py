"""Requests whose records are on their way: who waits for what, since when, and how much memory that takes.

Everything here runs on the event loop's thread, since librdkafka's callbacks are served by ``poll()`` there. The two
success paths are the hottest code of the gateway after the codec: they touch each record once.
"""

import asyncio
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message

from eventbus_gateway.kafka.records import Outcome, Record, Stored, Unknown
from eventbus_gateway.kafka.verdicts import LOST, TIMED_OUT, judge, spoils_its_batch

UNUSABLE = (ValueError, TypeError)
"""What ``size_of`` raises for a record that must not reach the client."""

UNTOLD = -1
"""Offset of a record that is stored at a place that nobody told: its acknowledgement was lost, and librdkafka knows
that it is there from the acknowledgement of a later batch of the partition. Java's clients use the same number."""

_new = tuple.__new__


def size_of(record: Record) -> int:
    """Bytes that a record counts for: as it says itself, else key, value, header names and values.

    Raises:
        ValueError: a header's name is not encodable. The binding crashes the process on one (a lone surrogate), so
            this is the gate that nothing may go around.
        TypeError: a part of the record is not what its type says.
    """
    if record.size:
        return record.size
    key, value, headers, _ = record
    size = len(value) if key is None else len(value) + len(key)
    for name, content in headers:
        size += (len(name) if name.isascii() else len(name.encode())) + len(content)
    return size


class Flight:
    """Everything in flight on one client. A new client gets a new flight, so late reports cannot disturb it.

    Args:
        second_try: takes requests in which whole batches were refused; it has to end each with ``finish()``.
    """

    __slots__ = ("bytes", "closed", "disturbed_at", "late", "pending", "records", "second_try")

    def __init__(self, second_try: "Callable[[Batch], None]") -> None:
        self.second_try = second_try
        self.records = 0
        self.bytes = 0
        # Insertion order is the order of deadlines; finished ones leave at once, so memory follows the counters.
        self.pending: dict[Single | Batch, None] = {}
        # Answered as unknown, but librdkafka still holds their records.
        self.late: dict[Single | Batch, None] = {}
        self.disturbed_at = float("-inf")
        self.closed = False

    def expire(self, sent_before: float) -> None:
        """Answer every request that was handed over at or before this time."""
        while self.pending:
            request = next(iter(self.pending))
            if request.sent_at > sent_before:
                return
            del self.pending[request]
            self.late[request] = None
            request.answer(TIMED_OUT)

    def abandon(self) -> None:
        """Answer everything: no report will come any more."""
        self.closed = True
        for request in list(self.pending):
            request.answer(LOST)
        self.pending.clear()
        self.late.clear()
        self.records = self.bytes = 0

    def oldest(self) -> float | None:
        """When the oldest unanswered request was handed over."""
        return next(iter(self.pending)).sent_at if self.pending else None

    def has_lost_reports(self, sent_before: float) -> bool:
        """Whether records of a request from before this time were never reported on."""
        return bool(self.late) and next(iter(self.late)).sent_at <= sent_before


class Single:
    """A request with one record; it is its own delivery callback.

    Args:
        flight: where it is counted.
        future: who waits.
        topic: name of the topic.
        record: the record, kept for a second try.
        size: bytes counted for it.
        sent_at: the clock's time when it was handed over.
    """

    __slots__ = ("flight", "future", "record", "sent_at", "size", "topic")

    def __init__(
        self,
        flight: Flight,
        future: asyncio.Future[list[Outcome]],
        topic: str,
        record: Record,
        size: int,
        sent_at: float,
    ) -> None:
        self.flight = flight
        self.future = future
        self.topic = topic
        self.record = record
        self.size = size
        self.sent_at = sent_at

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """librdkafka's report."""
        flight = self.flight
        if error is not None:
            self._failed(error)
            return
        flight.records -= 1
        flight.bytes -= self.size
        if flight.pending.pop(self, self) is not None:
            flight.late.pop(self, None)
        if not self.future.done():
            offset = message.offset()
            place = (message.partition(), UNTOLD if offset is None else offset, message.timestamp()[1])
            self.future.set_result([_new(Stored, place)])

    def refuse(self, outcome: Outcome) -> None:
        """It was not handed over."""
        flight = self.flight
        flight.records -= 1
        flight.bytes -= self.size
        if flight.pending.pop(self, self) is not None:
            flight.late.pop(self, None)
        if not self.future.done():
            self.future.set_result([outcome])

    def answer(self, missing: Unknown) -> None:
        """Answer without a report."""
        if not self.future.done():
            self.future.set_result([missing])

    def _failed(self, error: KafkaError) -> None:
        # As a batch of one from here on: failures are rare, and one code path decides about them.
        flight = self.flight
        batch = Batch(flight, self.future, self.topic, [self.record], self.size, self.sent_at)
        if flight.pending.pop(self, self) is None:
            flight.pending[batch] = None
        else:
            flight.late.pop(self, None)
        batch.delivered(0, error, None)


class Batch:
    """A request with several records.

    Args:
        flight: where it is counted.
        future: who waits.
        topic: name of the topic.
        records: the records in order, kept for a second try.
        size: bytes counted for all of them.
        sent_at: the clock's time when they were handed over.
    """

    __slots__ = ("flight", "future", "outcomes", "records", "remaining", "sent_at", "size", "spoiled", "topic")

    def __init__(
        self,
        flight: Flight,
        future: asyncio.Future[list[Outcome]],
        topic: str,
        records: Sequence[Record],
        size: int,
        sent_at: float,
    ) -> None:
        self.flight = flight
        self.future = future
        self.topic = topic
        self.records = records
        self.size = size
        self.sent_at = sent_at
        self.remaining = len(records)
        self.outcomes: list[Outcome | None] = [None] * self.remaining
        self.spoiled: list[int] = []
        """Places of the records that were refused together with others."""

    def delivered(self, index: int, error: KafkaError | None, message: Message | None) -> None:
        """librdkafka's report on one record."""
        if error is None and message is not None:
            offset = message.offset()
            place = (message.partition(), UNTOLD if offset is None else offset, message.timestamp()[1])
            self.outcomes[index] = _new(Stored, place)
        elif error is not None:
            self._failed(index, error)
        self.remaining -= 1
        if not self.remaining:
            self._all_reported()

    def refuse_from(self, index: int, outcomes: Sequence[Outcome]) -> None:
        """This record and all after it were not handed over; those before go on."""
        self.outcomes[index:] = outcomes
        self.remaining -= len(outcomes)
        if not self.remaining:
            self.finish()

    def answer(self, missing: Unknown) -> None:
        """Answer now, with this outcome where there is none yet."""
        if not self.future.done():
            self.future.set_result([missing if outcome is None else outcome for outcome in self.outcomes])

    def finish(self) -> None:
        """Nothing of this request is on its way any more."""
        flight = self.flight
        flight.records -= len(self.records)
        flight.bytes -= self.size
        if flight.pending.pop(self, self) is not None:
            flight.late.pop(self, None)
        self.answer(LOST)

    def _failed(self, index: int, error: KafkaError) -> None:
        disturbed = self.flight.disturbed_at >= self.sent_at
        self.outcomes[index] = judge(error, disturbed=disturbed)
        if spoils_its_batch(error) and not disturbed:
            self.spoiled.append(index)

    def _all_reported(self) -> None:
        # After the answer there is nobody to tell; and reports of a closed flight come from another thread.
        if self.spoiled and not self.future.done() and not self.flight.closed:
            self.flight.second_try(self)
        else:
            self.finish()
