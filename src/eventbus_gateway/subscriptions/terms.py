"""Leases that fall due together, in the order of their time."""

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

S = TypeVar("S")

_FEW = 64
_SPARSE = 4
"""A term in which fewer than this part of what was entered still waits is entered anew."""


class Term(Generic[S]):
    """A point in time and the events that fall due then.

    Whoever enters an event notes the term beside it. When it leaves only that note goes, and the count here: of those
    that were entered the ones are meant that still have the note.

    Args:
        at: seconds on the clock of whoever asks.
    """

    __slots__ = ("_entered", "_number", "at", "left")

    def __init__(self, at: float) -> None:
        self.at = at
        self.left = 0
        """How many still wait for it."""
        self._number = 0
        self._entered: list[tuple[S, Sequence[int]]] = []

    def __iter__(self) -> Iterator[tuple[S, int]]:
        """Source and offset of all that were entered and may have left."""
        return ((source, offset) for source, offsets in self._entered for offset in offsets)

    def enter(self, source: S, offsets: Sequence[int]) -> None:
        """Have events of a source wait for it.

        Args:
            source: what the events are of.
            offsets: their places there, each of which is entered once; not changed any more.
        """
        self._entered.append((source, offsets))
        self._number += len(offsets)
        self.left += len(offsets)

    def is_sparse(self) -> bool:
        """Whether most of what was entered has left."""
        return self.left * _SPARSE < self._number

    def thin_out(self, waits: Callable[["Term[S]", S, int], bool]) -> None:
        """Let go of what has left: one event that nobody acks would keep the places of all that were leased with it.

        Args:
            waits: whether an event of a source still has the note of the term.
        """
        held = [(source, [at for at in offsets if waits(self, source, at)]) for source, offsets in self._entered]
        self._entered = [(source, offsets) for source, offsets in held if offsets]
        self._number = sum([len(offsets) for _, offsets in self._entered])

    def clear(self) -> None:
        """Let go of everything: all have left."""
        self._entered, self._number = [], 0


class Terms(Generic[S]):
    """The terms for which events wait.

    One request makes one term for all its events. Terms that all have left stay in the heap until there are too many
    of them.

    Args:
        waits: whether an event of a source has the note of a term.
    """

    def __init__(self, waits: Callable[[Term[S], S, int], bool]) -> None:
        self._waits = waits
        self._heap: list[tuple[float, int, Term[S]]] = []
        self._order = count()
        self._emptied = 0

    def __len__(self) -> int:
        return len(self._heap)

    def start(self, term: Term[S]) -> None:
        """Let a term run for which events wait; without any it is nothing."""
        if term.left:
            heappush(self._heap, (term.at, next(self._order), term))

    def leave(self, term: Term[S], number: int) -> None:
        """So many events do not wait for a term any more; most often these are all of them."""
        term.left -= number
        if not term.left:
            term.clear()
            self._emptied += 1
            if self._emptied > _FEW and self._emptied * 2 > len(self._heap):
                self._sweep()
        elif term.is_sparse():
            term.thin_out(self._waits)

    def due(self, now: float) -> Term[S] | None:
        """Take out the earliest term, if its time has come."""
        return heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now else None

    def next(self) -> float | None:
        """When the next event falls due."""
        while self._heap and not self._heap[0][2].left:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].left]
        heapify(self._heap)
        self._emptied = 0
