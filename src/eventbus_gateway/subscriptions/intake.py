"""From records that were read to the events of a shard."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.subscriptions.forms import SchemaNeeded
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.letters import LetterTopic
from eventbus_gateway.subscriptions.outgoing import Opened, Outgoing
from eventbus_gateway.subscriptions.patterns import Pattern
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.window import Event

_ENOUGH_ROOM = 500
"""A partition is read on while there is room for so many events, or for as many as it holds. Feeds give that many at
once; what does not fit has to be read again, which costs more than a stop that comes a little early."""
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 15.0


class Source(Protocol):
    """What brings the records; ``kafka.feeds.Feed`` is one."""

    def resume(self, topic: str, partition: int, offset: int) -> None:
        """Go on after a stop."""
        ...


class Lost(NamedTuple):
    """Offsets that retention deleted before they were read.

    Args:
        start: the first of them.
        end: the first one after them.
    """

    start: int
    end: int


class Intake:
    """Takes in what matches, as far as there is room; the sink of a shard's feed.

    Args:
        supply: where events go.
        wanted: whether a record is an event that is wanted, None for all; may raise SchemaNeeded.
        outgoing_of: what makes events of a topic's records, by its name.
        letters: where dead letters are: events that matched before.
        progressed: told whenever something was taken in.
        restart: told when a topic begins anew below what was read already: topic, partition, its earliest offset.
        keep: given the dead letters that a redrive does not want.
    """

    def __init__(
        self,
        supply: Supply[Consumed],
        wanted: Callable[[Opened], bool] | None,
        outgoing_of: Callable[[str], Outgoing],
        letters: LetterTopic,
        progressed: Callable[[], None],
        restart: Callable[[str, int, int], None],
        keep: Callable[[Sequence[Leased[Consumed]]], None],
    ) -> None:
        self._keep = keep
        self._redriven: Pattern | None = None
        self._supply = supply
        self._wanted = wanted
        self._outgoing_of = outgoing_of
        self._letters = letters
        self._progressed = progressed
        self._restart = restart
        self._full: set[Partition] = set()
        # The record that a partition stands before until its schema is there, with what was fetched for it.
        self._prepared: dict[Partition, Opened] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._letters_until: dict[int, int] = {}
        self.source: Source | None = None
        """Brings the records, once it is open."""
        self.losses: dict[Partition, Lost] = {}
        """The last loss of each partition that had one."""
        self.troubles: dict[Partition, GatewayError] = {}
        """Why partitions cannot be read, or their records not be looked at, now."""

    def allow_letters(self, until: Mapping[int, int], wanted: Pattern | None) -> None:
        """Take dead letters in.

        Args:
            until: up to these offsets, by partition.
            wanted: those that match; None for all.
        """
        self._letters_until.update(until)
        self._redriven = wanted

    def letters_until(self, partition: int) -> int:
        """The first dead letter of a partition that is none of ours yet."""
        return self._letters_until.get(partition, 0)

    def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
        """See ``kafka.feeds.Sink.take``."""
        place = (topic, partition)
        start = self._supply.position(topic, partition)
        is_letters = topic == self._letters.name
        end = min(next_offset, max(start, self.letters_until(partition))) if is_letters else next_offset
        if is_letters:
            position, seen = self._letters_taken(place, records, start, end)
        else:
            events, seen = self._events(place, records, end)
            position = self._supply.offer(topic, partition, events, start, seen)
        self._progressed()
        if seen < end:
            return False  # a schema is being fetched
        if position < end or not self._has_room(place):
            self._full.add(place)
            return False
        return end == next_offset

    def lost(self, topic: str, partition: int, asked: int, earliest: int) -> None:
        """See ``kafka.feeds.Sink.lost``."""
        if earliest < asked:
            self._restart(topic, partition, earliest)
            return
        self.losses[topic, partition] = Lost(asked, earliest)
        self._supply.skip(topic, partition, self._supply.position(topic, partition), earliest)
        self._progressed()

    def troubled(self, topic: str, partition: int, error: GatewayError | None) -> None:
        """See ``kafka.feeds.Sink.troubled``."""
        if error is None:
            self.troubles.pop((topic, partition), None)
        else:
            self.troubles[topic, partition] = error

    def go_on(self) -> None:
        """Read those partitions on that were full and have room again."""
        if not self._full or self.source is None:
            return
        for place in list(self._full):
            if self._has_room(place):
                self._full.discard(place)
                self.source.resume(*place, self._supply.position(*place))

    def close(self) -> None:
        """Fetch no more schemas."""
        for task in self._fetches:
            task.cancel()

    def _has_room(self, place: Partition) -> bool:
        room = self._supply.room(*place)
        return room.bytes > 0 and room.events >= max(1, min(_ENOUGH_ROOM, self._supply.held(*place)))

    def _events(self, place: Partition, records: Sequence[Consumed], end: int) -> tuple[Sequence[Consumed], int]:
        """The wanted events below an offset, and how far was looked."""
        if self._wanted is None:
            return records, end
        outgoing = self._outgoing_of(place[0])
        events: list[Consumed] = []
        for record in records:
            opened = self._opened(place, outgoing, record)
            try:
                if self._wanted(opened):
                    events.append(record)
            except SchemaNeeded as needed:
                self._fetch(place, opened, needed)
                return events, record.offset
        return events, end

    def _letters_taken(self, place: Partition, records: Sequence[Consumed], start: int, end: int) -> tuple[int, int]:
        """Take dead letters in: the position from which to read on, and how far was looked."""
        events: list[Event[Consumed]] = []
        kept: set[int] = set()
        for record in records:
            event = self._letters.redriven(record) if record.offset < end else None
            if event is None:
                continue
            if self._redriven is None:
                events.append(_event(record, event))
                continue
            opened = self._opened(place, self._outgoing_of(event.topic), event)
            try:
                comes_back = opened.matches(self._redriven)
            except SchemaNeeded as needed:
                self._fetch(place, opened, needed)
                end = record.offset
                break
            events.append(_event(record, event if comes_back else record))
            if not comes_back:
                kept.add(record.offset)
        position, aside = self._supply.offer_some(*place, events, start, end, kept)
        self._keep(aside)
        return position, end

    def _opened(self, place: Partition, outgoing: Outgoing, record: Consumed) -> Opened:
        prepared = self._prepared.get(place)
        if prepared is not None:
            del self._prepared[place]
            if prepared.record == record:
                return prepared
        return outgoing.open(record)

    def _fetch(self, place: Partition, opened: Opened, needed: SchemaNeeded) -> None:
        self._prepared[place] = opened
        task = asyncio.get_running_loop().create_task(self._prepare(place, opened, needed))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _prepare(self, place: Partition, opened: Opened, needed: SchemaNeeded) -> None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                await opened.prepare(needed)
                break
            except GatewayError as error:
                # Order comes first: what stands behind the record waits with it.
                self.troubles[place] = error
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
        self.troubles.pop(place, None)
        if self.source is not None:
            self.source.resume(*place, self._supply.position(*place))


def _event(record: Consumed, payload: Consumed) -> Event[Consumed]:
    """An event at the place of a record that has it inside."""
    return Event(record.offset, record.timestamp, record.key, record.size, payload)
