"""Hands records to many subscribers with few consumers.

One shared consumer reads each partition once for all who stand near its end. Who is behind is served by one of a few
further consumers until it has caught up. ``planner`` decides, ``reading_thread`` reads; here the two meet, on the
event loop.
"""

import asyncio
import contextlib
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from eventbus_gateway.errors import GatewayError, KafkaUnavailable
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.held import Delivery, Held
from eventbus_gateway.kafka.partitions import Ends, Partition
from eventbus_gateway.kafka.planner import Planner
from eventbus_gateway.kafka.reading_thread import MakeReader, Reader
from eventbus_gateway.kafka.settings import ConsumeSettings
from eventbus_gateway.kafka.strands import MOST_IN_HAND, Batch, Fault, Place, Read, Slice, Strand, Subscriber, Tail

logger = logging.getLogger(__name__)

LookUpEnds = Callable[[Collection[Partition]], Awaitable[Mapping[Partition, Ends | GatewayError]]]

_offset = attrgetter("offset")
_MOST_LOOK_UPS = 8
_LEAST_WAIT_SECONDS = 0.01


class Sink(Protocol):
    """Who is given records, always on the event loop. Its methods must not block, and should not raise."""

    def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
        """Take everything from the position so far up to an offset.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            records: in the order of their offsets; others may be given the same list. What is missing between the
                former position and ``next_offset`` does not exist (compaction, transactions).
            next_offset: the new position.

        Returns:
            Whether to go on; else nothing more of this partition comes until ``Feed.resume``.
        """
        ...

    def lost(self, topic: str, partition: int, asked: int, earliest: int) -> None:
        """What was asked for is gone (retention, or the topic was created anew); the earliest record comes next."""
        ...

    def troubled(self, topic: str, partition: int, error: GatewayError | None) -> None:
        """A partition cannot be read now and is tried again; None when it can again."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """A consumer at one moment.

    Args:
        number: 0 for the shared one.
        partitions: how many it reads.
        in_hand: batches that are not taken yet.
        records: how many it has brought so far.
    """

    number: int
    partitions: int
    in_hand: int
    records: int


@dataclass(frozen=True, slots=True)
class FeedsStatus:
    """All reading at one moment.

    Args:
        subscribers: how many are open.
        waiting: how many of them wait for a consumer to catch up with.
        partitions: how many partitions of subscribers are in each place, by ``Place.value``.
        readers: the consumers that were needed so far.
    """

    subscribers: int
    waiting: int
    partitions: Mapping[str, int]
    readers: tuple[ReaderStatus, ...]


class Feed:
    """What one subscriber reads.

    Args:
        feeds: where it belongs.
        subscriber: who reads.
    """

    def __init__(self, feeds: "Feeds", subscriber: Subscriber) -> None:
        self._feeds = feeds
        self._subscriber = subscriber

    def add(self, positions: Mapping[Partition, int]) -> None:
        """Read further partitions; those that are read already stay as they are.

        Args:
            positions: the first offset to read of each.
        """
        self._feeds.planner.open(self._subscriber, positions)
        self._feeds.settle_soon()

    def resume(self, topic: str, partition: int, offset: int) -> None:
        """Go on after a stop, or from somewhere else.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            offset: the next offset to be given.
        """
        strand = self._subscriber.strands.get((topic, partition))
        if strand is not None:
            self._feeds.resume(strand, offset)

    def position(self, topic: str, partition: int) -> int | None:
        """The next offset that will be given, None where the partition is not read."""
        strand = self._subscriber.strands.get((topic, partition))
        return None if strand is None else strand.position

    def close(self) -> None:
        """Nothing more is given from now on; safe to call again."""
        self._feeds.planner.close(self._subscriber)
        self._feeds.settle_soon()


class Feeds:
    """All subscribers of this process. Consumers are made when they are needed and read nothing when nobody is there.

    Args:
        make_reader: makes a reader by its number.
        ends: looks up what partitions hold.
        settings: how many consumers there may be, and how they are shared.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        make_reader: MakeReader,
        ends: LookUpEnds,
        settings: ConsumeSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_reader = make_reader
        self._ends = ends
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._readers: dict[int, Reader] = {}
        self._records: Counter[int] = Counter()
        self._held = Held()
        self._look_ups: set[asyncio.Task[None]] = set()
        self._settling: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.planner = Planner(
            lanes=settings.max_catch_up_readers,
            near=settings.batch_records,
            quantum=settings.catch_up_quantum_seconds,
            retry=settings.retry_seconds,
        )

    def open(self, sink: Sink, positions: Mapping[Partition, int]) -> Feed:
        """Begin to read for somebody.

        Args:
            sink: who is given the records.
            positions: the first offset to read of each partition.
        """
        feed = Feed(self, Subscriber(sink))
        feed.add(positions)
        return feed

    def status(self) -> FeedsStatus:
        """Numbers for people and gauges."""
        places = Counter(place.value for place in self.planner.places())
        readers = tuple(
            ReaderStatus(number, *reader.status, self._records[number])
            for number, reader in sorted(self._readers.items())
        )
        return FeedsStatus(len(self.planner.subscribers), self.planner.waiting, places, readers)

    async def close(self) -> None:
        """Give nothing more and end all reading."""
        self._closed = True
        for handle in (self._settling, self._timer):
            if handle is not None:
                handle.cancel()
        for task in self._look_ups:
            task.cancel()
        for subscriber in list(self.planner.subscribers):
            self.planner.close(subscriber)
        await asyncio.gather(*(reader.close() for reader in self._readers.values()))

    def resume(self, strand: Strand, offset: int) -> None:
        """See ``Feed.resume``."""
        self.planner.resume(strand, offset)
        if strand.ticket in self._held and not strand.stopped:
            self._loop.call_soon(self._serve_held, strand)
        self.settle_soon()

    def settle_soon(self) -> None:
        """Carry the planner's orders out, once for everything that happens in one turn of the loop."""
        if self._settling is None and not self._closed:
            self._settling = self._loop.call_soon(self._settle)

    def received(self, number: int, batch: Batch) -> None:
        """See ``Receiver.received``."""
        reader = self._readers[number]
        delivery = Delivery(number, reader)
        for piece in batch:
            target = self.planner.reading(piece.ticket)
            if target is None:
                continue
            if isinstance(piece, Fault):
                self._fail(piece)
                continue
            self._records[number] += len(piece.records)
            if isinstance(target, Tail):
                self._fan_out(target, piece)
            elif target.stopped or piece.ticket in self._held:
                self._held.add(delivery, piece)
            else:
                self._serve(target, piece)
        if not delivery.held:
            reader.taken()
        self._note_crowd(number)
        self.settle_soon()

    def ended(self, number: int) -> None:
        """See ``Receiver.ended``."""
        del self._readers[number]
        for strand in self.planner.ended(number, self._clock()):
            self._tell_trouble(strand, KafkaUnavailable("The reading consumer failed and is replaced"))
        self.settle_soon()

    def _fan_out(self, tail: Tail, piece: Slice) -> None:
        for strand in self.planner.advance(tail, piece.next_offset):
            # Another member's sink may have closed it meanwhile.
            if strand in tail.members:
                self._give(strand, piece)
        if piece.at_end:
            for strand in tail.members:
                self._tell_trouble(strand, None)

    def _serve(self, strand: Strand, piece: Slice) -> None:
        self._give(strand, piece)
        self.planner.progressed(strand, at_end=piece.at_end)

    def _serve_held(self, strand: Strand) -> None:
        while not strand.stopped and self.planner.reading(strand.ticket) is strand:
            piece = self._held.pop(strand.ticket)
            if piece is None:
                break
            self._serve(strand, piece)
        if strand.subscriber.lane is not None:
            self._note_crowd(strand.subscriber.lane)
        self.settle_soon()

    def _give(self, strand: Strand, piece: Slice) -> None:
        if strand.trouble is not None:
            self._tell_trouble(strand, None)
        position, records = strand.position, piece.records
        if records and records[0].offset < position:
            records = records[bisect_left(records, position, key=_offset) :]
        if piece.next_offset <= position:
            return
        more = None
        with _rim():
            more = strand.subscriber.sink.take(*strand.partition, records, piece.next_offset)
        # Where the sink went on from somewhere else, its answer is about a place that it has left.
        if strand.position != position:
            return
        if more is None:
            self.planner.park(strand)
        else:
            self.planner.took(strand, piece.next_offset, more=more)

    def _fail(self, fault: Fault) -> None:
        for strand in self.planner.failed(fault.ticket, self._clock(), out_of_range=fault.out_of_range):
            # What is gone is told as lost, as soon as it is known what is left.
            if not fault.out_of_range:
                self._tell_trouble(strand, fault.error)

    def _settle(self) -> None:
        self._settling = None
        now = self._clock()
        if len(self._look_ups) < _MOST_LOOK_UPS and (ripe := self.planner.ripe(now)):
            task = self._loop.create_task(self._look_up(ripe))
            self._look_ups.add(task)
            task.add_done_callback(self._looked_up)
        deadline = self.planner.settle(now)
        self._carry_out()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_later(max(deadline - now, _LEAST_WAIT_SECONDS), self._settle)

    def _carry_out(self) -> None:
        for order in self.planner.orders():
            reader = self._readers.get(order.reader)
            if isinstance(order, Read):
                if reader is None:
                    reader = self._readers[order.reader] = self._make_reader(order.reader, self)
                reader.order(order)
            else:
                self._held.drop(order.ticket)
                if reader is not None:
                    reader.order(order)
                self._note_crowd(order.reader)

    async def _look_up(self, strands: Sequence[Strand]) -> None:
        partitions = {strand.partition for strand in strands}
        answers: Mapping[Partition, Ends | GatewayError]
        try:
            answers = await self._ends(partitions)
        except GatewayError as error:
            answers = dict.fromkeys(partitions, error)
        now = self._clock()
        for strand in strands:
            if strand.place is not Place.SEEKING:
                continue
            answer = answers.get(strand.partition) or KafkaUnavailable()
            if isinstance(answer, Ends):
                self._found(strand, answer, now)
            else:
                self.planner.missed(strand, now)
                self._tell_trouble(strand, answer)

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        self._look_ups.discard(task)
        self.settle_soon()

    def _found(self, strand: Strand, ends: Ends, now: float) -> None:
        asked = strand.position
        earliest = self.planner.found(strand, ends, now)
        if earliest is not None:
            with _rim():
                strand.subscriber.sink.lost(*strand.partition, asked, earliest)

    def _tell_trouble(self, strand: Strand, error: GatewayError | None) -> None:
        before, strand.trouble = strand.trouble, error
        if (before is None) is not (error is None) or (error is not None and type(before) is not type(error)):
            with _rim():
                strand.subscriber.sink.troubled(*strand.partition, error)

    def _note_crowd(self, number: int) -> None:
        if number:
            self.planner.crowded(number, self._clock() if self._held.deliveries(number) >= MOST_IN_HAND else None)


@contextlib.contextmanager
def _rim() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  one subscriber's fault must not end the reading of the others
        # Not the message: it may have something of a record in it.
        logger.error("a subscriber failed: %s", type(error).__name__)  # noqa: TRY400
