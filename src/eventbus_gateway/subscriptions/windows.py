"""The windows of one shard under common bounds, and what of them is to be committed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple

from eventbus_gateway.errors import InternalError
from eventbus_gateway.subscriptions.window import MAX_EVENTS, MAX_SPAN, Held, P, Room, Window

# A partition may hold four times of what is still free. Alone it reaches four fifths of the bound, and however many
# are busy, some of it is always left for one that was quiet so far (dynamic thresholds, Choudhury and Hahne 1998).
_SHARE = 4


class Bounds(NamedTuple):
    """What a shard may hold.

    Args:
        max_events: unacked events of all partitions.
        max_bytes: sum of their sizes; one event may go beyond it.
        partition_events: unacked events of one partition.
        partition_span: offsets between watermark and position of one partition.
    """

    max_events: int
    max_bytes: int
    partition_events: int = MAX_EVENTS
    partition_span: int = MAX_SPAN


class Commit(NamedTuple):
    """A position to be committed for the subscription's group.

    Args:
        topic: name of the topic.
        partition: number of the partition.
        offset: everything below it is done.
        metadata: what is done above it, for the commit's metadata.
    """

    topic: str
    partition: int
    offset: int
    metadata: str


class Windows(Generic[P]):
    """Takes in events as long as there is room and knows what may be committed.

    Args:
        bounds: what may be held.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._windows: dict[tuple[str, int], Window[P]] = {}
        self._events = 0
        self._bytes = 0

    def __iter__(self) -> Iterator[tuple[str, int, Window[P]]]:
        return ((topic, partition, window) for (topic, partition), window in self._windows.items())

    def add(self, topic: str, partition: int, position: int, metadata: str | None) -> Window[P]:
        """Begin with a partition where it was committed; see ``Window`` for position and metadata.

        Raises:
            InternalError: the partition is there already, with events that would be forgotten.
        """
        if (topic, partition) in self._windows:
            raise InternalError("The partition has a window already.")
        window: Window[P] = Window(position, metadata, self._bounds.partition_events, self._bounds.partition_span)
        self._windows[topic, partition] = window
        return window

    def room(self, window: Window[P]) -> Room:
        """What a partition may take in now."""
        free = Room(self._bounds.max_events - self._events, self._bounds.max_bytes - self._bytes)
        if len(self._windows) > 1:
            free = Room(_share(free.events, len(window.held)), _share(free.bytes, window.bytes))
        return Room(max(0, min(free.events, window.room)), max(0, free.bytes))

    def take(self, window: Window[P], events: Sequence[Held[P]], start: int, end: int) -> list[Held[P]]:
        """Take in what was read of a partition; see ``Window.take``."""
        held = window.bytes
        taken = window.take(events, start, end, self.room(window))
        self._events += len(taken)
        self._bytes += window.bytes - held
        return taken

    def ack(self, window: Window[P], *offsets: int) -> list[Held[P]]:
        """Be done with events; gives those that were held."""
        held = window.bytes
        events = window.ack(*offsets)
        self._events -= len(events)
        self._bytes -= held - window.bytes
        return events

    def committable(self) -> list[Commit]:
        """The partitions whose position or metadata is not committed yet."""
        return [
            Commit(topic, partition, *commit)
            for (topic, partition), window in self._windows.items()
            if window.changed and (commit := window.commit()) is not None
        ]

    def has_changed(self) -> bool:
        """Whether something may be committable."""
        return any(window.changed for window in self._windows.values())

    def recommit(self) -> None:
        """Have everything committed once more, changed or not."""
        for window in self._windows.values():
            window.recommit()

    def committed(self, commits: Iterable[Commit]) -> None:
        """Note what Kafka has confirmed; what was acked in the meantime stays committable."""
        for topic, partition, offset, metadata in commits:
            self._windows[topic, partition].committed(offset, metadata)


def _share(free: int, held: int) -> int:
    """How much can be added until what is held is ``_SHARE`` times of what is free, at least one if that is so."""
    return -(-(_SHARE * free - held) // (_SHARE + 1))
