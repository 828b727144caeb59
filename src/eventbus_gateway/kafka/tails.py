"""What the shared reader reads: one tail per partition, for all who stand near the end."""

from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.readings import Readings
from eventbus_gateway.kafka.strands import SHARED, Place, Strand, Tail


class Tails:
    """All tails.

    Args:
        readings: where readings are ordered.
    """

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._tails: dict[Partition, Tail] = {}

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._tails

    def tickets(self) -> list[int]:
        """The readings of the shared reader."""
        return [tail.ticket for tail in self._tails.values()]

    def may_join(self, strand: Strand) -> bool:
        """Whether what the tail brings from now on leaves no gap behind the strand."""
        tail = self._tails.get(strand.partition)
        return tail is not None and strand.position >= tail.position

    def join(self, strand: Strand) -> None:
        """Let a strand have what the tail brings from now on."""
        strand.place = Place.TAILING
        self._tails[strand.partition].members[strand] = None

    def begin(self, strand: Strand) -> None:
        """Make a tail where a strand stands."""
        tail = Tail(0, strand.partition, strand.position)
        tail.ticket = self._readings.begin(SHARED, tail.partition, tail.position, tail)
        self._tails[strand.partition] = tail
        self.join(strand)

    def leave(self, strand: Strand) -> None:
        """Take a strand away; the last one ends the tail."""
        strand.place = Place.IDLE
        tail = self._tails[strand.partition]
        del tail.members[strand]
        if not tail.members:
            del self._tails[strand.partition]
            self._readings.end(SHARED, tail.partition, tail.ticket)
