"""Which topics there are, remembered so that a publish does not have to ask Kafka."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from eventbus_gateway.errors import KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.settings import KafkaSettings

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""Kafka's own rule (org.apache.kafka.common.internals.Topic)."""


class TopicInfo(NamedTuple):
    """What Kafka says about a topic.

    Args:
        name: its name.
        partitions: how many it has.
    """

    name: str
    partitions: int


class TopicSource(Protocol):
    """Where topics are read; ``KafkaProducer`` is one."""

    def status(self) -> ProducerStatus:
        """Whether Kafka can be reached."""
        ...

    async def topics(self) -> Mapping[str, int]:
        """All topics with their number of partitions.

        Raises:
            KafkaUnavailable: they cannot be read.
        """
        ...


class Cluster:
    """The topics as they were last read; during an outage they stay as they are.

    It reads through the producer: one set of connections, and each reading also renews what the producer believes
    about leaders and permissions, so a first publish is as fast as the next.

    Args:
        settings: how often to read.
        source: where to read.
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: KafkaSettings, source: TopicSource, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._topics: Mapping[str, TopicInfo] = MappingProxyType({})
        self._read_at: float | None = None
        self._tried_at = float("-inf")
        self._current = False
        self._reading: asyncio.Task[bool] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the topics and go on reading them in the background; Kafka need not be reachable."""
        await self.refresh()
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh_forever())

    async def close(self) -> None:
        """Read no more."""
        for task in (self._refreshing, self._reading):
            if task is not None:
                task.cancel()

    def topics(self) -> Mapping[str, TopicInfo]:
        """All topics that callers may name, as they were last read."""
        return self._topics

    def known(self, name: str) -> TopicInfo | None:
        """A topic as far as it is known without asking Kafka."""
        return self._topics.get(name)

    def age(self) -> float | None:
        """Seconds since the topics were read, None before the first time."""
        return None if self._read_at is None else self._clock() - self._read_at

    async def lookup(self, name: str) -> TopicInfo:
        """A topic, asking Kafka where it is not known: once per recheck interval for all callers together.

        Raises:
            UnknownTopic: it does not exist, its name is not legal, or it is internal (leading underscore).
            KafkaUnavailable: it is not known and the topics cannot be read.
        """
        found = self._topics.get(name)
        if found is not None:
            return found
        if not is_public(name):
            raise UnknownTopic
        if self._reading is not None or self._may_ask_again():
            reading = self._begin()
            if self._source.status().up:  # else nobody waits; the reading goes on and finds the end of the outage
                await asyncio.shield(reading)
            found = self._topics.get(name)
            if found is not None:
                return found
        if not self._current or not self._source.status().up:
            raise KafkaUnavailable(
                "The topic is not known and Kafka cannot be asked", retry_after=self._settings.probe_seconds
            )
        raise UnknownTopic

    def _may_ask_again(self) -> bool:
        return self._clock() - self._tried_at >= self._settings.unknown_topic_recheck_seconds

    async def refresh(self) -> bool:
        """Read the topics now, together with whoever else waits for it; says whether that worked."""
        # Shielded: a caller who gives up must not take the reading away from the others.
        return await asyncio.shield(self._begin())

    def _begin(self) -> "asyncio.Task[bool]":
        if self._reading is None:
            self._tried_at = self._clock()
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return self._reading

    async def _read(self) -> bool:
        try:
            found = await self._source.topics()
        except KafkaUnavailable:
            self._current = False
            return False
        else:
            topics = {name: TopicInfo(name, partitions) for name, partitions in found.items() if is_public(name)}
            self._topics = MappingProxyType(topics)
            self._read_at = self._clock()
            self._current = True
            return True
        finally:
            self._reading = None

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.metadata_refresh_seconds)
            await self.refresh()


def is_public(name: str) -> bool:
    """Whether callers may name a topic like this; a leading underscore marks internal ones."""
    return _LEGAL.fullmatch(name) is not None and name not in {".", ".."} and not name.startswith("_")
