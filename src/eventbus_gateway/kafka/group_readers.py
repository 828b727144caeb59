"""Reads what groups have committed, with a short-lived consumer for each reading.

``AdminClient.list_consumer_group_offsets`` would need none, but it ends the process with a segmentation fault when
the group's coordinator moves or is new (librdkafka issue 5040, present in 2.16).
"""

import asyncio
import contextlib
import time
from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.background import in_background
from eventbus_gateway.kafka.client import logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.reading_errors import COORDINATOR_MOVES, meaning_of
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings

_AGAIN = COORDINATOR_MOVES | {KafkaError._TIMED_OUT, KafkaError._WAIT_COORD}
_PATIENCE_SECONDS = 0.5
_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 1.0
"""The client gives up by itself; this much later nobody waits for it any more."""


class GroupReaders:
    """As many consumers at the same time as the settings allow; none while nobody asks.

    Args:
        kafka: how to reach Kafka.
        consume: bounds of the calls.
    """

    def __init__(self, kafka: KafkaSettings, consume: ConsumeSettings) -> None:
        self._config: dict[str, Any] = {
            **client_config(kafka),
            "enable.auto.commit": False,
            "error_cb": lambda error: None,
        }
        self._seconds = consume.positions_timeout_seconds
        self._slots = asyncio.Semaphore(consume.max_group_readers)

    async def committed(self, group: str, partitions: Collection[Partition]) -> list[TopicPartition]:
        """What a group has committed, as the client says it.

        Raises:
            GatewayError: what Kafka's error means, or KafkaUnavailable where there is no answer in time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[TopicPartition]] = loop.create_future()
        places = [TopicPartition(*place) for place in partitions]
        try:
            async with asyncio.timeout(self._seconds + _GRACE_SECONDS):
                await self._slots.acquire()
                # The slot is free again only when the consumer is gone: closing one can block for long.
                reading = in_background("kafka-committed", lambda: self._read(group, places, loop, answer))
                reading.add_done_callback(self._released)
                return await answer
        except TimeoutError:
            raise KafkaUnavailable(retry_after=1.0) from None
        except KafkaException as error:
            raise meaning_of(error) from None

    def _released(self, reading: asyncio.Future[None]) -> None:
        self._slots.release()

    def _read(
        self,
        group: str,
        places: list[TopicPartition],
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[list[TopicPartition]],
    ) -> None:
        def settle(found: list[TopicPartition], error: KafkaException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found)

        def tell(found: list[TopicPartition], error: KafkaException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(settle, found, error)

        consumer = None
        try:
            consumer = Consumer({**self._config, "group.id": group}, logger=logger)
            tell(_committed(consumer, places, time.monotonic() + self._seconds), None)
        except KafkaException as error:
            tell([], error)
        finally:
            # The answer does not wait for this.
            if consumer is not None:
                consumer.close()


def _committed(consumer: Consumer, places: list[TopicPartition], deadline: float) -> list[TopicPartition]:
    """Ask until there is an answer."""
    while True:
        try:
            return consumer.committed(places, _PATIENCE_SECONDS)
        except KafkaException as error:
            # A missing permission for the group is only told to those who poll; whoever asks waits in vain.
            message = consumer.poll(_PAUSE_SECONDS)
            reason = message.error() if message is not None else None
            if reason is not None and reason.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise KafkaException(reason) from None
            if error.args[0].code() not in _AGAIN or time.monotonic() >= deadline:
                raise
