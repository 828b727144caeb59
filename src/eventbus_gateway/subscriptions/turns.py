"""Turns of the event loop: decoding holds up everybody else, so others get theirs after so many bytes of records."""

from collections.abc import Iterator, Sequence

TURN_BYTES = 131_072


class Turn:
    """What was decoded since others had their turn."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = 0

    def is_over_after(self, size: int) -> bool:
        """Whether others come next; where they do, another turn begins.

        Args:
            size: bytes of the record that was decoded.
        """
        self._bytes += size
        if self._bytes <= TURN_BYTES:
            return False
        self._bytes = 0
        return True


def in_turns(sizes: Sequence[int]) -> Iterator[slice]:
    """Which records are decoded one after the other until others come next; after the last they need not.

    Args:
        sizes: bytes of each record.
    """
    turn, start = Turn(), 0
    if sum(sizes) > TURN_BYTES:
        for stop, size in enumerate(sizes, 1):
            if turn.is_over_after(size):
                yield slice(start, stop)
                start = stop
    if start < len(sizes):
        yield slice(start, len(sizes))
