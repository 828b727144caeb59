"""What of one partition was taken in and is not acked yet, and what may be committed because of it."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise, repeat
from operator import itemgetter, lt
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from eventbus_gateway.errors import InternalError
from eventbus_gateway.subscriptions import commit_metadata
from eventbus_gateway.subscriptions.commit_metadata import Run

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)

# With at most 1,000 open events over at most 1,000,000 offsets there are at most 1,000 done runs: one character for
# each open run, two for each done run of less than 1,024 offsets, and one more for at most 976 longer ones make
# 3,976 of the 4,073 characters that are left beside checksum and offset. So these bounds always fit.
MAX_EVENTS = 1_000
MAX_SPAN = 1_000_000


class Held(Protocol[P_co]):
    """An event of a partition that matches the subscription: a tuple that begins like ``Event``.

    A record is one by itself, as one object less for each event is what the memory of a process that holds many of
    them gains most from.
    """

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def size(self) -> int: ...

    @property
    def payload(self) -> P_co: ...

    def __getitem__(self, place: Any, /) -> Any: ...


class Event(NamedTuple, Generic[P]):
    """What is delivered from another place than its own.

    Args:
        offset: its place in the partition.
        timestamp: milliseconds since the epoch.
        key: key of the record, None where there is none.
        size: bytes that it occupies while it is held.
        payload: whatever is needed to deliver it.
    """

    offset: int
    timestamp: int
    key: bytes | None
    size: int
    payload: P


# Of many events: three quarters of what it takes to look at each by name.
OFFSET_OF = itemgetter(Event._fields.index("offset"))
SIZE_OF = itemgetter(Event._fields.index("size"))


class Room(NamedTuple):
    """How much more may be taken in.

    Args:
        events: number of events.
        bytes: sum of their sizes; the last event taken may go beyond it, since otherwise one that is larger than the
            whole bound would wait for ever.
    """

    events: int
    bytes: int


class Window(Generic[P]):
    """The events of one partition between the committed offset and the next one to read.

    The reader vouches for whole stretches of offsets: what lies in one and is no event of it (filtered out, removed
    by compaction, a transaction's marker) needs nothing, so gaps and long filtered runs cost nothing and hold nothing
    up. Everything below ``position`` that is not in ``held`` is done; the watermark is the lowest offset held.

    Args:
        position: the committed offset, from which the partition is read.
        metadata: text found beside the committed offset; None where nothing is committed, so that the position itself
            has to be.
        max_events: events held at the most. More than 1,000 can make the commit forget the highest acked runs.
        max_span: offsets between watermark and position at the most.
    """

    __slots__ = ("_committed", "_done", "_max_events", "_max_span", "bytes", "changed", "held", "position")

    def __init__(
        self, position: int, metadata: str | None, max_events: int = MAX_EVENTS, max_span: int = MAX_SPAN
    ) -> None:
        self.position = position
        self.held: dict[int, Held[P]] = {}
        self.bytes = 0
        self.changed = metadata is None
        self._committed = None if metadata is None else (position, metadata)
        self._done: deque[Run] = deque(commit_metadata.decode(position, metadata))
        self._max_events = max_events
        self._max_span = max_span

    @property
    def watermark(self) -> int:
        """The offset to commit: every event below it is acked."""
        # Acked events leave holes at the front of the dict; skipping them costs a nanosecond each and they
        # are at most about as many as the window has places.
        return next(iter(self.held), self.position)

    @property
    def oldest(self) -> Held[P] | None:
        """The unacked event with the lowest offset."""
        return next(iter(self.held.values()), None)

    @property
    def room(self) -> int:
        """How many more events the window itself can hold."""
        return self._max_events - len(self.held)

    def take(self, events: Sequence[Held[P]], start: int, end: int, room: Room) -> list[Held[P]]:
        """Take in what was read; the new position says how far that went.

        Events that are known or were acked before a fail-over are passed over. What does not fit is left out and has
        to be read again from the new position. A stretch that begins above the position is left out as a whole:
        nobody knows what lies between.

        Args:
            events: the matching events of the stretch in ascending order of offset.
            start: first offset of the stretch that was looked at.
            end: first offset that was not.
            room: what may be taken in at the most.

        Returns:
            The events that are held from now on.

        Raises:
            InternalError: the events are not in ascending order or not below the end.
        """
        offsets = list(map(OFFSET_OF, events))
        if offsets and (offsets[-1] >= end or not all(map(lt, offsets, offsets[1:]))):
            raise InternalError("Events came out of order or from beyond the stretch that was read.")
        if start > self.position:
            return []
        new = self._new(events, offsets)
        taken, size = self._fitting(new, room)
        self.held.update(zip(map(OFFSET_OF, taken), taken, strict=True))
        self.bytes += size
        seen = end if len(taken) == len(new) else new[len(taken)].offset
        self._move(min(seen, self._limit(taken)))
        return taken

    def ack(self, *offsets: int) -> list[Held[P]]:
        """Be done with events; gives those that were held."""
        held = self.held
        events = [event for event in map(held.pop, offsets, repeat(None)) if event is not None]
        if events:
            self.bytes -= sum(map(SIZE_OF, events))
            self.changed = True
        return events

    def done(self) -> list[Run]:
        """The runs of offsets above the watermark that need nothing any more."""
        offsets = list(self.held)
        offsets.append(self.position)
        runs = [(low + 1, high) for low, high in pairwise(offsets) if high > low + 1]
        runs.extend(self._done)
        return runs

    def commit(self) -> tuple[int, str] | None:
        """Offset and metadata to commit, None when they are committed already."""
        if not self.changed:
            return None
        offset = self.watermark
        commit = (offset, commit_metadata.encode(offset, self.done()))
        if commit == self._committed:
            self.changed = False
            return None
        return commit

    def committed(self, offset: int, metadata: str) -> None:
        """Note what Kafka has confirmed."""
        self._committed = (offset, metadata)

    def recommit(self) -> None:
        """What Kafka has is not what was committed, as far as is known."""
        self._committed = None
        self.changed = True

    def _new(self, events: Sequence[Held[P]], offsets: Sequence[int]) -> Sequence[Held[P]]:
        if not offsets:
            return events
        if offsets[0] < self.position:
            events = [event for event in events if event.offset >= self.position]
        if not self._done or self._done[0][0] > offsets[-1]:
            return events
        runs = iter(self._done)
        start, stop = next(runs)
        new = []
        for event in events:
            while event.offset >= stop:
                start, stop = next(runs, (offsets[-1] + 1, offsets[-1] + 2))
            if event.offset < start:
                new.append(event)
        return new

    def _fitting(self, events: Sequence[Held[P]], room: Room) -> tuple[list[Held[P]], int]:
        """The events that there is room for, and their size."""
        count = max(0, min(len(events), room.events, self.room))
        taken = list(events[:count])
        if taken:
            limit = self._limit(taken)
            if taken[-1].offset >= limit:
                taken = [event for event in taken if event.offset < limit]
        size = sum(map(SIZE_OF, taken))
        if size > room.bytes:
            while taken and size - taken[-1].size >= room.bytes:
                size -= taken.pop().size
        return taken, size

    def _limit(self, taken: Sequence[Held[P]]) -> int:
        lowest = next(iter(self.held), taken[0].offset if taken else None)
        return 2**63 if lowest is None else lowest + self._max_span

    def _move(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self.changed = True
        # What was acked before a fail-over and begins here need not even be read.
        while self._done and self._done[0][0] <= self.position:
            self.position = max(self.position, self._done.popleft()[1])
            self.changed = True
