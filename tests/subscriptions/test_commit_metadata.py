"""The text beside a committed offset: it comes back as it went in, always fits, and only a true one is believed."""

import base64
import random
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.commit_metadata import MAX_BYTES, Run, decode, encode
from eventbus_gateway.subscriptions.window import MAX_EVENTS, MAX_SPAN

OFFSETS = st.integers(0, 2**62)
LENGTHS = st.one_of(st.integers(1, 40), st.integers(1, 2_000), st.integers(1, 2**40))
LAYOUTS = st.lists(st.tuples(LENGTHS, LENGTHS), max_size=60)
TEXT = encode(100, [(101, 102), (110, 5_000), (5_033, 5_065)])


def laid_out(offset: int, lengths: list[tuple[int, int]]) -> list[Run]:
    """Runs from pairs of lengths: so many open offsets, so many done ones."""
    runs = []
    for not_done, done in lengths:
        runs.append((offset + not_done, offset + not_done + done))
        offset += not_done + done
    return runs


@given(OFFSETS, LAYOUTS)
def test_what_was_encoded_comes_back(offset: int, lengths: list[tuple[int, int]]) -> None:
    runs = laid_out(offset, lengths)
    text = encode(offset, runs)
    assert text.isascii()
    assert text.isprintable()
    assert decode(offset, text) == runs


def test_nothing_done_is_an_empty_text() -> None:
    assert encode(7, []) == ""
    assert decode(7, "") == []
    assert decode(7, None) == []


def test_the_text_stays_what_former_versions_wrote() -> None:
    assert TEXT == "eb1:OEyxmAa3118wu4X1W1"
    assert decode(100, TEXT) == [(101, 102), (110, 5_000), (5_033, 5_065)]


@given(OFFSETS, LAYOUTS, st.integers(0, 200))
def test_what_does_not_fit_is_forgotten_from_the_top(
    offset: int, lengths: list[tuple[int, int]], max_bytes: int
) -> None:
    runs = laid_out(offset, lengths)
    text = encode(offset, runs, max_bytes)
    kept = decode(offset, text)
    assert len(text.encode()) <= max_bytes
    assert kept == runs[: len(kept)]
    if len(kept) < len(runs):
        assert len(encode(offset, runs[: len(kept) + 1])) > max_bytes


def test_a_text_is_never_longer_than_kafka_takes() -> None:
    runs = laid_out(0, [(1, 1)] * 10_000)
    text = encode(0, runs)
    assert MAX_BYTES - 2 < len(text.encode()) <= MAX_BYTES
    kept = decode(0, text)
    assert kept == runs[: len(kept)]


def test_within_the_default_bounds_nothing_is_ever_forgotten() -> None:
    # The worst that the bounds allow: every event open by itself, and as many done runs of three characters between
    # them as the span has room for, the others of two.
    long = (MAX_SPAN - 33 * MAX_EVENTS) // (1_024 - 32)
    lengths = [(1, 1_024)] * long + [(1, 32)] * (MAX_EVENTS - long)
    assert MAX_SPAN - 1_024 < sum(map(sum, lengths)) <= MAX_SPAN
    offset = 2**63 - 2 * MAX_SPAN
    runs = laid_out(offset, lengths)
    text = encode(offset, runs)
    assert 3_900 < len(text) <= MAX_BYTES
    assert decode(offset, text) == runs


@given(st.integers(0, 2**32), st.data())
def test_random_states_within_the_default_bounds_fit(seed: int, data: st.DataObject) -> None:
    randomness = random.Random(seed)
    span = data.draw(st.integers(2 * MAX_EVENTS, MAX_SPAN))
    held = sorted(randomness.sample(range(span), MAX_EVENTS))
    edges = [offset - held[0] for offset in held] + [span - held[0]]
    runs = [(low + 1, high) for low, high in pairwise(edges) if high > low + 1]
    assert decode(0, encode(0, runs)) == runs


@given(st.text(max_size=60) | st.text("eb1:0123abcXYZ-_", max_size=30).map("eb1:".__add__), OFFSETS)
def test_what_other_tools_wrote_counts_as_nothing_done(text: str, offset: int) -> None:
    assert decode(offset, text) == []


@pytest.mark.parametrize("place", range(len(TEXT)))
def test_a_damaged_text_counts_as_nothing_done(place: int) -> None:
    for character in "0aZ_-:\u00e9 ":
        damaged = TEXT[:place] + character + TEXT[place + 1 :]
        if damaged != TEXT:
            assert decode(100, damaged) == []
    assert decode(100, TEXT[:place]) == []
    assert decode(100, TEXT[place + 1 :]) == []
    assert decode(100, TEXT + TEXT[place]) == []


def test_a_text_that_was_kept_while_the_offset_was_moved_counts_as_nothing_done() -> None:
    for offset in (0, 99, 101, 110, 5_000):
        assert decode(offset, TEXT) == []


def sealed(body: str) -> str:
    """A text with a checksum that fits, whoever made it."""
    digest = zlib.crc32(body.encode()).to_bytes(4, "big")
    return "eb1:" + base64.b64encode(digest)[:6].decode() + body


def test_a_text_with_a_true_checksum_still_has_to_make_sense() -> None:
    assert decode(5, sealed("523")) == [(7, 10)]
    nonsense = {
        "no number": "",
        "no lengths": "5",
        "half a pair": "52",
        "half a second pair": "5232",
        "nothing open": "503",
        "nothing done": "520",
        "a number that does not end": "523Z",
        "a number that only goes on": "52" + "W" * 5,
        "a number of too many digits": "52" + "W" * 13 + "1",
        "an offset that Kafka does not have": "52" + "W" * 12 + "8",
        "a character outside the alphabet": "52+",
    }
    assert [what for what, body in nonsense.items() if decode(5, sealed(body))] == []


def test_a_text_longer_than_kafka_takes_is_nobody_s() -> None:
    runs = laid_out(0, [(1, 1)] * 3_000)
    assert decode(0, encode(0, runs, 10_000)) == []


def test_an_endless_text_is_not_even_looked_at() -> None:
    assert decode(100, TEXT + "0" * 10_000_000) == []
