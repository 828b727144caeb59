"""Bearer tokens of the configured issuers, each turned into a principal or refused."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

from eventbus_gateway.auth.oidc.compact import presented
from eventbus_gateway.auth.oidc.issuer import Issuer, Seen
from eventbus_gateway.auth.oidc.keys import Times
from eventbus_gateway.auth.oidc.refusals import Refusal, refuse
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.source import HttpKeySource, KeySource
from eventbus_gateway.auth.principal import Principal

_sha256 = hashlib.sha256


class OidcTokens:
    """Establishes who calls from a signed JWT (RFC 7519) of one of several issuers.

    Args:
        settings: the issuers; each has its own URL and its own prefix.
        times: the clocks.
        source: makes what fetches an issuer's keys.

    Raises:
        ValueError: two issuers have the same URL or prefix, or one cannot be used as configured.
    """

    def __init__(
        self,
        settings: Sequence[OidcIssuerSettings],
        *,
        times: Times | None = None,
        source: Callable[[OidcIssuerSettings], KeySource] = HttpKeySource,
    ) -> None:
        times = times or Times()
        for names in ([one.issuer for one in settings], [one.prefix for one in settings]):
            if len(set(names)) != len(names):
                raise ValueError("auth.oidc: every issuer needs a URL and a prefix of its own")
        self._issuers = tuple(Issuer(one, source(one), times) for one in settings)
        self._by_url = {issuer.url: issuer for issuer in self._issuers}
        self._max_bytes = max((one.max_token_bytes for one in settings), default=0)

    def __len__(self) -> int:
        """How many verified tokens are remembered."""
        return sum(map(len, self._issuers))

    def key_ages(self) -> dict[str, float]:
        """Seconds since the keys of each issuer were fetched, by its prefix; one without keys is left out."""
        ages = {issuer.prefix: issuer.keys.age for issuer in self._issuers}
        return {prefix: age for prefix, age in ages.items() if age is not None}

    async def start(self) -> None:
        """Fetch the keys of all issuers; one that cannot be reached is asked again in the background."""
        await asyncio.gather(*(issuer.keys.start() for issuer in self._issuers))

    async def aclose(self) -> None:
        """End everything that is under way, and close all connections."""
        await asyncio.gather(*(issuer.keys.aclose() for issuer in self._issuers))

    def __call__(self, token: bytes) -> Principal | Awaitable[Principal]:
        """Whom a token stands for.

        Args:
            token: what followed ``Bearer`` and its spaces.

        Returns:
            The principal; an awaitable of it where the issuer's keys have to be fetched first.

        Raises:
            Unauthenticated: the token is not good; says in fixed words why.
            Unavailable: the keys of its issuer cannot be had now.
        """
        if len(token) > self._max_bytes:
            raise refuse(Refusal.TOO_LONG)
        # Looking up a digest leaks at most the timing of a hash of what the caller sent, which leads to no token.
        digest = _sha256(token).digest()
        for issuer in self._issuers:
            principal = issuer.recall(digest)
            if principal is not None:
                return principal
        found = presented(token)
        url = found.claims.get("iss")
        named = self._by_url.get(url) if isinstance(url, str) else None
        if named is None:
            raise refuse(Refusal.ISSUER)
        return named.principal(found, Seen(digest, len(token)))
