"""What readers have handed over and stopped strands have not taken."""

from collections import Counter, deque
from typing import NamedTuple

from eventbus_gateway.kafka.reading_thread import Reader
from eventbus_gateway.kafka.strands import Slice


class Delivery:
    """A batch of a reader; it is taken when nothing of it is held any more.

    Args:
        number: of the reader.
        reader: the very one that brought it; it may have been replaced since then.
    """

    __slots__ = ("held", "number", "reader")

    def __init__(self, number: int, reader: Reader) -> None:
        self.number = number
        self.reader = reader
        self.held = 0


class _Part(NamedTuple):
    delivery: Delivery
    piece: Slice


class Held:
    """Slices that wait, by ticket. Bounded by the batches that readers hand over before one is taken."""

    def __init__(self) -> None:
        self._parts: dict[int, deque[_Part]] = {}
        self._deliveries: Counter[int] = Counter()

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._parts

    def deliveries(self, number: int) -> int:
        """How many batches of a reader are not taken."""
        return self._deliveries[number]

    def add(self, delivery: Delivery, piece: Slice) -> None:
        """Keep a slice behind those of the same ticket."""
        if not delivery.held:
            self._deliveries[delivery.number] += 1
        delivery.held += 1
        self._parts.setdefault(piece.ticket, deque()).append(_Part(delivery, piece))

    def pop(self, ticket: int) -> Slice | None:
        """The first slice of a ticket."""
        parts = self._parts.get(ticket)
        if parts is None:
            return None
        delivery, piece = parts.popleft()
        if not parts:
            del self._parts[ticket]
        delivery.held -= 1
        if not delivery.held:
            self._deliveries[delivery.number] -= 1
            delivery.reader.taken()
        return piece

    def drop(self, ticket: int) -> None:
        """Nobody wants the slices of a ticket any more."""
        while self.pop(ticket) is not None:
            pass
