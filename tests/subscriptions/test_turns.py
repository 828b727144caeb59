"""Others get their turn of the event loop while many records are decoded."""

from eventbus_gateway.subscriptions.turns import TURN_BYTES, Turn


def test_a_turn_is_over_when_more_than_so_many_bytes_were_decoded_in_it() -> None:
    turn, half = Turn(), TURN_BYTES // 2
    assert [turn.is_over_after(half) for _ in range(7)] == [False, False, True] * 2 + [False]


def test_a_record_of_more_bytes_than_that_ends_its_turn() -> None:
    turn = Turn()
    assert [turn.is_over_after(size) for size in (TURN_BYTES, 0, 1, TURN_BYTES + 1, 0)] == [
        False, False, True, True, False,
    ]  # fmt: skip
