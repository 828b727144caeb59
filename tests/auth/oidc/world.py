"""An issuer, its tokens, and clocks that a test moves."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from joserfc.jwk import Key
from loadtests.local_issuer import LocalIssuer, ec_key, ed_key, rsa_key

from eventbus_gateway.auth.oidc.keys import Times
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.source import HttpKeySource
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.principal import Principal

RSA, OTHER_RSA = rsa_key(), rsa_key()
EC, OTHER_EC, EC_384, EC_521 = ec_key(), ec_key(), ec_key("P-384"), ec_key("P-521")
ED = ed_key()
CALLER = Principal("corp.caller")


class Clocks:
    """Both clocks; sleepers wake when theirs has come far enough."""

    def __init__(self) -> None:
        self.epoch = 1_900_000_000.0
        self.steady = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    @property
    def times(self) -> Times:
        return Times(lambda: self.epoch, lambda: self.steady, self._sleep)

    def advance(self, seconds: float) -> None:
        self.epoch += seconds
        self.steady += seconds
        for until, future in self._sleepers:
            if until <= self.steady and not future.done():
                future.set_result(None)
        self._sleepers = [(until, future) for until, future in self._sleepers if not future.done()]

    @property
    def sleeping(self) -> int:
        return len(self._sleepers)

    async def _sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.steady + seconds, future))
        await future


def settings(issuer: LocalIssuer, /, **changes: Any) -> OidcIssuerSettings:
    values = {"prefix": "corp", "issuer": issuer.url, "audiences": ("eventbus",), "allow_http": True}
    return OidcIssuerSettings.model_validate(values | changes)


# Reading the system's authorities takes longer than most tests.
_TLS = ssl.create_default_context()


def _source(chosen: OidcIssuerSettings) -> HttpKeySource:
    return HttpKeySource(chosen, _TLS if chosen.ca_file is None else None)


class World:
    """Everything that most tests need."""

    def __init__(self) -> None:
        self.clocks = Clocks()
        self.issuer = LocalIssuer(lambda: self.clocks.epoch)
        self.issuer.keys["rsa"] = RSA

    def publish(self, **keys: Key) -> None:
        self.issuer.keys.update(keys)

    @contextlib.asynccontextmanager
    async def tokens(self, *all_settings: OidcIssuerSettings, **changes: Any) -> AsyncIterator[OidcTokens]:
        """Started, and ended at the end."""
        chosen = all_settings or (settings(self.issuer, **changes),)
        tokens = OidcTokens(chosen, times=self.clocks.times, source=_source)
        try:
            await tokens.start()
            yield tokens
        finally:
            await tokens.aclose()


async def principal(tokens: OidcTokens, token: bytes) -> Principal:
    """Whom a token stands for, however long it takes to find out."""
    found = tokens(token)
    return found if isinstance(found, Principal) else await found
