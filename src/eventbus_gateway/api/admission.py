"""How much is worked on at the same time."""

from eventbus_gateway.api.settings import HttpSettings, ReadSettings
from eventbus_gateway.auth.shares import Bounds
from eventbus_gateway.errors import Overloaded
from eventbus_gateway.kafka.settings import KafkaSettings


class Admission:
    """Counts requests and the bytes of their bodies, and refuses what goes beyond the bounds.

    Args:
        max_requests: requests at the same time.
        max_bytes: bytes of their bodies at the same time, as they came.
    """

    __slots__ = ("_max_bytes", "_max_requests", "bytes", "requests")

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def enter(self, held: int = 0) -> None:
        """Let one request in; :meth:`leave` has to follow.

        Args:
            held: bytes of its body that are there already.

        Raises:
            Overloaded: too many requests or bytes; nothing was counted.
        """
        if self.requests >= self._max_requests:
            raise Overloaded("Too many requests are being worked on.", retry_after=1.0)
        if held:
            self.hold(held)
        self.requests += 1

    def hold(self, count: int) -> None:
        """Count bytes that arrived for a request that is in.

        Raises:
            Overloaded: too many bytes; these were not counted.
        """
        if self.bytes + count > self._max_bytes:
            raise Overloaded("Too many bytes are being worked on.", retry_after=1.0)
        self.bytes += count

    def leave(self, held: int) -> None:
        """Let a request go, with the bytes that were held for it."""
        self.requests -= 1
        self.bytes -= held


def admission(http: HttpSettings, *, shares: bool) -> Admission:
    """The bounds on what is worked on, as configured.

    Args:
        http: the section.
        shares: whether callers share the requests among themselves once it is known who they are.
    """
    # Nobody is known yet where requests enter. There is room for one that is about to be refused on each connection
    # then, or whoever asks the most often would take all places from those who have a share left.
    extra = http.max_connections if shares else 0
    return Admission(http.max_in_flight_requests + extra, http.max_in_flight_bytes)


def bounds(http: HttpSettings, kafka: KafkaSettings, read: ReadSettings) -> Bounds:
    """What callers share, as configured."""
    return Bounds(
        http.max_in_flight_requests,
        http.max_in_flight_bytes,
        kafka.max_in_flight_records,
        kafka.max_in_flight_bytes,
        read.max_concurrent_polls,
        read.max_streams,
    )
