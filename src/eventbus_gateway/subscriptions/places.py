"""Where subscriptions stand and where they shall go on, as offsets of their groups."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, TopicUnreadable, UnknownTopic
from eventbus_gateway.kafka.partitions import Ends, Partition, Position
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.subscriptions.instants import milliseconds
from eventbus_gateway.subscriptions.resource import Subscription

T = TypeVar("T")

_PAUSES = (0.2, 0.5, 1.0)
"""Seconds between attempts: a client hears late of a topic that was just created, and elections take a moment."""

DEAD_LETTER_PARTITION = 0
"""The only one that a topic for dead letters has."""


class TopicMetadata(Protocol):
    """What Kafka says about a topic."""

    @property
    def partitions(self) -> int: ...


class Directory(Protocol):
    """Where topics are looked up; ``Cluster`` is one."""

    def topics(self) -> Mapping[str, TopicMetadata]:
        """All topics that callers may name, as they were last read."""
        ...

    async def refresh(self) -> bool:
        """Read them now; says whether that worked."""
        ...


class Places:
    """Finds places in topics, and what groups have committed.

    Args:
        positions: reads and moves positions.
        directory: knows how many partitions topics have.
        group_prefix: of all consumer groups.
    """

    def __init__(self, positions: Positions, directory: Directory, group_prefix: str) -> None:
        self._positions = positions
        self._directory = directory
        self._group_prefix = group_prefix

    async def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has at this moment.

        What was read a while ago will not do: a partition that it lacks would be read from its beginning.

        Raises:
            KafkaUnavailable: nobody can tell.
        """
        if not await self._directory.refresh():
            raise KafkaUnavailable("Kafka does not say which topics there are", retry_after=1.0)
        return {name: topic.partitions for name, topic in self._directory.topics().items()}

    async def at(self, place: str, partitions: Collection[Partition]) -> dict[Partition, Position]:
        """The positions of a place in time.

        Args:
            place: ``earliest``, ``latest`` or a timestamp.
            partitions: where.

        Raises:
            TopicUnreadable, KafkaUnavailable: it cannot be told for all of them.
        """
        if place in {"earliest", "latest"}:
            ends = await self.ends(partitions)
            return {at: Position(end.low if place == "earliest" else end.high) for at, end in ends.items()}
        # What is before 1970 would be a word to Kafka, not a time.
        moment = max(0, milliseconds(place))
        found = await _told(lambda: self._positions.at_time(partitions, moment))
        return {at: Position(offset) for at, offset in found.items()}

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, Ends]:
        """The first and the last offset of partitions.

        Raises:
            TopicUnreadable, KafkaUnavailable: they cannot be told for all of them.
        """
        return await _told(lambda: self._positions.ends(partitions))

    async def dead_letters_left(self, subscription: Subscription) -> Ends:
        """Where the dead letters are that did not come back yet: from what its group has committed to the end.

        Raises:
            PositionsUnavailable, TopicUnreadable, KafkaUnavailable: it cannot be told.
        """
        place = dead_letters_of(subscription)
        low, high = (await self.ends([place]))[place]
        done = (await self.committed(subscription, [place])).get(place, Position(0)).offset
        # A topic that ends before the position was deleted and created anew.
        return Ends(max(done, low) if done <= high else low, high)

    async def committed(
        self, subscription: Subscription, partitions: Collection[Partition]
    ) -> dict[Partition, Position]:
        """What the subscription's group has committed; a partition without a commit is left out.

        Raises:
            PositionsUnavailable, KafkaUnavailable: it cannot be told for all of them.
        """
        return _all(await self._positions.committed(subscription.group(self._group_prefix), partitions))

    async def commit(self, subscription: Subscription, positions: Mapping[Partition, Position]) -> None:
        """Move the subscription's group.

        Raises:
            PositionsUnavailable, KafkaUnavailable: not all partitions, or perhaps none, were moved.
        """
        outcomes = await self._positions.commit(subscription.group(self._group_prefix), positions)
        for error in outcomes.values():
            if error is not None:
                raise _passing(error)

    async def forget(self, subscription: Subscription) -> None:
        """Delete the subscription's group.

        Raises:
            PositionsUnavailable, KafkaUnavailable: it may still be there.
        """
        await self._positions.delete_group(subscription.group(self._group_prefix))


def dead_letters_of(subscription: Subscription) -> Partition:
    """Where the subscription's dead letters are."""
    return subscription.dead_letter_topic, DEAD_LETTER_PARTITION


async def _told(ask: Callable[[], Awaitable[Mapping[Partition, T | GatewayError]]]) -> dict[Partition, T]:
    for pause in _PAUSES:
        try:
            return _all(await ask())
        except TopicUnreadable:
            await asyncio.sleep(pause)
    return _all(await ask())


def _all(found: Mapping[Partition, T | GatewayError]) -> dict[Partition, T]:
    places: dict[Partition, T] = {}
    for place, each in found.items():
        if isinstance(each, GatewayError):
            raise _passing(each)
        places[place] = each
    return places


def _passing(error: GatewayError) -> GatewayError:
    if isinstance(error, UnknownTopic):
        # It was there a moment ago; one that was just created is not known to every broker yet.
        return TopicUnreadable("A topic is not there yet, or not any more", retry_after=1.0)
    return error
