"""A record on its way into Kafka and what became of it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from eventbus_gateway.errors import GatewayError


class Record(NamedTuple):
    """What one event becomes in Kafka.

    Args:
        key: partitioning key, None spreads over the partitions.
        value: encoded data.
        headers: record headers in order.
        size: bytes of all of these, by whoever made the record and knows that every header's name is plain ASCII; 0
            has them looked at once more.
    """

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    size: int = 0


class Stored(NamedTuple):
    """All in-sync replicas have the record (``acks=all``).

    Args:
        partition: where it is.
        offset: its position there; -1 where Kafka confirmed the record without telling its position, which can
            happen when an acknowledgement was lost with a broker.
        timestamp: milliseconds since the epoch that the log shows for it.
    """

    partition: int
    offset: int
    timestamp: int


class NotStored(NamedTuple):
    """The record is certainly not in the log."""

    error: GatewayError


class Unknown(NamedTuple):
    """The record may or may not be, or become, part of the log."""

    error: GatewayError


Outcome = Stored | NotStored | Unknown


class RecordSink(Protocol):
    """Where encoded records go."""

    def send(self, topic: str, records: Sequence[Record]) -> "asyncio.Future[list[Outcome]]":
        """Hand over all records of one request, in order.

        Returns a future with one outcome per record, in the order given; it always completes within the delivery
        timeout and never with an exception.

        Raises:
            Unavailable: nothing was handed over (Kafka is down, a bound is reached, the gateway shuts down).
        """
        ...
