"""Positions of any number of groups, read and committed without a consumer for each.

A group that nobody has joined takes commits from anybody who may write to it (Kafka's "simple" groups), and standard
tools show its lag.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.admin_session import Answer, Answers
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.group_readers import GroupReaders
from eventbus_gateway.kafka.partitions import Ends, Partition, Position
from eventbus_gateway.kafka.reading_errors import COORDINATOR_MOVES, meaning, meaning_of
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SPEC: Any = OffsetSpec  # its methods have no annotations
_COMMITTED = IsolationLevel.READ_COMMITTED
_TOO_LARGE = frozenset({KafkaError.OFFSET_METADATA_TOO_LARGE})
_FORGETS_COORDINATOR_SECONDS = 2.0
"""How long a group must be left alone for the client to look for its coordinator again."""
_NO_RECORD = -1
"""What Kafka answers where no record is as young as asked for."""


class Positions:
    """Reads and moves the positions of groups that have no members, and looks up places in topics.

    Args:
        administration: the client; started and closed by whoever made it.
        kafka: how to reach Kafka.
        consume: bounds of the calls.
    """

    def __init__(self, administration: Administration, kafka: KafkaSettings, consume: ConsumeSettings) -> None:
        self._administration = administration
        self._seconds = consume.positions_timeout_seconds
        self._groups = GroupReaders(kafka, consume)
        self._slots = asyncio.Semaphore(consume.max_position_calls)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def committed(
        self, group: str, partitions: Collection[Partition]
    ) -> dict[Partition, Position | GatewayError]:
        """What a group has committed.

        Args:
            group: id of the group.
            partitions: where to look.

        Returns:
            A position for each partition that has one, and the reason for each that cannot be told; a partition
            without a commit is left out.

        Raises:
            PositionsUnavailable: the group may not be read.
            KafkaUnavailable: Kafka did not answer in time.
        """
        if not partitions:
            return {}
        found: dict[Partition, Position | GatewayError] = {}
        for place in await self._groups.committed(group, partitions):
            if place.error is None and place.offset >= 0:
                found[place.topic, place.partition] = Position(place.offset, place.metadata or "")
            elif place.error is not None and not isinstance(error := meaning(place.error), UnknownTopic):
                found[place.topic, place.partition] = error
        return found

    async def commit(
        self, group: str, positions: Mapping[Partition, Position]
    ) -> dict[Partition, GatewayError | None]:
        """Commit positions; calls for one group are carried out one after the other.

        Where the metadata is too large for the broker (``offset.metadata.max.bytes``; 4096 is refused already), the
        offset is committed without it: acked events may come again after a fail-over then, but none is lost.

        Args:
            group: id of the group.
            positions: what to commit.

        Returns:
            Per partition None where the position is stored, else why not: for example PositionsUnavailable where
            another program is a live member of the group.

        Raises:
            PositionsUnavailable: the group may not be moved.
            KafkaUnavailable: Kafka did not answer in time; the positions may or may not be stored.
        """
        if not positions:
            return {}
        turn = self._turns.setdefault(group, asyncio.Lock())
        # Shielded: the next commit of the group must wait for this one also when nobody waits for this one any more.
        return await asyncio.shield(asyncio.ensure_future(self._commit_in_turn(turn, group, positions)))

    async def delete_group(self, group: str) -> None:
        """Forget all positions of a group; one that does not exist is fine.

        Raises:
            PositionsUnavailable: the group may not be deleted, or another program is a live member of it.
            KafkaUnavailable: Kafka did not answer in time.
        """

        def begin(client: AdminClient, seconds: float) -> Mapping[str, Answer[None]]:
            return client.delete_consumer_groups([group], request_timeout=seconds)

        async with self._slot():
            answers = await self._administration.call_coordinator(begin, self._seconds)
        for outcome in answers.values():
            if outcome is not None and outcome.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise meaning_of(outcome)

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, Ends | GatewayError]:
        """The earliest and the last offset of partitions, as readers of committed records see them.

        Args:
            partitions: where to look.

        Returns:
            For each its ends, or why they cannot be told.

        Raises:
            KafkaUnavailable: Kafka did not answer in time at all; it can also be the answer for some partitions.
        """
        low, high = await asyncio.gather(self._offsets(partitions, _SPEC.earliest()), self.highs(partitions))
        return {place: _ends(first, high[place]) for place, first in low.items()}

    async def highs(self, partitions: Collection[Partition]) -> dict[Partition, int | GatewayError]:
        """The last offset of partitions, as readers of committed records see it: one request per broker.

        Args:
            partitions: where to look.

        Returns:
            For each its end, or why it cannot be told.

        Raises:
            KafkaUnavailable: Kafka did not answer in time.
        """
        return await self._offsets(partitions, _SPEC.latest())

    async def at_time(self, partitions: Collection[Partition], timestamp: int) -> dict[Partition, int | GatewayError]:
        """The first offset whose record is not older than a time; the end where there is none.

        Args:
            partitions: where to look.
            timestamp: milliseconds since the epoch.

        Returns:
            For each its offset, or why it cannot be told.

        Raises:
            KafkaUnavailable: Kafka did not answer in time.
        """
        # The end first: what is stored between the two answers must not be passed over.
        last = await self.highs(partitions)
        found = await self._offsets(partitions, _SPEC.for_timestamp(timestamp))
        return {place: last[place] if offset == _NO_RECORD else offset for place, offset in found.items()}

    async def _offsets(
        self, partitions: Collection[Partition], spec: OffsetSpec
    ) -> dict[Partition, int | GatewayError]:
        if not partitions:
            return {}
        asked = {TopicPartition(*place): spec for place in partitions}

        def begin(client: AdminClient, seconds: float) -> Mapping[TopicPartition, Answer[ListOffsetsResultInfo]]:
            return client.list_offsets(asked, isolation_level=_COMMITTED, request_timeout=seconds)

        async with self._slot():
            answers = await self._administration.call(begin, self._seconds)
        return {
            (place.topic, place.partition): meaning_of(found) if isinstance(found, KafkaException) else found.offset
            for place, found in answers.items()
        }

    async def _commit_in_turn(
        self, turn: asyncio.Lock, group: str, positions: Mapping[Partition, Position]
    ) -> dict[Partition, GatewayError | None]:
        async with turn:
            deadline = asyncio.get_running_loop().time() + self._seconds
            outcomes = await self._store(group, positions)
            while again := _with(outcomes, COORDINATOR_MOVES):
                await asyncio.sleep(_FORGETS_COORDINATOR_SECONDS)
                if asyncio.get_running_loop().time() >= deadline:
                    break
                outcomes |= await self._store(group, {place: positions[place] for place in again})
            if too_large := _with(outcomes, _TOO_LARGE):
                logger.warning("the broker refuses metadata of this size: %d positions go without it", len(too_large))
                outcomes |= await self._store(
                    group, {place: Position(positions[place].offset) for place in too_large}
                )
            return {place: None if error is None else meaning(error) for place, error in outcomes.items()}

    async def _store(self, group: str, positions: Mapping[Partition, Position]) -> dict[Partition, KafkaError | None]:
        places = [TopicPartition(*place, offset, metadata) for place, (offset, metadata) in positions.items()]
        request = ConsumerGroupTopicPartitions(group, places)

        def begin(client: AdminClient, seconds: float) -> Mapping[str, Answer[ConsumerGroupTopicPartitions]]:
            return client.alter_consumer_group_offsets([request], request_timeout=seconds)

        async with self._slot():
            answer = _only(await self._administration.call_coordinator(begin, self._seconds))
        return {(place.topic, place.partition): place.error for place in answer.topic_partitions or ()}

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise KafkaUnavailable("Too many positions wait for Kafka", retry_after=1.0) from None
        try:
            yield
        finally:
            self._slots.release()


def _with(outcomes: Mapping[Partition, KafkaError | None], codes: frozenset[int]) -> list[Partition]:
    return [place for place, error in outcomes.items() if error is not None and error.code() in codes]


def _only(answers: Answers[str, T]) -> T:
    (answer,) = answers.values()
    if isinstance(answer, KafkaException):
        raise meaning_of(answer)
    return answer


def _ends(low: int | GatewayError, high: int | GatewayError) -> Ends | GatewayError:
    if isinstance(low, GatewayError):
        return low
    return high if isinstance(high, GatewayError) else Ends(low, max(low, high))
