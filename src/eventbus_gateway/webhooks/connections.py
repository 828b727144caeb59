"""Connections to receivers: only to addresses that the rules allow, kept for a while between requests."""

import asyncio
import ssl
from collections import deque

from eventbus_gateway.webhooks.addresses import AddressRules, forbidden
from eventbus_gateway.webhooks.guard import Target
from eventbus_gateway.webhooks.names import Names
from eventbus_gateway.webhooks.outbound import Failure
from eventbus_gateway.webhooks.wire import Wire

_MAX_TRIED = 8
"""Addresses of one name that are tried for one attempt."""
_EARLIER_SECONDS = 1.0
"""So much earlier than announced a receiver's idle connection is given up."""

_Origin = tuple[str, str, int, bool]


class Connections:
    """Opens connections and keeps those that are fit for another request.

    Every address is judged right before it is connected to, and it is that address which is connected to: names that
    change between a check and a connection, and hosts that are addresses, get nowhere else.

    Args:
        names: the addresses of names.
        rules: what the configuration says about addresses.
        tls: whom to trust.
        idle_seconds: how long an unused connection is kept.
        max_kept: connections, used and unused, beyond which none is kept that is not used.
    """

    def __init__(
        self, names: Names, rules: AddressRules, tls: ssl.SSLContext, *, idle_seconds: float, max_kept: int
    ) -> None:
        self._names = names
        self._rules = rules
        self._tls = tls
        self._idle_seconds = idle_seconds
        self._max_kept = max_kept
        self._loop = asyncio.get_running_loop()
        self._idle: dict[_Origin, deque[tuple[float, Wire]]] = {}
        self._live: set[Wire] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._live)

    def idle(self, target: Target) -> Wire | None:
        """A connection that was kept, the one that was used last.

        Args:
            target: whom to call.
        """
        kept = self._idle.get(_origin(target))
        while kept:
            until, wire = kept.pop()
            if wire.usable:
                if self._loop.time() < until:
                    return wire
                wire.drop()
        return None

    def keep(self, target: Target, wire: Wire) -> None:
        """Keep a connection for another request, if it is fit for one.

        Args:
            target: whom it leads to.
            wire: the connection.
        """
        if not wire.usable:
            return
        if len(self._live) > self._max_kept:
            wire.drop()
            return
        seconds = self._idle_seconds
        if wire.announced_seconds is not None:
            seconds = min(seconds, wire.announced_seconds - _EARLIER_SECONDS)
        self._idle.setdefault(_origin(target), deque()).append((self._loop.time() + seconds, wire))
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_seconds, self._swept)

    async def open(self, target: Target, seconds: float) -> Wire | Failure:
        """A new connection, or why there is none.

        Args:
            target: whom to call.
            seconds: how long the look-up, connecting and TLS may take together.
        """
        end = self._loop.time() + seconds
        try:
            async with asyncio.timeout_at(end):
                found = (
                    (target.host,) if target.is_address else await self._names.addresses(target.url.raw_host or "")
                )
        except OSError:
            return "dns"
        rules = self._rules._replace(any_network=target.trusted)
        allowed = [address for address in found if forbidden(address, rules) is None][:_MAX_TRIED]
        if not allowed:
            return "forbidden_address"
        for number, address in enumerate(allowed):
            now = self._loop.time()
            wire = await self._connected(target, address, now + (end - now) / (len(allowed) - number))
            if wire != "connect":
                return wire
        return "connect"

    async def aclose(self) -> None:
        """End all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        while self._live:
            for wire in self._live:
                wire.drop()
            await asyncio.sleep(0)

    async def _connected(self, target: Target, address: str, end: float) -> Wire | Failure:
        secure = target.url.scheme == "https"
        try:
            async with asyncio.timeout_at(end):
                _, wire = await self._loop.create_connection(
                    lambda: Wire(self._live),
                    address,
                    target.port,
                    ssl=self._tls if secure else None,
                    server_hostname=target.host if secure else None,
                )
        except ssl.SSLError:
            return "tls"
        except OSError:
            return "connect"
        return wire

    def _swept(self) -> None:
        """Give up what has been idle for too long; once per idle time for all, instead of a timer each."""
        now = self._loop.time()
        for origin, kept in list(self._idle.items()):
            while kept and (kept[0][0] <= now or not kept[0][1].usable):
                kept.popleft()[1].drop()
            if not kept:
                del self._idle[origin]
        self._sweep = self._loop.call_later(self._idle_seconds, self._swept) if self._idle else None


def _origin(target: Target) -> _Origin:
    # With the last dot of a name, which changes where it is looked up.
    return target.url.scheme, target.url.raw_host or "", target.port, target.trusted
