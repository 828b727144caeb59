"""Positions on the embedded Kafka of ``eventbus dev``, which cannot delete groups or look up times."""

import time
from collections.abc import Collection, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from eventbus_gateway.errors import GatewayError, KafkaUnavailable
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.background import in_background
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.partitions import Ends, Partition, Position
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings

_BATCH = 500


class EmbeddedPositions(Positions):
    """The same promises: times are found by reading, and a group that was deleted begins a new life.

    It must never ask the mock cluster to delete a group: librdkafka answers that it cannot, and its memory is damaged
    afterwards (2.16; the process aborts when the client is destroyed).

    Args:
        administration: the client; started and closed by whoever made it.
        kafka: where the embedded Kafka is.
        consume: bounds of the calls.
    """

    def __init__(self, administration: Administration, kafka: KafkaSettings, consume: ConsumeSettings) -> None:
        super().__init__(administration, kafka, consume)
        self._config = {**client_config(kafka), "group.id": "eventbus.times", "enable.auto.commit": False}
        self._read_seconds = consume.positions_timeout_seconds
        # One entry per deleted group: they last as long as the mock cluster, which forgets no group either.
        self._lives: dict[str, int] = {}

    async def committed(
        self, group: str, partitions: Collection[Partition]
    ) -> dict[Partition, Position | GatewayError]:
        """See ``Positions.committed``."""
        return await super().committed(self._present(group), partitions)

    async def commit(
        self, group: str, positions: Mapping[Partition, Position]
    ) -> dict[Partition, GatewayError | None]:
        """See ``Positions.commit``."""
        return await super().commit(self._present(group), positions)

    async def delete_group(self, group: str) -> None:
        """See ``Positions.delete_group``."""
        self._lives[group] = self._lives.get(group, 0) + 1

    async def at_time(self, partitions: Collection[Partition], timestamp: int) -> dict[Partition, int | GatewayError]:
        """See ``Positions.at_time``: reads at most the 5 MiB per partition that are kept."""
        ends = await self.ends(partitions)
        found: dict[Partition, int | GatewayError] = {}
        to_read: dict[Partition, Ends] = {}
        for place, span in ends.items():
            if isinstance(span, Ends):
                found[place] = span.high
                to_read[place] = span
            else:
                found[place] = span
        return found | await in_background("kafka-times", lambda: self._read(to_read, timestamp))

    def _present(self, group: str) -> str:
        life = self._lives.get(group, 0)
        return f"{group}~{life}" if life else group

    def _read(self, spans: Mapping[Partition, Ends], timestamp: int) -> dict[Partition, int]:
        unread = {place: span for place, span in spans.items() if span.low < span.high}
        consumer = Consumer(self._config)
        try:
            consumer.assign([TopicPartition(*place, span.low) for place, span in unread.items()])
            return _first_at(consumer, unread, timestamp, time.monotonic() + self._read_seconds)
        except KafkaException:
            raise KafkaUnavailable from None
        finally:
            consumer.close()


def _first_at(
    consumer: Consumer, unread: dict[Partition, Ends], timestamp: int, deadline: float
) -> dict[Partition, int]:
    found: dict[Partition, int] = {}
    while unread:
        messages = consumer.consume(_BATCH, 0.1)
        if not messages and time.monotonic() > deadline:
            raise KafkaUnavailable
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is not None or topic is None or partition is None or offset is None:
                continue
            span = unread.get((topic, partition))
            if span is None:
                continue
            if message.timestamp()[1] >= timestamp:
                found[topic, partition] = offset
                del unread[topic, partition]
            elif offset + 1 >= span.high:
                del unread[topic, partition]
    return found
