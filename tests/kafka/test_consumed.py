"""Headers of records keep what they came with, and share what they have in common."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.kafka.consumed import MAX_KEPT, NO_HEADERS, Consumed, Headers, RecordHeaders, Sharing
from eventbus_gateway.subscriptions.window import OFFSET_OF, SIZE_OF, Event

PAIRS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ce_id"]) | st.text(max_size=3), st.binary(max_size=3) | st.none())
)


def fresh(pairs: RecordHeaders) -> RecordHeaders:
    """The same pairs with names of their own, as they come from Kafka."""
    return [(name.encode().decode(), value) for name, value in pairs]


@given(st.lists(PAIRS, max_size=8))
@example([[("a", b"1")], [("a", b"2"), ("a", None)], [], [("a", b"3")]])
def test_headers_are_those_that_came(records: list[RecordHeaders]) -> None:
    sharing = Sharing()
    made = [sharing.headers(fresh(pairs)) for pairs in records]
    assert [[*headers.pairs()] for headers in made] == records
    assert made == [Headers.of(pairs) for pairs in records]


def test_records_with_the_same_names_share_them() -> None:
    sharing = Sharing()
    one: RecordHeaders = [("a", b"1"), ("b", b"2")]
    other: RecordHeaders = [("b", b"1")]
    first, _, second, third = [sharing.headers(fresh(pairs)) for pairs in (one, other, one, one)]
    assert first.names is second.names is third.names


@given(
    st.lists(PAIRS, min_size=1, max_size=8) | st.tuples(PAIRS, st.integers(1, 8)).map(lambda one: [one[0]] * one[1])
)
@example([[("a", b"1"), ("b", b"2")], [("a", b"3")], [("b", b"4"), ("a", b"5"), ("b", b"6")]])
@example([[("a", b"1")], [("a", None)], [("a", b"1")]])
@example([[("a", b"1")], [], [("a", b"1")]])
@example([[(f"n{number}", b"1") for number in range(40)]] * 2)
@example([[(f"n{number}", b"1") for number in range(32)]] * 2)
def test_headers_of_many_records_are_those_of_each(records: list[RecordHeaders]) -> None:
    found = [Headers(*each) for each in Sharing().many([fresh(pairs) for pairs in records])]
    assert found == [Headers.of(pairs) for pairs in records]


def test_records_one_after_the_other_share_the_values_that_they_have_from_the_first() -> None:
    records: list[RecordHeaders] = [[("a", b"same " * 2), ("b", b"%d" % number)] for number in range(3)]
    found = [Headers(*each) for each in Sharing().many([fresh(pairs) for pairs in records])]
    assert len({id(each.names) for each in found}) == 1
    assert len({id(each.values[0]) for each in found}) == 1
    assert [each.values[1] for each in found] == [b"0", b"1", b"2"]


def test_a_record_without_headers_among_others_takes_nothing_from_them() -> None:
    found = list(Sharing().many([[("a", b"1")], None, [("a", b"2")]]))
    assert found == [(("a",), (b"1",)), ((), ()), (("a",), (b"2",))]


def test_a_record_says_how_much_memory_it_takes() -> None:
    assert Consumed.of("t", 0, 1, 2, b"key", b"value", Headers.of([("a", b"1"), ("b", None)])).size == 8 + 2 * 64
    assert Consumed.of("t", 0, 1, 2, None, None).size == 0


def test_a_record_is_held_as_an_event_is() -> None:
    record = Consumed.of("t", 0, 1, 2, b"key", b"value")
    event = Event(record.offset, record.timestamp, record.key, record.size, record)
    assert (OFFSET_OF(record), SIZE_OF(record), record.payload) == (OFFSET_OF(event), SIZE_OF(event), event.payload)
    assert record[:4] == event[:4]


def test_a_record_without_headers_has_the_same_none_as_all() -> None:
    sharing = Sharing()
    assert sharing.headers(None) is sharing.headers([]) is NO_HEADERS


def test_as_many_names_are_kept_as_there_is_room_for() -> None:
    sharing = Sharing()
    for number in range(3 * MAX_KEPT):
        assert sharing.headers([(f"n{number}", b"")]) == Headers((f"n{number}",), (b"",))
        assert len(sharing) <= MAX_KEPT


@pytest.mark.parametrize("names", [["n" * 5_000], [""] * 5_000])
def test_names_that_are_long_together_are_not_kept(names: list[str]) -> None:
    sharing = Sharing()
    pairs: RecordHeaders = [(name, b"1") for name in names]
    assert sharing.headers(pairs) == Headers.of(pairs)
    assert len(sharing) == 0
