"""The keys of one issuer, kept at hand and fetched again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from eventbus_gateway.auth.oidc.keyset import KeySet, UnusableKeySet, VerifyingKey, key_set
from eventbus_gateway.auth.oidc.refusals import Refusal, refuse
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.source import KeySource, NotFetched
from eventbus_gateway.errors import GatewayError, IssuerUnavailable, Overloaded, ShuttingDown

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks that tokens and keys live by.

    Args:
        now: seconds since the epoch, which the claims of tokens speak of.
        clock: seconds that never go back, for the age of keys.
        sleep: lets some of those pass.
    """

    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Missing(Enum):
    """What to do about a key that is not at hand."""

    FETCH = auto()
    """It may have been published meanwhile."""
    UNKNOWN = auto()
    """The issuer was asked a moment ago and does not publish it."""
    UNAVAILABLE = auto()
    """The issuer was asked a moment ago and did not answer."""


def missing(since_fetch: float | None, failed: bool, min_seconds: float) -> Missing:
    """What to do about a key that is not at hand; made-up names of keys must not become a flood of fetches.

    Args:
        since_fetch: seconds since the last fetch ended; None before the first one.
        failed: whether that one failed.
        min_seconds: least time between two fetches.
    """
    if since_fetch is None or since_fetch >= min_seconds:
        return Missing.FETCH
    return Missing.UNAVAILABLE if failed else Missing.UNKNOWN


class IssuerKeys:
    """Fetched at start, by age, and when a token names an unknown one; never twice at a time, never too often.

    Args:
        settings: the issuer.
        source: where its keys come from.
        times: the clocks.
        lost: called when a key is not there any more.
    """

    def __init__(
        self, settings: OidcIssuerSettings, source: KeySource, times: Times, lost: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._source = source
        self._clock = times.clock
        self._sleep = times.sleep
        self._lost = lost
        self._keys: KeySet = {}
        self._fetched = 0.0
        self._tried: float | None = None
        self._failure: str | None = None
        self._waiting = 0
        self._flight: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def find(self, kid: str) -> VerifyingKey | None:
        """The key with this name, if it is at hand."""
        return self._keys.get(kid)

    @property
    def age(self) -> float | None:
        """Seconds since the keys were fetched; None before that."""
        return None if self._tried is None or not self._keys else self._clock() - self._fetched

    def start(self) -> Coroutine[Any, Any, object]:
        """Begin to fetch the keys, and go on doing so by age, also where nobody waits.

        Returns:
            What waits until they were fetched once, whether or not that succeeded.
        """
        first = self._begin()
        self._runner = asyncio.get_running_loop().create_task(self._run(first))
        return asyncio.wait([first])

    async def aclose(self) -> None:
        """Give up what is under way."""
        self._closed = True
        tasks = [task for task in (self._runner, self._flight) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.aclose()

    def require_fetch(self) -> None:
        """Whether waiting for a fetch makes sense where a key is not at hand.

        Raises:
            Unauthenticated: no, its issuer does not publish it.
            IssuerUnavailable: no, not now.
        """
        if self._flight is None:
            since = None if self._tried is None else self._clock() - self._tried
            step = missing(since, self._failure is not None, self._settings.min_refresh_seconds)
            if step is not Missing.FETCH:
                raise self.absence()

    async def fetched(self) -> None:
        """Wait for the fetch that is under way, or for a new one.

        Raises:
            Unavailable: too many wait, or the gateway shuts down.
        """
        if self._waiting >= self._settings.max_waiting:
            raise Overloaded("Too many requests wait for the keys of the token's issuer.")
        self._waiting += 1
        try:
            flight = self._begin()
            await asyncio.wait([flight])
        finally:
            self._waiting -= 1
        if flight.cancelled():
            raise ShuttingDown

    def absence(self) -> GatewayError:
        """What to say about a key that is not there even though it was looked for."""
        if self._failure is None:
            return refuse(Refusal.UNKNOWN_KEY)
        again = (self._tried or 0.0) + self._settings.min_refresh_seconds - self._clock()
        return IssuerUnavailable("The keys of the token's issuer cannot be had now.", retry_after=max(0.0, again))

    def _begin(self) -> asyncio.Task[None]:
        if self._closed:
            raise ShuttingDown
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._fetch())
        return self._flight

    async def _run(self, flight: asyncio.Task[None]) -> None:
        while True:
            await asyncio.wait([flight])
            # Looked at again after each sleep: a token may have had the keys fetched meanwhile.
            while (rest := self._due() - self._clock()) > 0:
                await self._sleep(rest)
            flight = self._begin()

    def _due(self) -> float:
        settings = self._settings
        seconds = settings.refresh_seconds if self._failure is None else settings.min_refresh_seconds
        return (self._tried or 0.0) + seconds

    async def _fetch(self) -> None:
        try:
            self._take(key_set(await self._source.fetch(), self._settings.max_keys))
        except (NotFetched, UnusableKeySet) as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - the rim of the task: without it keys would never be fetched again
            self._fail(f"{type(error).__name__} was raised")
        finally:
            self._flight = None

    def _take(self, keys: KeySet) -> None:
        self._tried = self._fetched = self._clock()
        if self._failure is not None:
            _logger.info("the keys of issuer %s were fetched again", self._settings.prefix)
        if not keys:
            _logger.warning("issuer %s publishes no key that can be used", self._settings.prefix)
        self._failure = None
        self._replace(keys)

    def _fail(self, why: str) -> None:
        self._tried = self._clock()
        if why != self._failure:
            _logger.warning("the keys of issuer %s cannot be fetched: %s", self._settings.prefix, why)
        self._failure = why
        if self._keys and self._tried - self._fetched >= self._settings.max_key_age_seconds:
            _logger.warning("the keys of issuer %s are too old and do not count any more", self._settings.prefix)
            self._replace({})

    def _replace(self, keys: KeySet) -> None:
        gone = _some_gone(self._keys, keys)
        self._keys = keys
        if gone:
            self._lost()


def _some_gone(before: Mapping[str, VerifyingKey], after: Mapping[str, VerifyingKey]) -> bool:
    """Whether a key is not there any more, or is another one or for less than before."""
    return any(after.get(kid) != key for kid, key in before.items())
