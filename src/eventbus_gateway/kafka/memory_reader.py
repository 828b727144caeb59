"""Reads what ``MemoryKafka`` keeps: the fake for tests that are not about Kafka."""

import asyncio
from collections.abc import Mapping

from eventbus_gateway.errors import GatewayError, UnknownTopic
from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.reading import Ask, Edge, Gone, Lost, Page


class MemoryReader:
    """Reads topics in memory; see ``EventReader``.

    Args:
        kafka: what is read.
        timestamp: milliseconds since the epoch that every record has.
    """

    def __init__(self, kafka: MemoryKafka, timestamp: int = 1_767_225_600_000) -> None:
        self._kafka = kafka
        self._timestamp = timestamp
        self._changes: set[asyncio.Event] = set()
        self.lows: dict[tuple[str, int], int] = {}
        """The earliest offset of partitions whose beginning is gone."""
        self.refusal: GatewayError | None = None
        """Raised by every read."""
        self.asks: list[Ask] = []
        """Every read so far."""
        kafka.listeners.append(self._stored)

    @property
    def waiting(self) -> int:
        """Reads that wait for a record."""
        return len(self._changes)

    async def read(self, ask: Ask) -> Page:
        """See ``EventReader.read``."""
        self.asks.append(ask)
        partitions = self._partitions(ask.topic)
        lost: list[Lost] = []
        start = {partition: self._start(ask, partition, lost) for partition in range(partitions)}
        if not isinstance(ask.start, Edge):
            lost += [Lost(p, at, 0, Gone.RECREATED) for p, at in ask.start.items() if p >= partitions and at]
        changed = asyncio.Event()
        self._changes.add(changed)
        try:
            async with asyncio.timeout(ask.wait if ask.wait > 0 else None):
                while not (page := self._page(ask, start, lost)).records and ask.wait > 0:
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return self._page(ask, start, lost)
        finally:
            self._changes.discard(changed)
        return page

    async def at_time(self, topic: str, partitions: int, timestamp: int) -> Mapping[int, int]:
        """See ``EventReader.at_time``."""
        self._partitions(topic)
        is_later = timestamp > self._timestamp
        return {p: self._end(topic, p) if is_later else self._low(topic, p) for p in range(partitions)}

    def _stored(self) -> None:
        for changed in self._changes:
            changed.set()

    def _partitions(self, topic: str) -> int:
        if self.refusal is not None:
            raise self.refusal
        found = self._kafka.known(topic)
        if found is None:
            raise UnknownTopic
        return found.partitions

    def _low(self, topic: str, partition: int) -> int:
        return self.lows.get((topic, partition), 0)

    def _end(self, topic: str, partition: int) -> int:
        return len(self._kafka.logs.get((topic, partition), ()))

    def _start(self, ask: Ask, partition: int, lost: list[Lost]) -> int:
        low, end = self._low(ask.topic, partition), self._end(ask.topic, partition)
        if ask.start is Edge.LATEST:
            return end
        asked = ask.start.get(partition) if not isinstance(ask.start, Edge) else None
        if asked is None or low <= asked <= end:
            return low if asked is None else asked
        lost.append(Lost(partition, asked, low, Gone.EXPIRED if asked < low else Gone.RECREATED))
        return low

    def _page(self, ask: Ask, start: Mapping[int, int], lost: list[Lost]) -> Page:
        records: list[Consumed] = []
        positions = dict(start)
        held = 0
        for partition, offset in start.items():
            for record in self._kafka.logs.get((ask.topic, partition), ())[offset:]:
                if len(records) >= ask.limit or held >= ask.max_bytes:
                    return Page(records, start, positions, lost)
                held += len(record.value)
                place = (ask.topic, partition, positions[partition], self._timestamp)
                records.append(Consumed.of(*place, record.key, record.value, Headers.of(record.headers)))
                positions[partition] += 1
        return Page(records, start, positions, lost)
