"""The events of one shard that were read and are not acked, and the turns in which its partitions hand them out."""

from collections import deque
from collections.abc import Container, Iterator, Sequence
from typing import Generic, NamedTuple

from eventbus_gateway.subscriptions.leased import HandOut, Leased, Order, Origin
from eventbus_gateway.subscriptions.partition import Partition
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.window import Held, P, Room
from eventbus_gateway.subscriptions.windows import Bounds, Commit, Windows

_TURN_EVENTS = 100
"""Events that a partition gives before the next one has its turn: as many as a receive asks for that does not say.

To hand out and to ack a few of each of many partitions takes half as long again as so many of one.
"""


class Progress(NamedTuple):
    """How far a partition is.

    Args:
        topic: name of the topic.
        partition: number of the partition.
        position: next offset to read.
        watermark: everything below it is done.
        unacked: events held.
        oldest_timestamp: of the unacked event with the lowest offset, milliseconds since the epoch; None without any.
    """

    topic: str
    partition: int
    position: int
    watermark: int
    unacked: int
    oldest_timestamp: int | None


class Supply(Generic[P]):
    """What the reader of a shard fills and its leases empty.

    It lives as long as one acquisition; a seek or a new owner begins another one.

    Args:
        shard: index of the shard within its subscription.
        acquisition: random number of 64 bits that no other state has, also none of another subscription: it is what
            tells their tokens apart.
        topics: names of the topics; references name them by their place here.
        bounds: what may be held.
        order: ``key`` hands no event out while an earlier one of its topic, partition and key is not acked,
            ``partition`` while an earlier one of its topic and partition is not.
    """

    def __init__(
        self, shard: int, acquisition: int, topics: Sequence[str], bounds: Bounds, order: Order = "none"
    ) -> None:
        self.shard = shard
        self.acquisition = acquisition
        self.windows: Windows[P] = Windows(bounds)
        # By index of the topic and number of the partition, as references name them.
        self.partitions: dict[tuple[int, int], Partition[P]] = {}
        self._topics = {topic: index for index, topic in enumerate(topics)}
        self._order = order
        # Partitions take turns; one that is in here can have lost its ready events to late acks.
        self._turns: deque[Partition[P]] = deque()

    def add(self, topic: str, partition: int, position: int, metadata: str | None) -> None:
        """Begin with a partition, also with one that appears later.

        Args:
            topic: one of the topics.
            partition: number of the partition.
            position: the committed offset, or where to begin when there is none.
            metadata: text found beside the committed offset; None where nothing is committed, so that the position
                becomes committable at once.
        """
        index = self._topics[topic]
        origin = Origin.of(self.shard, self.acquisition, index, topic, partition)
        window = self.windows.add(topic, partition, position, metadata)
        self.partitions[index, partition] = Partition(origin, window, self._order)

    def offer(self, topic: str, partition: int, events: Sequence[Held[P]], start: int, end: int) -> int:
        """Take in what was read of a partition; see ``Window.take``.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            events: matching events in ascending order of offset.
            start: first offset that was looked at.
            end: first offset that was not.

        Returns:
            The offset from which the partition is to be read on. Below ``end`` there was no room for the rest, below
            ``start`` something between was left out and nothing was taken.
        """
        source = self._source(topic, partition)
        self._queue(source, self.windows.take(source.window, events, start, end))
        return source.window.position

    def offer_some(
        self, topic: str, partition: int, events: Sequence[Held[P]], start: int, end: int, kept: Container[int]
    ) -> tuple[int, list[Leased[P]]]:
        """The same where some of the events are not to be handed out.

        Args:
            topic, partition, events, start, end: see ``offer``.
            kept: offsets of those events.

        Returns:
            What ``offer`` returns, and what stands for those of them that there was room for.
        """
        source = self._source(topic, partition)
        taken = self.windows.take(source.window, events, start, end)
        self._queue(source, [event for event in taken if event.offset not in kept])
        return source.window.position, [source.set_aside(event) for event in taken if event.offset in kept]

    def skip(self, topic: str, partition: int, start: int, end: int) -> int:
        """Take note of a stretch without matching events, or of one that retention has deleted; see ``offer``."""
        return self.offer(topic, partition, (), start, end)

    def room(self, topic: str, partition: int) -> Room:
        """What may be offered of a partition now."""
        return self.windows.room(self._source(topic, partition).window)

    def position(self, topic: str, partition: int) -> int:
        """The offset from which a partition is to be read."""
        return self._source(topic, partition).window.position

    def held(self, topic: str, partition: int) -> int:
        """How many unacked events a partition has."""
        return len(self._source(topic, partition).window.held)

    def has(self, topic: str, partition: int) -> bool:
        """Whether a partition was added."""
        return (self._topics[topic], partition) in self.partitions

    def has_ready(self) -> bool:
        """Whether an event can be handed out now."""
        return any(source.ready for source in self._turns)

    def at_hand(self, most: int, run: int = 1) -> int:
        """About how many events could be handed out now, ``most`` at the most; see ``Leases.hand_out`` for the run.

        What waits for its time behind a ready event of its lane is counted, though a run would stop there.
        """
        count = 0
        for source in self._turns:
            if count >= most:
                break
            count += source.at_hand(most - count, run)
        return count

    def hand_out(self, count: int, max_bytes: int, term: Term[Partition[P]], run: int = 1) -> list[HandOut[P]]:
        """Lease ready events: of a partition the lowest offsets first, the partitions in turn.

        Args:
            count: number of events at the most.
            max_bytes: no further event once the sizes of those before reach this.
            term: when the leases end.
            run: events of one lane that are handed out together at the most; see ``Leases.hand_out``.
        """
        out: list[HandOut[P]] = []
        while self._turns and count > 0 and max_bytes > 0:
            source = self._turns.popleft()
            source.in_turn = False
            turn, before = max(run, _TURN_EVENTS), count
            hand_outs = source.hand_out(min(count, turn), max_bytes, term, run)
            count -= sum([len(one.events) for one in hand_outs])
            max_bytes -= sum([one.size for one in hand_outs])
            # Whose turn the end of an answer cut short begins the next answer, unless it had this one for itself.
            self._line_up(source, first=bool(out) and before - count < turn)
            out += hand_outs
        return out

    def put_back(self, source: Partition[P], offset: int, deliveries: int) -> None:
        """Make an event ready once more; see ``Partition.put_back``."""
        source.put_back(offset, deliveries)
        self._line_up(source)

    def ack(self, source: Partition[P], *offsets: int) -> None:
        """Be done with events of a partition that were handed out."""
        source.acked(offsets, self.windows.ack(source.window, *offsets))
        self._line_up(source)

    def source_of(self, origin: Origin) -> Partition[P]:
        """The partition of events."""
        return self.partitions[origin.topic_index, origin.partition]

    def committable(self) -> list[Commit]:
        """The partitions whose position or metadata is not committed yet."""
        return self.windows.committable()

    def has_changed(self) -> bool:
        """Whether something may be committable."""
        return self.windows.has_changed()

    def recommit(self) -> None:
        """Have everything committed once more, changed or not."""
        self.windows.recommit()

    def committed(self, commits: Sequence[Commit]) -> None:
        """Note what Kafka has confirmed; what was acked in the meantime stays committable."""
        self.windows.committed(commits)

    def progress(self) -> Iterator[Progress]:
        """How far each partition is."""
        for topic, partition, window in self.windows:
            oldest = window.oldest
            timestamp = None if oldest is None else oldest.timestamp
            yield Progress(topic, partition, window.position, window.watermark, len(window.held), timestamp)

    def _source(self, topic: str, partition: int) -> Partition[P]:
        return self.partitions[self._topics[topic], partition]

    def _queue(self, source: Partition[P], events: Sequence[Held[P]]) -> None:
        if events:
            source.add(events)
            self._line_up(source)

    def _line_up(self, source: Partition[P], *, first: bool = False) -> None:
        if source.ready and not source.in_turn:
            source.in_turn = True
            if first:
                self._turns.appendleft(source)
            else:
                self._turns.append(source)
