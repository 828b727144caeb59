"""A world for the feeds without Kafka: logs, readers that do one step when told to, sinks that keep books."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed
from eventbus_gateway.kafka.feeds import Feed, Feeds
from eventbus_gateway.kafka.partitions import Ends, Partition
from eventbus_gateway.kafka.reading_thread import Receiver
from eventbus_gateway.kafka.settings import ConsumeSettings
from eventbus_gateway.kafka.strands import MOST_IN_HAND, Batch, Fault, Order, Read, Slice


@dataclass
class Log:
    """A partition. Some offsets never had a record (a compacted log, marks of transactions)."""

    low: int = 0
    high: int = 0
    offsets: list[int] = field(default_factory=list)

    def append(self, records: int, gap: int) -> None:
        """Records, and then offsets without one."""
        self.offsets += range(self.high, self.high + records)
        self.high += records + gap

    def between(self, start: int, stop: int) -> list[int]:
        """Offsets that ever had a record."""
        return [offset for offset in self.offsets if start <= offset < stop]


class FakeReader:
    """Reads the logs as a consumer would; it stands still between the steps."""

    def __init__(self, number: int, receiver: Receiver, logs: Mapping[Partition, Log]) -> None:
        self.number = number
        self.orders: list[Order] = []
        self.reading: dict[Partition, tuple[int, int]] = {}
        """Ticket and next offset by partition."""
        self.outbox: list[Batch] = []
        self.in_hand = 0
        self.closed = False
        self._receiver = receiver
        self._logs = logs
        self._told: set[tuple[int, int]] = set()

    @property
    def status(self) -> tuple[int, int]:
        return len(self.reading), self.in_hand

    def order(self, order: Order) -> None:
        assert not self.closed
        self.orders.append(order)

    def taken(self) -> None:
        self.in_hand -= 1
        assert self.in_hand >= 0, "a batch is taken twice"

    async def close(self) -> None:
        self.closed = True

    def step(self, limit: int) -> None:
        """Carry orders out, then read so many records of each partition if there may be another batch."""
        if self.closed:
            return
        orders, self.orders = self.orders, []
        for order in orders:
            if isinstance(order, Read):
                assert order.partition not in self.reading, "a partition is read twice"
                self.reading[order.partition] = order.ticket, order.offset
            elif self.reading.get(order.partition, (0, 0))[0] == order.ticket:
                del self.reading[order.partition]
        if self.in_hand < MOST_IN_HAND and (batch := self._read(limit)):
            self.in_hand += 1
            self.outbox.append(batch)

    def deliver(self) -> None:
        """The loop gets the first batch that is on its way."""
        if self.outbox:
            self._receiver.received(self.number, self.outbox.pop(0))

    def fail(self, partition: Partition, error: GatewayError) -> None:
        """The broker refuses a partition."""
        if partition in self.reading and self.in_hand < MOST_IN_HAND:
            self.in_hand += 1
            self.outbox.append([Fault(self.reading[partition][0], error)])

    def end(self) -> None:
        """The consumer fails for good."""
        while self.outbox:
            self.deliver()
        self.closed = True
        self.reading.clear()
        self._receiver.ended(self.number)

    def _read(self, limit: int) -> Batch:
        batch: Batch = []
        for partition, (ticket, offset) in self.reading.items():
            log = self._logs[partition]
            if not log.low <= offset <= log.high:
                if (ticket, offset) not in self._told:
                    self._told.add((ticket, offset))
                    batch.append(Fault(ticket, UnknownTopic(), out_of_range=True))
                continue
            found = log.between(offset, log.high)[:limit]
            if found:
                self.reading[partition] = ticket, found[-1] + 1
                batch.append(Slice(ticket, [_record(partition, at) for at in found], found[-1] + 1))
            elif (ticket, log.high) not in self._told:
                self._told.add((ticket, log.high))
                self.reading[partition] = ticket, log.high
                batch.append(Slice(ticket, [], log.high, at_end=True))
        return batch


def _record(partition: Partition, offset: int) -> Consumed:
    return Consumed.of(*partition, offset, 0, None, b"%d" % offset, NO_HEADERS)


class Books:
    """A sink that checks that nothing is left out and nothing comes twice."""

    def __init__(self, world: "World", positions: Mapping[Partition, int]) -> None:
        self.world = world
        self.positions = dict(positions)
        self.stopped: set[Partition] = set()
        self.troubles: dict[Partition, GatewayError] = {}
        self.taken = 0
        self.losses = 0
        self.room = 1_000_000
        self.feed: Feed | None = None
        self.closed = False

    def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
        place = topic, partition
        wanted = self.world.logs[place].between(self.positions[place], next_offset)
        self._check(not self.closed, "something is given after the end")
        self._check(place not in self.stopped, "something is given after a stop")
        self._check(place not in self.troubles, "something is given before the trouble is over")
        self._check(next_offset > self.positions[place], "nothing new is given")
        self._check([record.offset for record in records] == wanted, "records are missing, repeated or in disorder")
        self._check(all((record.topic, record.partition) == place for record in records), "foreign records")
        self.positions[place] = next_offset
        self.taken += len(records)
        self.room -= len(records)
        if self.room <= 0:
            self.stopped.add(place)
        return self.room > 0

    def lost(self, topic: str, partition: int, asked: int, earliest: int) -> None:
        place = topic, partition
        self._check(self.positions[place] == asked, "another position is lost than the one that was asked for")
        self._check(asked < earliest or asked > self.world.logs[place].high, "something is lost that is there")
        self.positions[place] = earliest
        self.losses += 1

    def troubled(self, topic: str, partition: int, error: GatewayError | None) -> None:
        before = self.troubles.get((topic, partition))
        self._check(type(before) is not type(error), "the same trouble is told twice")
        if error is None:
            del self.troubles[topic, partition]
        else:
            self.troubles[topic, partition] = error

    def _check(self, holds: bool, sentence: str) -> None:
        # An assertion would end nothing: the feeds survive what their subscribers raise.
        if not holds:
            self.world.faults.append(sentence)

    def go_on(self, place: Partition, room: int) -> None:
        self.room = max(self.room, 0) + room
        if place in self.stopped and self.feed is not None:
            self.stopped.discard(place)
            self.feed.resume(*place, self.positions[place])

    def seek(self, place: Partition, offset: int) -> None:
        self.stopped.discard(place)
        self.positions[place] = offset
        if self.feed is not None:
            self.feed.resume(*place, offset)


class World:
    """Feeds, their readers and their logs."""

    def __init__(self, partitions: Sequence[Partition], **settings: float) -> None:
        self.logs = {partition: Log() for partition in partitions}
        self.now = 0.0
        self.readers: dict[int, FakeReader] = {}
        self.asked: list[asyncio.Future[None]] = []
        self.questions = 0
        self.missing: set[Partition] = set()
        self.feeds = Feeds(self._make, self._ends, ConsumeSettings.model_validate(settings), lambda: self.now)
        self.books: list[Books] = []
        self.faults: list[str] = []

    def open(self, positions: Mapping[Partition, int]) -> Books:
        books = Books(self, positions)
        books.feed = self.feeds.open(books, positions)
        self.books.append(books)
        return books

    def close(self, books: Books) -> None:
        assert books.feed is not None
        books.feed.close()
        books.closed = True
        self.books.remove(books)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.feeds.settle_soon()

    def answer(self) -> None:
        """Answer the oldest question for the ends of partitions."""
        if self.asked:
            self.asked.pop(0).set_result(None)

    async def turn(self) -> None:
        """Everything that is ready goes one step further."""
        await asyncio.sleep(0)
        self.answer()
        for reader in list(self.readers.values()):
            reader.step(50)
            reader.deliver()
        await asyncio.sleep(0)

    async def run(self, *, turns: int = 20) -> None:
        for _ in range(turns):
            await self.turn()

    def _make(self, number: int, receiver: Receiver) -> FakeReader:
        assert number not in self.readers or self.readers[number].closed
        self.readers[number] = FakeReader(number, receiver, self.logs)
        return self.readers[number]

    async def _ends(self, partitions: Collection[Partition]) -> dict[Partition, Ends | GatewayError]:
        # What was true when it was asked; the answer may come much later.
        known: dict[Partition, Ends | GatewayError] = {
            place: UnknownTopic() if place in self.missing else Ends(self.logs[place].low, self.logs[place].high)
            for place in partitions
        }
        gate = asyncio.get_running_loop().create_future()
        self.asked.append(gate)
        self.questions += 1
        await gate
        if len(self.missing) == len(self.logs):
            raise KafkaUnavailable
        return known
