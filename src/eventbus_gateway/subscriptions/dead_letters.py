"""Events that were given up and have to be stored among the dead letters before they count as acked."""

from itertools import islice
from typing import Generic

from eventbus_gateway.subscriptions.leased import Cause, DeadLetter, Leased
from eventbus_gateway.subscriptions.window import P


class DeadLetters(Generic[P]):
    """Which events were given up, and which of them wait for somebody to store them."""

    def __init__(self) -> None:
        self._letters: dict[Leased[P], DeadLetter[P]] = {}
        self._due: dict[Leased[P], None] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, leased: Leased[P], cause: Cause, reason: str = "") -> None:
        """Give an event up."""
        self._letters[leased] = DeadLetter(leased, cause, reason)
        self._due[leased] = None

    def hand_out(self, count: int) -> list[DeadLetter[P]]:
        """The dead letters to be stored, the longest waiting first; each comes once until storing it failed."""
        chosen = list(islice(self._due, max(0, count)))
        for leased in chosen:
            del self._due[leased]
        return [self._letters[leased] for leased in chosen]

    def again(self, leased: Leased[P]) -> None:
        """Have an event stored that could not be stored before."""
        self._due[leased] = None

    def forget(self, leased: Leased[P]) -> None:
        """Be done with an event."""
        del self._letters[leased]
        self._due.pop(leased, None)

    def is_due(self, leased: Leased[P]) -> bool:
        """Whether an event waits to be handed out for storing."""
        return leased in self._due

    def is_rejected(self, leased: Leased[P]) -> bool:
        """Whether a client gave the event up, not the number of its deliveries."""
        return self._letters[leased].cause is Cause.REJECTED
