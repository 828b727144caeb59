"""From librdkafka's messages to slices."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import is_not, itemgetter
from typing import Any

from confluent_kafka import KafkaError, Message

from eventbus_gateway.kafka.consumed import Consumed, Headers, Sharing, sizes
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.reading_errors import meaning
from eventbus_gateway.kafka.strands import Batch, Fault, Slice
from eventbus_gateway.runs import runs

_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})

_new: Any = tuple.__new__
"""A named tuple of a tuple, without its constructor, which takes twice as long."""
_milliseconds = itemgetter(1)
_AT_ONCE = 64


def to_batch(messages: list[Message], tickets: Mapping[Partition, int], sharing: Sharing) -> Batch:
    """Sort messages by reading.

    Args:
        messages: records, ends of partitions and errors as the consumer gave them; taken out of the list.
        tickets: the readings that are under way.
        sharing: makes the headers.

    Returns:
        Slices in the order in which they came; what belongs to no reading is left out.
    """
    batch: Batch = []
    read: dict[Partition, list[Consumed]] = {}
    for part in _parts(messages):
        # Not compared with None: the client's errors cannot be.
        for is_error, run in runs(map(is_not, map(Message.error, part), repeat(None))):
            if is_error:
                batch += _slices(read, tickets)
                batch += chain.from_iterable(_told(message, tickets) for message in part[run])
            else:
                _read(part[run], read, tickets, sharing)
    return batch + _slices(read, tickets)


def record_of(message: Any, headers: Headers) -> Consumed:
    """One record by itself.

    Args:
        message: no error.
        headers: its headers.
    """
    return Consumed.of(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
    )


def _parts(messages: list[Message]) -> Iterator[list[Message]]:
    """A few messages after the other, each let go before the next ones are looked at.

    What the client makes of headers (a list of pairs, and each name anew) is twice as much memory as what is kept of
    a record, and goes with its message: so the next ones get the same memory, which is in the cache then.
    """
    messages.reverse()
    while messages:
        part = messages[: -_AT_ONCE - 1 : -1]
        del messages[-_AT_ONCE:]
        yield part


def _records(place: Partition, messages: Sequence[Message], sharing: Sharing) -> Iterable[Consumed]:
    """Records of one partition, column by column: two thirds of what one after the other takes.

    Args:
        place: where they come from; all of them share the name.
        messages: no errors; one at the least.
        sharing: makes the headers.
    """
    topic, partition = place
    # The client's own types say that each part can be missing, which is so for errors only.
    headers: list[Any] = list(map(Message.headers, messages))
    names, stored = zip(*sharing.many(headers), strict=True)
    keys, values = list(map(Message.key, messages)), list(map(Message.value, messages))
    columns = (
        map(Message.offset, messages),
        map(_milliseconds, map(Message.timestamp, messages)),
        keys,
        sizes(keys, values, names),
        repeat(topic, len(messages)),
        repeat(partition, len(messages)),
        values,
        names,
        stored,
    )
    return map(_new, repeat(Consumed), zip(*columns, strict=True))


def _read(
    messages: Sequence[Message],
    read: dict[Partition, list[Consumed]],
    tickets: Mapping[Partition, int],
    sharing: Sharing,
) -> None:
    """Append records to those that were read of their partitions."""
    places: Iterable[Any] = zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)
    for place, run in runs(places):
        if place in tickets:
            read.setdefault(place, []).extend(_records(place, messages[run], sharing))


def _slices(read: dict[Partition, list[Consumed]], tickets: Mapping[Partition, int]) -> Batch:
    """What was read so far."""
    batch: Batch = [Slice(tickets[place], records, records[-1].offset + 1) for place, records in read.items()]
    read.clear()
    return batch


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
