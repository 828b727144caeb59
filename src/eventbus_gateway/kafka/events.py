"""What happens to the producer rarely enough to be counted and logged one by one."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["down", "up", "fatal", "replaced", "refused_batch", "throttled", "reports_lost"]


@dataclass(frozen=True, slots=True)
class ProducerEvent:
    """A rare incident.

    Args:
        kind: ``down`` and ``up``: Kafka could not be reached, and can again. ``fatal``: the client failed for good.
            ``replaced``: a new client stands. ``refused_batch``: a broker refused a whole batch, its records are
            tried one by one. ``throttled``: a quota slows us down. ``reports_lost``: records were never reported on.
        detail: one sentence without anything that a caller sent.
    """

    kind: Kind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProducerStatus:
    """The producer at one moment.

    Args:
        up: whether publishes are taken.
        in_flight_records: records that wait for their acknowledgement.
        in_flight_bytes: their bytes.
        oldest_seconds: age of the oldest request that waits, 0 when none does.
        replaced: how often the client was replaced after a fatal error.
    """

    up: bool
    in_flight_records: int
    in_flight_bytes: int
    oldest_seconds: float
    replaced: int
