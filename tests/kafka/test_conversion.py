"""What a consumer gives becomes slices: the records of each reading, ends and faults, in the order of coming."""

from typing import Any

from confluent_kafka import KafkaError, Message
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.consumed import Consumed, Headers, Sharing
from eventbus_gateway.kafka.conversion import to_batch
from eventbus_gateway.kafka.strands import Fault, Slice

TICKETS = {("visits", 0): 10, ("visits", 1): 11, ("beds", 0): 20}
END = KafkaError._PARTITION_EOF
GONE = KafkaError.OFFSET_OUT_OF_RANGE
AWAY = KafkaError._ALL_BROKERS_DOWN

PLACES = st.tuples(st.sampled_from(["visits", "beds"]), st.sampled_from([0, 1]))
PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=2) | st.none()), max_size=3)
VALUES = st.binary(max_size=3) | st.none()
RUNS = st.lists(
    st.tuples(
        PLACES, st.sampled_from([1, 2, 3, 70]), st.sampled_from([None, None, None, END, GONE]), PAIRS, VALUES, VALUES
    ),
    max_size=6,
)


def record(offset: int, topic: str = "visits", partition: int = 0, pairs: Any = (), **parts: Any) -> Message:
    """A message as the consumer gives it."""
    return Message(topic=topic, partition=partition, offset=offset, timestamp=(1, 7), headers=list(pairs), **parts)


def failure(code: int, topic: str | None = None, partition: int = -1, offset: int = -1001) -> Message:
    """An error as the consumer gives it, among the messages."""
    return Message(topic=topic, partition=partition, offset=offset, error=KafkaError(code))


def one_by_one(messages: list[Message]) -> list[tuple[int, list[Consumed]]]:
    """The records of each ticket, as simply as can be."""
    found: dict[int, list[Consumed]] = {}
    for message in messages:
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        if message.error() is None and (topic, partition) in TICKETS:
            pairs: Any = message.headers() or ()
            stored: Any = (message.timestamp()[1], message.key(), message.value(), Headers.of(pairs))
            one = Consumed.of(topic, partition, offset, *stored)
            found.setdefault(TICKETS[topic, partition], []).append(one)
    return sorted(found.items())


@given(RUNS)
@example([(("visits", 0), 2, None, [("a", b"1")], b"k", b"v"), (("visits", 0), 1, END, [], None, None)])
def test_records_are_those_that_came_each_with_its_reading(runs: list[Any]) -> None:
    messages: list[Message] = []
    for (topic, partition), count, code, pairs, key, value in runs:
        for _ in range(count):
            offset = len(messages)
            if code:
                messages.append(failure(code, topic, partition, offset))
            else:
                messages.append(record(offset, topic, partition, pairs, key=key, value=value))
    found: dict[int, list[Consumed]] = {}
    for piece in to_batch(messages.copy(), TICKETS, Sharing()):
        if isinstance(piece, Slice) and piece.records:
            assert piece.next_offset == piece.records[-1].offset + 1
            found.setdefault(piece.ticket, []).extend(piece.records)
    assert sorted(found.items()) == one_by_one(messages)


def test_the_end_of_a_partition_comes_behind_what_was_read_of_it() -> None:
    batch = to_batch([record(4), record(5), failure(END, "visits", 0, 6), record(9)], TICKETS, Sharing())
    read, end, more = batch
    assert isinstance(read, Slice)
    assert isinstance(more, Slice)
    assert ([each.offset for each in read.records], read.next_offset) == ([4, 5], 6)
    assert end == Slice(10, [], 6, at_end=True)
    assert ([each.offset for each in more.records], more.next_offset) == ([9], 10)


def test_a_fault_is_told_to_the_readings_that_it_is_about() -> None:
    assert [(each.ticket, each.out_of_range) for each in faults(failure(GONE, "visits", 1))] == [(11, True)]
    assert [each.ticket for each in faults(failure(KafkaError.UNKNOWN_TOPIC_OR_PART, "visits"))] == [10, 11]
    assert faults(failure(AWAY)) == []
    assert isinstance(faults(failure(KafkaError._TRANSPORT, "beds", 0))[0].error, KafkaUnavailable)


def test_what_belongs_to_no_reading_is_left_out() -> None:
    assert (
        to_batch([record(1, "others"), record(1, partition=7), failure(END, "others", 0, 2)], TICKETS, Sharing())
        == []
    )


def faults(message: Message) -> list[Fault]:
    """What readings are told of an error."""
    batch = to_batch([message], TICKETS, Sharing())
    return [piece for piece in batch if isinstance(piece, Fault)]
