"""From librdkafka's messages to slices."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError

from eventbus_gateway.kafka.consumed import Consumed, Sharing
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.reading_errors import meaning
from eventbus_gateway.kafka.strands import Batch, Fault, Slice

_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})

_new = tuple.__new__
"""``Consumed(...)`` without its constructor: half of the cost of a record."""


def to_batch(messages: Iterable[Any], tickets: Mapping[Partition, int], sharing: Sharing) -> Batch:
    """Sort messages by reading.

    Args:
        messages: records, ends of partitions and errors as the consumer gave them (its own types say that each part
            can be missing).
        tickets: the readings that are under way.
        sharing: makes the headers.

    Returns:
        Slices in the order in which they came; what belongs to no reading is left out.
    """
    batch: Batch = []
    runs: dict[Partition, list[Consumed]] = {}
    topic, partition = None, None
    append: Callable[[Consumed], None] = _leave_out
    for message in messages:
        if message.error() is not None:
            _close(runs, tickets, batch)
            batch += _told(message, tickets)
            topic = None
            continue
        # Messages come in runs of one partition; all of a run share the name.
        if message.partition() != partition or message.topic() != topic:
            topic, partition = place = message.topic(), message.partition()
            append = runs.setdefault(place, []).append if place in tickets else _leave_out
        timestamp, headers = message.timestamp()[1], sharing.headers(message.headers())
        append(
            _new(Consumed, (topic, partition, message.offset(), timestamp, message.key(), message.value(), headers))
        )
    _close(runs, tickets, batch)
    return batch


def _leave_out(record: Consumed) -> None:
    """It belongs to no reading."""


def _close(runs: dict[Partition, list[Consumed]], tickets: Mapping[Partition, int], batch: Batch) -> None:
    batch += [Slice(tickets[place], records, records[-1].offset + 1) for place, records in runs.items()]
    runs.clear()


def _told(message: Any, tickets: Mapping[Partition, int]) -> Batch:
    """What an error says about the readings; errors of connections say nothing about any."""
    error, topic, number = message.error(), message.topic(), message.partition()
    concerned = [
        ticket
        for place, ticket in tickets.items()
        if place == (topic, number) or (place[0] == topic and (number is None or number < 0))
    ]
    code = error.code()
    if code == KafkaError._PARTITION_EOF:
        return [Slice(ticket, [], message.offset(), at_end=True) for ticket in concerned]
    return [Fault(ticket, meaning(error), code in _OUT_OF_RANGE) for ticket in concerned]
