"""Kafka as far as publishing needs it, in memory: the fake for tests that are not about Kafka."""

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from eventbus_gateway.errors import GatewayError, UnknownTopic
from eventbus_gateway.kafka.records import Outcome, Record, Stored

Judge = Callable[[str, int, Record], Outcome | None]


class MemoryTopic(NamedTuple):
    """A topic's metadata.

    Args:
        name: the topic.
        partitions: how many it has.
    """

    name: str
    partitions: int


class MemoryKafka:
    """Keeps topics and their records in lists; implements both what topics are looked up in and the record sink.

    Args:
        topics: partitions by topic name.
        judge: may decide an outcome by topic, place in the request and record; None stores the record.
        timestamp: milliseconds since the epoch that every record gets.
    """

    def __init__(
        self, topics: Mapping[str, int], judge: Judge | None = None, timestamp: int = 1_767_225_600_000
    ) -> None:
        self._topics = {name: MemoryTopic(name, partitions) for name, partitions in topics.items()}
        self._timestamp = timestamp
        self.judge = judge
        self.refusal: GatewayError | None = None
        self.held: list[asyncio.Future[None]] | None = None
        self.listeners: list[Callable[[], None]] = []
        """Told when records were stored."""
        self.logs: dict[tuple[str, int], list[Record]] = {}

    def topics(self) -> Mapping[str, MemoryTopic]:
        """All topics."""
        return MappingProxyType(self._topics)

    def known(self, name: str) -> MemoryTopic | None:
        """A topic, None where there is none."""
        return self._topics.get(name)

    async def lookup(self, name: str) -> MemoryTopic:
        """A topic.

        Raises:
            UnknownTopic: there is none.
        """
        topic = self._topics.get(name)
        if topic is None:
            raise UnknownTopic("The topic does not exist.")
        return topic

    def records(self, topic: str) -> list[Record]:
        """Everything stored in a topic, partition by partition."""
        partitions = range(self._topics[topic].partitions)
        return [record for partition in partitions for record in self.logs.get((topic, partition), [])]

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        """Store records, or do what ``refusal``, ``judge`` and ``held`` say."""
        if self.refusal is not None:
            raise self.refusal
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        outcomes = [self._store(topic, index, record) for index, record in enumerate(records)]
        for listener in self.listeners:
            listener()
        if self.held is None:
            future.set_result(outcomes)
        else:
            gate: asyncio.Future[None] = loop.create_future()
            gate.add_done_callback(lambda _: future.set_result(outcomes))
            self.held.append(gate)
        return future

    def _store(self, topic: str, index: int, record: Record) -> Outcome:
        decided = self.judge(topic, index, record) if self.judge is not None else None
        if decided is not None:
            return decided
        # Any stable spread will do here; which partition Kafka's clients choose is tested against Kafka.
        partition = zlib.crc32(record.key or b"") % self._topics[topic].partitions
        log = self.logs.setdefault((topic, partition), [])
        log.append(record)
        return Stored(partition, len(log) - 1, self._timestamp)
