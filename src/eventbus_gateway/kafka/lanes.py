"""The readers for those who are behind, and who may have one."""

from collections.abc import Iterator

from eventbus_gateway.kafka.readings import Readings
from eventbus_gateway.kafka.strands import Lane, Place, Strand, Subscriber

_BARREN_SECONDS = 2.0
"""A lane that brings nothing (its leader is away, say) is given up after this time when others wait."""
_HOLD_SECONDS = 5.0
"""A lane whose subscriber wants nothing is given up after this time also when nobody waits."""
_CROWDED_SECONDS = 0.05
"""Stopped strands leave a lane on which others want to go on after this time."""


class Lanes:
    """All lanes and the queue before them: first come, first served, and back to its end after a quantum.

    Args:
        lanes: how many there are.
        quantum: how long one may serve a subscriber while others wait, in seconds.
        readings: where readings are ordered.
    """

    def __init__(self, lanes: int, quantum: float, readings: Readings) -> None:
        self._quantum = quantum
        self._readings = readings
        self._lanes = [Lane(number) for number in range(1, lanes + 1)]
        self._queue: dict[Subscriber, None] = {}

    @property
    def waiting(self) -> int:
        """How many subscribers wait for a lane."""
        return len(self._queue)

    def tickets(self, number: int) -> list[int]:
        """The readings of a lane."""
        return [strand.ticket for strand in self._lanes[number - 1].strands.values()]

    def wait(self, strand: Strand) -> None:
        """Read for a strand as soon as its subscriber has a lane."""
        number = strand.subscriber.lane
        if number is not None:
            self._put_on(self._lanes[number - 1], strand)
        else:
            strand.place = Place.QUEUED
            self._queue[strand.subscriber] = None

    def leave(self, strand: Strand) -> None:
        """Take a strand away from its lane or from the queue."""
        subscriber, place = strand.subscriber, strand.place
        strand.place = Place.IDLE
        if place is Place.QUEUED:
            if all(other.place is not Place.QUEUED for other in subscriber.strands.values()):
                self._queue.pop(subscriber, None)
        elif subscriber.lane is not None:
            del self._lanes[subscriber.lane - 1].strands[strand.partition]
            self._readings.end(subscriber.lane, strand.partition, strand.ticket)

    def served(self, strand: Strand) -> None:
        """A strand's lane has brought something."""
        if strand.subscriber.lane is not None:
            self._lanes[strand.subscriber.lane - 1].served = True

    def crowded(self, number: int, now: float | None) -> None:
        """A lane waits for stopped strands to take what is at hand, since now; or, with None, not any more."""
        lane = self._lanes[number - 1]
        if now is None or lane.crowded_since is None:
            lane.crowded_since = now

    def settle(self, now: float) -> Iterator[float]:
        """Take lanes away and give them out.

        Yields:
            When something may be due, if nothing happens before.
        """
        for lane in self._lanes:
            deadline = self._review(lane, now)
            if deadline is not None:
                yield deadline
        for lane in self._lanes:
            if lane.subscriber is None and self._queue:
                self._grant(lane, now)
        if self._queue:
            # Some were reviewed before anybody waited for them.
            yield from map(self._expires, self._lanes)

    def _review(self, lane: Lane, now: float) -> float | None:
        """Take a lane away if that is due; else say when it may be."""
        if lane.subscriber is None:
            return None
        running = any(not strand.stopped for strand in lane.strands.values())
        if running:
            lane.halted_since = None
        elif lane.halted_since is None:
            lane.halted_since = now
        if not lane.strands or (self._queue and (not running or now >= self._expires(lane))):
            self._release(lane)
        elif lane.halted_since is not None:
            if now < lane.halted_since + _HOLD_SECONDS:
                return lane.halted_since + _HOLD_SECONDS
            self._release(lane)
        elif lane.crowded_since is not None:
            if now < lane.crowded_since + _CROWDED_SECONDS:
                return lane.crowded_since + _CROWDED_SECONDS
            lane.crowded_since = None
            for strand in [strand for strand in lane.strands.values() if strand.stopped]:
                self.leave(strand)
        return None

    def _expires(self, lane: Lane) -> float:
        return lane.since + (self._quantum if lane.served else max(self._quantum, _BARREN_SECONDS))

    def _release(self, lane: Lane) -> None:
        strands = list(lane.strands.values())
        for strand in strands:
            self.leave(strand)
        if lane.subscriber is not None:
            lane.subscriber.lane = None
        lane.subscriber = None
        for strand in strands:
            if not strand.stopped:
                self.wait(strand)

    def _grant(self, lane: Lane, now: float) -> None:
        subscriber = next(iter(self._queue))
        del self._queue[subscriber]
        lane.subscriber, lane.since, lane.served = subscriber, now, False
        lane.halted_since = lane.crowded_since = None
        subscriber.lane = lane.number
        for strand in subscriber.strands.values():
            if strand.place is Place.QUEUED:
                self._put_on(lane, strand)

    def _put_on(self, lane: Lane, strand: Strand) -> None:
        strand.place = Place.CATCHING_UP
        lane.strands[strand.partition] = strand
        strand.ticket = self._readings.begin(lane.number, strand.partition, strand.position, strand)
