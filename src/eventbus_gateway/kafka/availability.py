"""Whether Kafka can be reached, decided from what the client reports."""

from enum import Enum

_PROBES_BEFORE_DOWN = 2


class State(Enum):
    """What is believed about Kafka as a whole."""

    UP = "up"
    SUSPECTED = "suspected"
    """A connection failed: some other broker may still do; nothing is refused, but somebody should look."""
    DOWN = "down"


class Availability:
    """A state machine without I/O: errors make it suspicious or certain, probes settle it."""

    def __init__(self) -> None:
        self.state = State.UP
        self._failed_probes = 0

    @property
    def down(self) -> bool:
        """Whether publishes are to be refused."""
        return self.state is State.DOWN

    @property
    def settled(self) -> bool:
        """Whether no probe is needed."""
        return self.state is State.UP

    def all_brokers_down(self) -> None:
        """The client has no connection left."""
        self.state = State.DOWN

    def broker_failed(self) -> None:
        """One connection failed; the first one of several says nothing about the cluster."""
        if self.state is State.UP:
            self.state = State.SUSPECTED
            self._failed_probes = 0

    def probed(self, *, reachable: bool) -> None:
        """A probe ended.

        One failed probe may have asked the very broker that hangs, so it takes two in a row.
        """
        if reachable:
            self.state = State.UP
            self._failed_probes = 0
            return
        self._failed_probes += 1
        if self._failed_probes >= _PROBES_BEFORE_DOWN:
            self.state = State.DOWN
