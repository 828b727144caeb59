"""Events that were given up and have to be stored among the dead letters before they count as acked."""

from itertools import islice
from typing import Generic

from eventbus_gateway.subscriptions.leased import Cause, DeadLetter, Leased
from eventbus_gateway.subscriptions.partition import Partition
from eventbus_gateway.subscriptions.window import P


class DeadLetters(Generic[P]):
    """Which events were given up, and which of them wait for somebody to store them."""

    def __init__(self) -> None:
        # By partition and offset.
        self._letters: dict[tuple[Partition[P], int], DeadLetter[P]] = {}
        self._due: dict[tuple[Partition[P], int], None] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, source: Partition[P], leased: Leased[P], cause: Cause, reason: str = "") -> None:
        """Give an event up.

        Args:
            source: its partition.
            leased: its last hand-out.
            cause: why.
            reason: what the client said that rejected it.
        """
        place = (source, leased.event.offset)
        self._letters[place] = DeadLetter(leased, cause, reason)
        self._due[place] = None

    def hand_out(self, count: int) -> list[DeadLetter[P]]:
        """The dead letters to be stored, the longest waiting first; each comes once until storing it failed."""
        chosen = list(islice(self._due, max(0, count)))
        for place in chosen:
            del self._due[place]
        return [self._letters[place] for place in chosen]

    def again(self, source: Partition[P], offset: int) -> None:
        """Have an event stored that could not be stored before."""
        self._due[source, offset] = None

    def forget(self, source: Partition[P], offset: int) -> None:
        """Be done with an event."""
        del self._letters[source, offset]
        self._due.pop((source, offset), None)

    def is_due(self, source: Partition[P], offset: int) -> bool:
        """Whether an event waits to be handed out for storing."""
        return (source, offset) in self._due

    def is_rejected(self, source: Partition[P], offset: int) -> bool:
        """Whether a client gave the event up, not the number of its deliveries."""
        letter = self._letters.get((source, offset))
        return letter is not None and letter.cause is Cause.REJECTED
