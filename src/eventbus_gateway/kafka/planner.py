"""Decides which reader reads what for whom.

It is pure: what happens comes in as calls, what shall be done goes out as orders.

The rules that make the joins exact:

- A tail's position is where the shared reader's next slice begins. A strand may join a tail when its own position is
  not below that. Slices are cut to what a strand has not been given yet.
- A tail begins at the position of the strand that it is made for, and only when that one is near the end.
- A lane reads a strand from the strand's own position. What still arrives from a reading that was given up is told by
  its ticket, which nobody knows any more.
- A strand that leaves its reader keeps its position.
"""

from collections.abc import Iterable, Mapping

from eventbus_gateway.kafka.lanes import Lanes
from eventbus_gateway.kafka.partitions import Ends, Partition
from eventbus_gateway.kafka.readings import Readings
from eventbus_gateway.kafka.strands import SHARED, Order, Place, Strand, Subscriber, Tail
from eventbus_gateway.kafka.tails import Tails

_MAX_DOUBLINGS = 4


class Planner:
    """All strands and where they are.

    Args:
        lanes: how many readers there are beside the shared one.
        near: a strand that is at most so many offsets from the end needs no lane.
        quantum: how long a lane may serve one subscriber while others wait, in seconds.
        retry: first wait after a failure, in seconds.
    """

    def __init__(self, *, lanes: int, near: int, quantum: float, retry: float) -> None:
        self._near = near
        self._retry = retry
        self._readings = Readings()
        self._tails = Tails(self._readings)
        self._lanes = Lanes(lanes, quantum, self._readings)
        self._seeking: dict[Strand, None] = {}
        self.subscribers: dict[Subscriber, None] = {}

    def orders(self) -> list[Order]:
        """What is to be carried out, in this order; each order is given once."""
        orders, self._readings.orders = self._readings.orders, []
        return orders

    def open(self, subscriber: Subscriber, positions: Mapping[Partition, int]) -> None:
        """Begin to read partitions for a subscriber; those that it has already stay as they are."""
        self.subscribers[subscriber] = None
        for partition, offset in positions.items():
            if partition not in subscriber.strands:
                strand = subscriber.strands[partition] = Strand(subscriber, partition, offset)
                self._seeking[strand] = None

    def close(self, subscriber: Subscriber) -> None:
        """Read nothing more for a subscriber."""
        self.subscribers.pop(subscriber, None)
        for strand in subscriber.strands.values():
            self._detach(strand)
            strand.place = Place.CLOSED
        subscriber.strands.clear()

    def resume(self, strand: Strand, offset: int) -> None:
        """Go on after a stop, or from somewhere else."""
        if strand.place is Place.CLOSED:
            return
        if offset != strand.position:
            self._detach(strand)
            strand.position = offset
            strand.stopped = strand.out_of_range = False
            strand.retry_at = float("-inf")
            self._seek(strand)
        elif strand.stopped:
            strand.stopped = False
            if strand.place is Place.IDLE or (strand.place is Place.CATCHING_UP and self._tails.may_join(strand)):
                self._detach(strand)
                self._go_on(strand)

    def ripe(self, now: float) -> list[Strand]:
        """Seeking strands whose partitions' ends are to be asked for now; they count as asked for from now on."""
        found = [strand for strand in self._seeking if not strand.asking and strand.retry_at <= now]
        for strand in found:
            strand.asking = True
        return sorted(found, key=lambda strand: strand.position)

    def found(self, strand: Strand, ends: Ends, now: float) -> int | None:
        """Take in what a seeking strand's partition holds.

        Returns:
            Where the strand goes on when what it wanted is gone, else None.
        """
        strand.asking = False
        refused, strand.out_of_range = strand.out_of_range, False
        behind = ends.high - strand.position
        gone = strand.position < ends.low or (refused and behind < 0)
        if gone:
            strand.position, behind = ends.low, ends.high - ends.low
        elif refused:
            # The broker refuses what it says that it has: replicas disagree for a moment.
            strand.retry_at = now + self._backoff(strand)
            return None
        self._detach(strand)
        if strand.stopped:
            strand.place = Place.IDLE
        elif 0 <= behind <= self._near and strand.partition not in self._tails:
            self._tails.begin(strand)
        elif behind >= 0 and self._tails.may_join(strand):
            self._tails.join(strand)
        else:
            # Also when it stands behind the end: only the broker can say whether that is so.
            self._lanes.wait(strand)
        return strand.position if gone else None

    def missed(self, strand: Strand, now: float) -> None:
        """The ends of a seeking strand's partition cannot be told."""
        strand.asking = False
        strand.retry_at = now + self._backoff(strand)

    def reading(self, ticket: int) -> Tail | Strand | None:
        """Whom a reading is for; None when it was given up."""
        return self._readings.target(ticket)

    def advance(self, tail: Tail, next_offset: int) -> list[Strand]:
        """The shared reader got so far.

        To be called before the members are given their part: who joins meanwhile must not count on it.

        Returns:
            The members that have to be given something.
        """
        tail.position = max(tail.position, next_offset)
        return [strand for strand in tail.members if strand.position < next_offset]

    def took(self, strand: Strand, next_offset: int, *, more: bool) -> None:
        """A subscriber was given everything below an offset.

        Args:
            strand: which way.
            next_offset: where it stands now.
            more: whether it wants to go on.
        """
        strand.position = max(strand.position, next_offset)
        strand.failures = 0
        if strand.place is Place.CATCHING_UP:
            self._lanes.served(strand)
        if not more:
            strand.stopped = True
            if strand.place is Place.TAILING:
                self._detach(strand)
                strand.place = Place.IDLE

    def park(self, strand: Strand) -> None:
        """A subscriber failed to take its part: it is given nothing until it goes on from its position."""
        if strand.place is not Place.CLOSED:
            self._detach(strand)
            strand.place, strand.stopped = Place.IDLE, True

    def progressed(self, strand: Strand, *, at_end: bool) -> None:
        """After a lane's slice: join the shared reader as soon as that leaves no gap."""
        if strand.place is not Place.CATCHING_UP or strand.stopped:
            return
        if self._tails.may_join(strand):
            self._detach(strand)
            self._tails.join(strand)
        elif at_end and strand.partition not in self._tails:
            self._detach(strand)
            self._tails.begin(strand)

    def failed(self, ticket: int, now: float, *, out_of_range: bool = False) -> list[Strand]:
        """A reading does not go on.

        Returns:
            The strands that it was for; they are tried again.
        """
        target = self._readings.target(ticket)
        strands = list(target.members) if isinstance(target, Tail) else [target] if target is not None else []
        for strand in strands:
            self._detach(strand)
            strand.out_of_range = out_of_range
            first = out_of_range and not strand.failures
            strand.retry_at = now + self._backoff(strand) * (not first)
            self._seek(strand)
        return strands

    def ended(self, reader: int, now: float) -> list[Strand]:
        """A reader is gone with everything that it read for; another one takes its number.

        Returns:
            The strands that it read for; they are tried again.
        """
        tickets = self._tails.tickets() if reader == SHARED else self._lanes.tickets(reader)
        return [strand for ticket in tickets for strand in self.failed(ticket, now)]

    def crowded(self, reader: int, now: float | None) -> None:
        """A lane waits for stopped strands to take what is at hand, since now; or, with None, not any more."""
        self._lanes.crowded(reader, now)

    def settle(self, now: float) -> float | None:
        """Give lanes up and give them out.

        Returns:
            When to look again at the latest, if nothing happens before.
        """
        deadlines = list(self._lanes.settle(now))
        deadlines += [strand.retry_at for strand in self._seeking if not strand.asking]
        return min(deadlines, default=None)

    def places(self) -> Iterable[Place]:
        """Where all strands are."""
        return (strand.place for subscriber in self.subscribers for strand in subscriber.strands.values())

    @property
    def waiting(self) -> int:
        """How many subscribers wait for a lane."""
        return self._lanes.waiting

    def _go_on(self, strand: Strand) -> None:
        if self._tails.may_join(strand):
            self._tails.join(strand)
        else:
            self._lanes.wait(strand)

    def _seek(self, strand: Strand) -> None:
        strand.place = Place.SEEKING
        self._seeking[strand] = None

    def _detach(self, strand: Strand) -> None:
        """Take a strand away from wherever it is."""
        if strand.place is Place.SEEKING:
            del self._seeking[strand]
        elif strand.place is Place.TAILING:
            self._tails.leave(strand)
        elif strand.place in {Place.QUEUED, Place.CATCHING_UP}:
            self._lanes.leave(strand)

    def _backoff(self, strand: Strand) -> float:
        seconds = self._retry * 2.0 ** min(strand.failures, _MAX_DOUBLINGS)
        strand.failures += 1
        return seconds
