"""Cursors: compact, opaque, of one topic, and never believed when they are damaged."""

import base64
import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.api.cursor import CursorWriter, positions_in, written
from eventbus_gateway.errors import InvalidCursor

OFFSETS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=60)


@given(OFFSETS, st.text(min_size=1, max_size=20))
def test_a_cursor_gives_back_the_positions_that_it_was_written_with(offsets: list[int], topic: str) -> None:
    cursor = written(topic, dict(enumerate(offsets)))
    assert positions_in(cursor, topic) == dict(enumerate(offsets))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


@given(OFFSETS, st.data())
def test_a_writer_follows_a_reader_from_event_to_event(offsets: list[int], data: st.DataObject) -> None:
    positions = dict(enumerate(offsets))
    writer = CursorWriter("visits", positions)
    for _ in range(3):
        partition = data.draw(st.integers(0, len(offsets) - 1))
        positions[partition] = data.draw(st.integers(0, 2**63 - 1))
        writer.move(partition, positions[partition])
        assert writer.text() == written("visits", positions)


def test_a_cursor_is_short() -> None:
    assert len(written("visits", dict.fromkeys(range(12), 2_000_000))) <= 80


def test_a_cursor_of_another_topic_is_refused() -> None:
    with pytest.raises(InvalidCursor, match="another topic"):
        positions_in(written("visits", {0: 1}), "beds")


@given(OFFSETS, st.data())
def test_a_cursor_with_a_wrong_character_is_refused(offsets: list[int], data: st.DataObject) -> None:
    cursor = written("visits", dict(enumerate(offsets)))
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCabc012-_").filter(lambda new: new != cursor[at]))
    damaged = cursor[:at] + other + cursor[at + 1 :]
    try:
        # The last character has bits that mean nothing.
        assert positions_in(damaged, "visits") == dict(enumerate(offsets))
        assert at == len(cursor) - 1
    except InvalidCursor:
        pass


@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    with pytest.raises(InvalidCursor) as refused:
        positions_in(text, "visits")
    assert len(text) < 4 or text not in refused.value.detail


@given(OFFSETS, st.data())
def test_a_cursor_that_is_cut_off_is_refused(offsets: list[int], data: st.DataObject) -> None:
    cursor = written("visits", dict(enumerate(offsets)))
    with pytest.raises(InvalidCursor):
        positions_in(cursor[: data.draw(st.integers(0, len(cursor) - 2))], "visits")


def made_up(body: bytes, version: int = 1) -> str:
    head = bytes([version]) + binascii.crc32(body).to_bytes(4, "big")
    return base64.urlsafe_b64encode(head + body).decode().rstrip("=")


@pytest.mark.parametrize(
    "offsets",
    [b"\x80", b"\x80\x00", b"\x81\x80\x00", b"\xff" * 9 + b"\x01", b"\xff" * 20 + b"\x01"],
    ids=["cut off", "zero in two bytes", "leading zeros", "beyond 63 bits", "endless"],
)
def test_offsets_have_one_spelling_and_63_bits(offsets: bytes) -> None:
    topic = base64.urlsafe_b64decode(written("visits", {0: 0}) + "==")[5:11]
    assert positions_in(made_up(topic + b"\x01"), "visits") == {0: 1}
    with pytest.raises(InvalidCursor):
        positions_in(made_up(topic + offsets), "visits")


def test_a_version_of_the_future_is_told_apart_from_damage() -> None:
    with pytest.raises(InvalidCursor, match="version"):
        positions_in(made_up(b"\0" * 10, version=2), "visits")


def test_an_endless_cursor_is_refused_unread() -> None:
    with pytest.raises(InvalidCursor):
        positions_in("A" * 100_000, "visits")
