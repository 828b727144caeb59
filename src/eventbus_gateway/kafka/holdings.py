"""Which slots this process may act for, and until when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Holding:
    acquisition: int
    valid_until: float


class Holdings:
    """Slots that were acquired, each with the time until which nobody else can have it.

    Args:
        trust_seconds: for how long after the beginning of a proof the group's coordinator keeps us as a member.
    """

    def __init__(self, trust_seconds: float) -> None:
        self._trust_seconds = trust_seconds
        self._holdings: dict[int, _Holding] = {}

    def acquire(self, acquisitions: Mapping[int, int], begun: float) -> None:
        """Slots were assigned to us, and a proof that began then says that they still are.

        Args:
            acquisitions: a number per slot that no other acquisition has.
            begun: when the proof began, by the clock that ``holds`` is asked with.
        """
        for slot, acquisition in acquisitions.items():
            self._holdings[slot] = _Holding(acquisition, begun + self._trust_seconds)

    def prove(self, slots: Iterable[int], begun: float) -> None:
        """The coordinator has counted us among its members after this time."""
        for slot in slots:
            holding = self._holdings.get(slot)
            if holding is not None:
                holding.valid_until = max(holding.valid_until, begun + self._trust_seconds)

    def end_at(self, slots: Iterable[int], time: float) -> None:
        """They are given back at this time, whatever was proved."""
        for slot in slots:
            holding = self._holdings.get(slot)
            if holding is not None:
                holding.valid_until = min(holding.valid_until, time)

    def drop(self, slots: Iterable[int]) -> None:
        """They are not ours any more."""
        for slot in slots:
            self._holdings.pop(slot, None)

    def slots(self) -> frozenset[int]:
        """All slots that were acquired and neither given back nor lost, proved or not."""
        return frozenset(self._holdings)

    def valid_until(self, slot: int) -> float:
        """Until when nobody else can have the slot; minus infinity for one that is not ours."""
        holding = self._holdings.get(slot)
        return float("-inf") if holding is None else holding.valid_until

    def acquisition(self, slot: int) -> int | None:
        """The number of the present acquisition."""
        holding = self._holdings.get(slot)
        return None if holding is None else holding.acquisition
