"""Which readings are under way, and the orders that change them."""

from itertools import count

from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.strands import Leave, Order, Read, Strand, Tail


class Readings:
    """Each reading has a ticket of its own, so that what comes late from an earlier one is known as such."""

    def __init__(self) -> None:
        self._tickets = count(1)
        self._targets: dict[int, Tail | Strand] = {}
        self.orders: list[Order] = []
        """What is still to be carried out, in this order."""

    def begin(self, reader: int, partition: Partition, offset: int, target: Tail | Strand) -> int:
        """Order a reading; returns its ticket."""
        ticket = next(self._tickets)
        self._targets[ticket] = target
        self.orders.append(Read(reader, partition, offset, ticket))
        return ticket

    def end(self, reader: int, partition: Partition, ticket: int) -> None:
        """Order the end of a reading."""
        del self._targets[ticket]
        self.orders.append(Leave(reader, partition, ticket))

    def target(self, ticket: int) -> Tail | Strand | None:
        """Whom a reading is for; None when it was given up."""
        return self._targets.get(ticket)
