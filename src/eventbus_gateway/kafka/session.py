"""One consumer without a group, used by one read after the other; everything here blocks.

A consumer reads ahead, so a read that goes on where the last one ended finds its records in memory. One that begins
elsewhere gives the consumer another assignment.

That nothing is there is only said when Kafka said so: the ends of all partitions are asked for, after the read began,
and reading goes on until they are reached.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.consumed import Consumed, Sharing
from eventbus_gateway.kafka.conversion import record_of
from eventbus_gateway.kafka.reading import Ask, Edge, Gone, Lost, Page
from eventbus_gateway.kafka.reading_errors import LEADER_MOVES, meaning

_SLICE_SECONDS = 0.2
"""How long a wait goes on at the most after nobody waits any more."""
_FILL_SECONDS = 0.005
"""A page that is not full, of a partition that has more, is waited for so long."""
_LEADER_SECONDS = 3.0
"""How long a partition may be without a leader before a read says so: elections mostly take less."""
_LEADER_PAUSE_SECONDS = 0.05
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})

# Without a group its coordinator does not matter; the client looks for it all the same.
_HARMLESS = frozenset({KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED})


class Session:
    """A consumer and the places that it stands at.

    Args:
        config: properties for librdkafka.
        timeout: seconds that Kafka has for each answer.
        clock: monotonic seconds.
    """

    def __init__(
        self, config: Mapping[str, Any], timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._consumer = Consumer({**config})
        self._timeout = timeout
        self._clock = clock
        self._topic: str | None = None
        self._positions: dict[int, int] = {}
        self._lost: list[Lost] = []
        self._sharing = Sharing()

    def read(self, ask: Ask, is_given_up: Callable[[], bool]) -> Page:
        """See ``EventReader.read``.

        Args:
            ask: what to read.
            is_given_up: whether nobody waits any more.

        Raises:
            KafkaException: Kafka does not answer, or the client cannot be used any more.
        """
        self._lost = []
        try:
            records = self._read(ask, self._clock() + ask.wait, is_given_up)
        except (GatewayError, KafkaException):
            self.rest()
            raise
        return Page(records, self._before(records), dict(self._positions), self._lost)

    def stands(self) -> tuple[str, Mapping[int, int]] | None:
        """Where a read can go on at once."""
        return (self._topic, dict(self._positions)) if self._topic is not None else None

    def rest(self) -> None:
        """Read ahead no more.

        Raises:
            KafkaException: the client cannot be used any more.
        """
        if self._topic is not None:
            self._topic = None
            self._consumer.unassign()

    def close(self) -> None:
        """Leave; may take long while Kafka is away."""
        self._consumer.close()

    def _read(self, ask: Ask, deadline: float, is_given_up: Callable[[], bool]) -> list[Consumed]:
        if self._continues(ask):
            records: list[Consumed] = []
            self._take(ask, records, 0.0)
            if records:
                return records
            ends = self._offsets(ask.topic, self._positions, OFFSET_END)
        else:
            ends = self._turn_to(ask)
            if ask.wait <= 0 and not self._is_behind(ends):
                return []
            self._assign(ask.topic)
        return self._waited(ask, ends, deadline, is_given_up)

    def _continues(self, ask: Ask) -> bool:
        return self._topic == ask.topic and self._positions == ask.start and ask.partitions <= len(self._positions)

    def _turn_to(self, ask: Ask) -> dict[int, int]:
        """Find where to begin; gives the ends of all partitions."""
        # The broker answers the last request first, which it may keep open for a while: the earlier that begins the
        # better.
        self.rest()
        partitions = self._partitions(ask.topic)
        ends = self._offsets(ask.topic, partitions, OFFSET_END)
        if ask.start is Edge.LATEST:
            self._positions = dict(ends)
        else:
            asked = ask.start if not isinstance(ask.start, Edge) else {}
            unsure = [p for p in partitions if asked.get(p, ends[p] + 1) > ends[p]]
            lows = self._offsets(ask.topic, unsure, OFFSET_BEGINNING)
            self._positions = {p: lows.get(p, asked.get(p, 0)) for p in partitions}
            beyond = [p for p, offset in asked.items() if offset > ends.get(p, 0)]
            self._lost += [Lost(p, asked[p], lows.get(p, 0), Gone.RECREATED) for p in beyond]
        return ends

    def _waited(
        self, ask: Ask, ends: Mapping[int, int], deadline: float, is_given_up: Callable[[], bool]
    ) -> list[Consumed]:
        records: list[Consumed] = []
        while not is_given_up():
            remaining = deadline - self._clock()
            if remaining <= 0 and not self._is_behind(ends):
                break
            if remaining <= -self._timeout:
                raise KafkaUnavailable("Kafka did not send in time what it has")
            seconds = min(remaining, _SLICE_SECONDS) if remaining > 0 else _SLICE_SECONDS
            self._take(ask, records, seconds)
            if records:
                if self._is_behind(ends):
                    self._take(ask, records, _FILL_SECONDS)
                break
        return records

    def _take(self, ask: Ask, records: list[Consumed], seconds: float) -> None:
        """Append what is in memory, or comes within so many seconds, as far as it fits."""
        held = sum([record.size for record in records])
        while len(records) < ask.limit and held < ask.max_bytes:
            fitting = (ask.max_bytes - held) * len(records) // held if held else 0
            messages = self._consumer.consume(min(ask.limit - len(records), fitting + 1), seconds)
            if not messages:
                break
            more = self._records(messages)
            held += sum([record.size for record in more])
            records += more
            seconds = 0.0

    def _records(self, messages: Iterable[Message]) -> list[Consumed]:
        records: list[Consumed] = []
        positions = self._positions
        out_of_range = False
        for message in messages:
            error = message.error()
            if error is None:
                pairs: Any = message.headers()
                record = record_of(message, self._sharing.headers(pairs))
                positions[record.partition] = record.offset + 1
                records.append(record)
            elif error.code() in _OUT_OF_RANGE:
                out_of_range = True
            elif error.code() == KafkaError._PARTITION_EOF:
                partition, offset = message.partition(), message.offset()
                if partition in positions and offset is not None and offset > positions[partition]:
                    positions[partition] = offset  # over transaction markers, which are no records
            elif error.code() not in _HARMLESS:
                raise meaning(error)
        if out_of_range:
            self._find_range()
        return records

    def _find_range(self) -> None:
        """Some position is not there any more: go on at the earliest record of its partition."""
        topic = self._topic
        if topic is None:
            return
        lows = self._offsets(topic, self._positions, OFFSET_BEGINNING)
        highs = self._offsets(topic, self._positions, OFFSET_END)
        for partition, asked in self._positions.items():
            if lows[partition] <= asked <= highs[partition]:
                continue
            reason = Gone.EXPIRED if asked < lows[partition] else Gone.RECREATED
            self._lost.append(Lost(partition, asked, lows[partition], reason))
            self._positions[partition] = lows[partition]
        self._assign(topic)

    def _before(self, records: list[Consumed]) -> dict[int, int]:
        """Where the records began: each partition at its first one."""
        start = dict(self._positions)
        for record in reversed(records):
            start[record.partition] = record.offset
        return start

    def _is_behind(self, ends: Mapping[int, int]) -> bool:
        positions = self._positions
        return any(positions[partition] < end for partition, end in ends.items())

    def _assign(self, topic: str) -> None:
        self._consumer.assign([TopicPartition(topic, *place) for place in self._positions.items()])
        self._topic = topic

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, self._timeout).topics.get(topic)
        if found is None:
            raise UnknownTopic
        if found.error is not None:
            raise meaning(found.error)
        if not found.partitions:
            raise KafkaUnavailable("The partitions of the topic are not known")
        return sorted(found.partitions)

    def _offsets(self, topic: str, partitions: Iterable[int], edge: int) -> dict[int, int]:
        """The edge of each partition; with these in place of times, it is one request per broker."""
        asked = [TopicPartition(topic, partition, edge) for partition in partitions]
        if not asked:
            return {}
        found = self._consumer.offsets_for_times(asked, timeout=self._timeout)
        patience = self._clock() + min(self._timeout, _LEADER_SECONDS)
        while any(place.error is not None and place.error.code() in LEADER_MOVES for place in found):
            if self._clock() >= patience:
                break
            # The client forgets where it looked for the leader only with the answer.
            time.sleep(_LEADER_PAUSE_SECONDS)
            found = self._consumer.offsets_for_times(asked, timeout=self._timeout)
        for place in found:
            if place.error is not None:
                raise meaning(place.error)
            if place.offset < 0:
                raise KafkaUnavailable("Kafka did not tell the ends of the topic")
        return {place.partition: place.offset for place in found}
