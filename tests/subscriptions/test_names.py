"""What subscriptions are called in Kafka, and where their shards go."""

import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.kafka.cluster import is_public
from eventbus_gateway.subscriptions.names import (
    ANONYMOUS,
    dead_letter_topic_name,
    full_name,
    group_name,
    is_name,
    shard_of,
    slot_of,
)

LETTERS = string.ascii_letters + string.digits + "._-"
OWNERS = st.text(LETTERS, min_size=1, max_size=64)
NAMES = st.text(LETTERS, min_size=1, max_size=100).filter(is_name)


@pytest.mark.parametrize("name", ["a", "orders", "0", "A.b_c-d", "x" * 100, "a.."])
def test_a_name_is_letters_digits_dots_underscores_and_dashes(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\n", "x" * 101, "a\0", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_whatever_would_be_no_topic_or_no_segment_of_a_path_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_a_dead_letter_topic_tells_owner_and_name() -> None:
    assert dead_letter_topic_name("clinic", "orders") == "clinic.orders.dlq"
    assert dead_letter_topic_name(ANONYMOUS, "orders") == "orders.dlq"
    assert dead_letter_topic_name(ANONYMOUS, "orders.new") == "anonymous.orders.new.dlq"


def test_where_the_owner_ends_is_clear_when_there_are_more_dots() -> None:
    assert (
        len({full_name("a", "b.c"), full_name("a.b", "c"), full_name("a-b", "c"), full_name(ANONYMOUS, "a.b.c")}) == 4
    )
    assert full_name("a.b", "c").startswith("a-b-")
    assert full_name("a.b", "c") == full_name("a.b", "c")


@settings(max_examples=200)
@given(OWNERS, NAMES, OWNERS, NAMES)
def test_no_two_subscriptions_share_a_name_in_kafka(owner: str, name: str, other: str, its: str) -> None:
    assert ((owner, name) == (other, its)) is (full_name(owner, name) == full_name(other, its))


@settings(max_examples=200)
@given(st.text(LETTERS, min_size=64, max_size=64), st.text(LETTERS, min_size=99, max_size=99))
def test_the_longest_names_are_still_names_of_topics(owner: str, rest: str) -> None:
    topic = dead_letter_topic_name(owner, f"a{rest}")
    assert is_public(topic.lstrip("_"))
    assert len(topic) <= 249


def test_every_state_of_every_subscription_has_a_group_of_its_own() -> None:
    groups = {
        group_name("eventbus", owner, "orders", identity, state)
        for owner in ("a", "b")
        for identity in ("1", "2")
        for state in (None, "x", "y")
    }
    assert len(groups) == 12
    assert group_name("eventbus", "a", "orders", "1") == "eventbus.a.orders.1"
    assert group_name("eventbus", "a", "orders", "1", "x") == "eventbus.a.orders.1.x"


def test_partitions_are_dealt_to_shards_in_turn() -> None:
    assert [shard_of(partition, 3) for partition in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert {shard_of(partition, 1) for partition in range(100)} == {0}


@given(st.text(max_size=20), st.integers(1, 64), st.integers(1, 1_024))
def test_shards_of_one_subscription_have_different_slots_while_there_are_enough(
    identity: str, parallelism: int, slots: int
) -> None:
    found = [slot_of(identity, shard, slots) for shard in range(parallelism)]
    assert all(0 <= slot < slots for slot in found)
    assert len(set(found)) == min(parallelism, slots)


def test_subscriptions_are_spread_over_all_slots() -> None:
    found = Counter(slot_of(f"{number:016x}", 0, 64) for number in range(6_400))
    assert len(found) == 64
    assert max(found.values()) < 200
