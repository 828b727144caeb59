"""Texts that have certain pieces in their order, with anything between them."""

from collections.abc import Callable, Sequence


def in_order(pieces: Sequence[str]) -> Callable[[object], bool]:
    """A test for strings that begin with the first piece, end with the last and have the others between, in order.

    Taking each piece at the first place where it fits is always right, since what comes between may be anything: one
    pass over the string, without going back.

    Args:
        pieces: at least two.
    """
    first, *between, last = pieces
    shortest = sum(map(len, pieces))
    after_first, before_last = len(first), len(last)

    def test(value: object) -> bool:
        if not isinstance(value, str) or len(value) < shortest:
            return False
        if not (value.startswith(first) and value.endswith(last)):
            return False
        at, end = after_first, len(value) - before_last
        for piece in between:
            at = value.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return test
