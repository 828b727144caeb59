"""Sends requests to receivers: one attempt each, within bounds, only to where the rules allow."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from eventbus_gateway.errors import ShuttingDown
from eventbus_gateway.tls import context_of
from eventbus_gateway.webhooks.connections import Connections
from eventbus_gateway.webhooks.guard import Refusal, Target, check_url, rules_of
from eventbus_gateway.webhooks.names import Lookup, Names, NameTimes, SystemLookup
from eventbus_gateway.webhooks.outbound import Attempted, Failure, HeaderRules, Outbound, retry_after
from eventbus_gateway.webhooks.places import Places
from eventbus_gateway.webhooks.settings import WebhookSettings
from eventbus_gateway.webhooks.wire import Answered, Wire

_MAX_ROUTES = 10_000
"""URLs whose checks are remembered."""
_OWN_HEADERS = "user-agent: eventbus-gateway\r\naccept-encoding: identity\r\n"
_SHORTEST_SECONDS = 0.001


class Kept(NamedTuple):
    """A request with the answer to it.

    Args:
        attempted: what became of it.
        answered: what came back; nothing where nothing was sent.
    """

    attempted: Attempted
    answered: Answered


class Exchanges(Protocol):
    """What handshakes and authorization servers need of a sender."""

    async def exchange(self, method: str, request: Outbound, max_bytes: int) -> Kept: ...


class _Route(NamedTuple):
    """A URL that may be called, with the part of each request that follows from it."""

    target: Target
    text: str

    def __repr__(self) -> str:
        return f"_Route({self.target!r})"


class Sender:
    """Connections to all receivers.

    All methods belong to the event loop that called ``start()``. Nothing is sent twice, and no redirect is followed.

    Args:
        settings: whom may be called, times and bounds.
        lookup: asks for the addresses of names; the operating system when None.
        clock: seconds that never go back.

    Raises:
        ValueError: ``webhooks.ca_file`` cannot be used.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._rules = rules_of(settings)
        self._tls = context_of(settings.ca_file, "webhooks.ca_file")
        self._tls.set_alpn_protocols(["http/1.1"])
        self._clock = clock
        self._lookup = lookup
        self._system: SystemLookup | None = None
        self._names: Names | None = None
        self._connections: Connections | None = None
        self._headers = HeaderRules()
        self._routes: dict[str, _Route | Refusal] = {}
        self._places = Places(
            settings.connections_per_endpoint, settings.max_connections, settings.max_waiting_attempts
        )

    async def start(self) -> None:
        """Be ready to connect; nobody is connected to before there is something to send."""
        settings = self._settings
        if self._lookup is None:
            self._lookup = self._system = SystemLookup(settings.dns_threads)
        times = NameTimes.for_threads(
            settings.dns_threads,
            wait=settings.dns_timeout_seconds,
            keep=settings.dns_cache_seconds,
            failure=settings.dns_failure_seconds,
            names=settings.max_dns_names,
        )
        self._names = Names(self._lookup, times, clock=self._clock)
        self._connections = Connections(
            self._names,
            self._rules.addresses,
            self._tls,
            idle_seconds=settings.idle_connection_seconds,
            max_kept=settings.max_connections,
        )

    async def close(self) -> None:
        """End all connections; attempts under way fail."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.aclose()
        if self._names is not None:
            await self._names.aclose()
        if self._system is not None:
            self._system.close()

    def check(self, url: str) -> Target | Refusal:
        """A URL as it is called, or why it may not be.

        Args:
            url: absolute URL.
        """
        route = self._route(url)
        return route if isinstance(route, Refusal) else route.target

    async def send(self, request: Outbound) -> Attempted:
        """POST to a receiver, once. Of its answer only status and head count.

        Args:
            request: what to send, and where to.

        Raises:
            ShuttingDown: the sender was closed, or not started.
        """
        return (await self._exchange("POST", request, self._settings.max_answer_bytes, wanted=False)).attempted

    async def exchange(self, method: str, request: Outbound, max_bytes: int) -> Kept:
        """Send any request, once, and keep its answer.

        Args:
            method: HTTP method, in upper case.
            request: what to send, and where to.
            max_bytes: most bytes of the answer's body.

        Raises:
            ShuttingDown: as for ``send``.
        """
        return await self._exchange(method, request, max_bytes, wanted=True)

    async def _exchange(self, method: str, request: Outbound, max_bytes: int, *, wanted: bool) -> Kept:
        began = self._clock()
        route = self._route(request.url)
        if isinstance(route, Refusal):
            address = route.code == "forbidden_address"
            return self._unsent("forbidden_address" if address else "forbidden_url", began)
        if not self._headers.sound(request.headers):
            return self._unsent("invalid_header", began)
        seconds = min(max(request.timeout_seconds, _SHORTEST_SECONDS), self._settings.max_timeout_seconds)
        places, endpoint = self._places, request.endpoint
        if not places.take_now(endpoint) and not await places.take(endpoint, seconds):
            return self._unsent("busy", began)
        began = self._clock()  # waiting for a place is no part of the attempt
        try:
            answered = await self._asked(method, route, request, seconds, (max_bytes, wanted))
        finally:
            places.give(endpoint)
        if not isinstance(answered, Answered):
            return self._unsent(answered, began)
        status, later = answered.status, None
        if status is not None and status >= 300 and (texts := answered.values(b"retry-after")):
            later = retry_after(texts[0])
        return Kept(Attempted(status, answered.failure, later, self._clock() - began), answered)

    async def _asked(
        self, method: str, route: _Route, request: Outbound, seconds: float, answer: tuple[int, bool]
    ) -> Answered | Failure:
        connections = self._connections
        if connections is None:
            raise ShuttingDown("webhooks are not being delivered")
        target, began = route.target, self._clock()
        wire = connections.idle(target)
        if wire is None:
            opened = await connections.open(target, min(seconds, self._settings.connect_timeout_seconds))
            if not isinstance(opened, Wire):
                return opened
            wire = opened
            if self._connections is None:  # closed meanwhile
                wire.drop()
                raise ShuttingDown("webhooks are not being delivered")
            seconds = max(seconds - (self._clock() - began), _SHORTEST_SECONDS)
        answered = await wire.ask(_text(method, route, request), request.body, *answer, seconds)
        connections.keep(target, wire)
        return answered

    def _route(self, url: str) -> _Route | Refusal:
        route = self._routes.get(url)
        if route is None:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            target = check_url(url, self._rules)
            route = self._routes[url] = target if isinstance(target, Refusal) else _Route(target, _fixed(target))
        return route

    def _unsent(self, failure: Failure, began: float) -> Kept:
        seconds = self._clock() - began
        return Kept(Attempted(None, failure, None, seconds), Answered(None, failure, (), b""))


def _fixed(target: Target) -> str:
    host = target.url.host_port_subcomponent
    return f" {target.url.raw_path_qs} HTTP/1.1\r\nhost: {host}\r\n{_OWN_HEADERS}"


def _text(method: str, route: _Route, request: Outbound) -> bytes:
    """Request line and headers (RFC 9112, 3 and 5); what they consist of was checked before."""
    headers = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
    return f"{method}{route.text}{headers}content-length: {len(request.body)}\r\n\r\n".encode("ascii")
