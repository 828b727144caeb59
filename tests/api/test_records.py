"""The largest record that is built still fits into what Kafka is said to take."""

import pytest

from eventbus_gateway.api.body import Media
from eventbus_gateway.api.commands import Command
from eventbus_gateway.api.events import Draft
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.records import RecordBuilder, Schemata
from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.api.topics import Topic
from eventbus_gateway.errors import EventTooLarge
from eventbus_gateway.kafka.records import Record

MAX = 100_000
BATCH_HEAD = 61


def _varint(number: int) -> int:
    """Bytes of a zigzag varint."""
    return max(1, -(-(2 * number).bit_length() // 7))


def _batch_bytes(record: Record) -> int:
    """Bytes of a batch with one record (KIP-98)."""
    key = record.key or b""
    headers = sum(_varint(len(name)) + len(name) + _varint(len(value)) + len(value) for name, value in record.headers)
    content = 3 + _varint(len(key)) + len(key) + _varint(len(record.value)) + len(record.value)
    length = content + _varint(len(record.headers)) + headers
    return BATCH_HEAD + _varint(length) + length


def _largest(attributes: dict[str, str]) -> Record:
    """The record with the most data that is taken with these attributes."""
    builder = RecordBuilder(MAX)
    topic = Topic("notes", TopicSettings(format="json"))
    build = builder.for_request(
        Request("POST", "/", b"", {}, b"", "request-1"),
        Command(Media.CLOUDEVENTS_BATCH, {}),
        topic,
        Schemata(None, None),
    )
    taken: Record | None = None
    low, high = 0, MAX
    while low < high:
        middle = (low + high + 1) // 2
        try:
            taken = build(Draft("", b"x" * middle, attributes))[1]
            low = middle
        except EventTooLarge:
            high = middle - 1
    assert taken is not None
    return taken


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"partitionkey": "k" * 200},
        {"id": "i" * 4_000},
        {f"a{index}": "x" for index in range(64)},
        {f"{index:064d}": "x" for index in range(64)},
        {f"a{index}": "x" * 1_000 for index in range(64)},
        {"large": "x" * 65_536},
    ],
    ids=["none", "long key", "long id", "short names", "long names", "long values", "longest value"],
)
def test_the_largest_record_fits_and_little_room_is_lost(attributes: dict[str, str]) -> None:
    size = _batch_bytes(_largest(attributes))
    assert MAX - 512 < size <= MAX
