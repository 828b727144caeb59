"""Leases that fall due together, in the order of their time."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

_FEW = 64


class Term(Generic[T]):
    """A point in time and whatever falls due then.

    Args:
        at: seconds on the clock of whoever asks.
    """

    __slots__ = ("at", "members")

    def __init__(self, at: float) -> None:
        self.at = at
        self.members: dict[T, None] = {}


class Terms(Generic[T]):
    """The terms that have members.

    One request makes one term for all its events, so the cost per event is that of a dict entry. Terms that lost all
    members stay in the heap until there are too many of them.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Term[T]]] = []
        self._order = count()
        self._emptied = 0

    def __len__(self) -> int:
        return len(self._heap)

    def start(self, term: Term[T]) -> None:
        """Let a term run that has its members; without any it is nothing."""
        if term.members:
            heappush(self._heap, (term.at, next(self._order), term))

    def leave(self, term: Term[T], members: Sequence[T]) -> None:
        """Take members out of their term; most often these are all of them."""
        if not members:
            return
        if len(members) == len(term.members):
            term.members.clear()
        else:
            for member in members:
                del term.members[member]
        if not term.members:
            self.emptied()

    def emptied(self) -> None:
        """Note that a term has lost its last member."""
        self._emptied += 1
        if self._emptied > _FEW and self._emptied * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].members]
            heapify(self._heap)
            self._emptied = 0

    def due(self, now: float) -> list[T]:
        """Take out all members whose time has come, the earliest first."""
        members: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            members.extend(heappop(self._heap)[2].members)
        return members

    def next(self) -> float | None:
        """When the next member falls due."""
        while self._heap and not self._heap[0][2].members:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
