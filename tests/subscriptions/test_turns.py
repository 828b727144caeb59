"""Others get their turn of the event loop while many records are decoded."""

from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.turns import TURN_BYTES, Turn, in_turns


def test_a_turn_is_over_when_more_than_so_many_bytes_were_decoded_in_it() -> None:
    turn, half = Turn(), TURN_BYTES // 2
    assert [turn.is_over_after(half) for _ in range(7)] == [False, False, True] * 2 + [False]


def test_a_record_of_more_bytes_than_that_ends_its_turn() -> None:
    turn = Turn()
    assert [turn.is_over_after(size) for size in (TURN_BYTES, 0, 1, TURN_BYTES + 1, 0)] == [
        False, False, True, True, False,
    ]  # fmt: skip


@given(st.lists(st.integers(0, TURN_BYTES * 2) | st.integers(0, 1_000), max_size=30))
def test_many_records_are_cut_where_others_get_their_turn(sizes: list[int]) -> None:
    turn = Turn()
    ends = [index for index, size in enumerate(sizes, 1) if turn.is_over_after(size)]
    cuts = list(in_turns(sizes))
    assert [sizes[cut] for cut in cuts if not sizes[cut]] == []
    assert [index for cut in cuts for index in range(len(sizes))[cut]] == list(range(len(sizes)))
    assert {cut.stop for cut in cuts} == {*ends, *([len(sizes)] if sizes else [])}
