"""What all connections of a listening socket share, and the sweep that watches over their timeouts."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.framing import target
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.headers import HttpDate
from eventbus_gateway.api.heads import KnownHeads
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.routes import Match
from eventbus_gateway.api.settings import HttpSettings, PublishSettings
from eventbus_gateway.errors import GatewayError, MalformedRequest

SWEEP_SECONDS = 0.25
# Targets of hot routes are few; a flood of made-up ones must not grow the memory of them.
_MAX_TARGETS = 1_024


class Expiring(Protocol):
    """A connection with deadlines: for what the caller has to send, and for what it has to read."""

    deadline: float
    flush_deadline: float

    def expire(self) -> None:
        """Act on the deadline that has passed."""
        ...


class Edge:
    """The shared part of all connections.

    Args:
        gateway: answers requests.
        admission: bounds how many are in work.
        http: bounds on connections and heads.
        publish: bounds on bodies.
        ids: makes request ids.
    """

    def __init__(
        self, gateway: Gateway, admission: Admission, http: HttpSettings, publish: PublishSettings, ids: IdSource
    ) -> None:
        self.gateway = gateway
        self.admission = admission
        self.http = http
        self.publish = publish
        self.ids = ids
        self._http_date = HttpDate()
        self.date = self._http_date()
        self.connections: set[Expiring] = set()
        self.turned_away = 0  # of these, the ones beyond the bound that have their refusal to read
        self.is_draining = False
        self.now = 0.0
        self.lag = 0.0
        self.note_lag: Callable[[float], None] = _ignored
        """Told four times a second how many seconds the loop was late."""
        self.heads = KnownHeads()
        self._hot: dict[tuple[bytes, bytes], tuple[str, bytes, Match]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch over timeouts; needs the running loop."""
        self.now = asyncio.get_running_loop().time()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        """End the watch."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        # One sweep costs less than a timer per request; in exchange, timeouts are exact to its interval.
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.lag = max(0.0, now - self.now - SWEEP_SECONDS)
        self.now = now
        self.note_lag(self.lag)
        self.date = self._http_date()
        # First of all, so that a failure below does not end the watch.
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)
        for connection in [found for found in self.connections if found.deadline < now or found.flush_deadline < now]:
            connection.expire()

    def hot(self, method: bytes, url: bytes) -> tuple[str, bytes, Match] | None:
        """Path, query and route of a request that is answered past ASGI; None for all others.

        Raises:
            MalformedRequest: the target is not usable.
        """
        known = self._hot.get((method, url))
        if known is not None:
            return known
        if method == b"CONNECT":
            raise MalformedRequest("This is no proxy.")
        path, query = target(url)
        if self.http.hot_path != "protocol":
            return None
        try:
            match = self.gateway.router.match(method.decode("ascii"), path)
        except GatewayError:
            return None
        if not match.route.is_hot:
            return None
        if len(self._hot) < _MAX_TARGETS:
            self._hot[method, url] = (path, query, match)
        return path, query, match


def _ignored(lag: float) -> None:
    """Where nobody measures."""
