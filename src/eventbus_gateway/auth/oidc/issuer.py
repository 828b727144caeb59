"""One issuer: its keys, what its tokens have to say, and the tokens of it that came before."""

from collections import OrderedDict
from collections.abc import Awaitable
from typing import NamedTuple

from eventbus_gateway.auth.oidc.claims import Accepted, ClaimRules
from eventbus_gateway.auth.oidc.compact import Presented
from eventbus_gateway.auth.oidc.keys import IssuerKeys, Times
from eventbus_gateway.auth.oidc.keyset import VerifyingKey
from eventbus_gateway.auth.oidc.refusals import Refusal, refuse
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.source import KeySource
from eventbus_gateway.auth.principal import Principal


class Seen(NamedTuple):
    """A token that came before; only its hash is kept.

    Args:
        digest: SHA-256 of the token.
        size: its length in bytes.
    """

    digest: bytes
    size: int


class Issuer:
    """Verifies the tokens of one issuer.

    Args:
        settings: the issuer.
        source: where its keys come from.
        times: the clocks.
    """

    def __init__(self, settings: OidcIssuerSettings, source: KeySource, times: Times) -> None:
        self.url = settings.issuer
        self.prefix = settings.prefix
        self._algorithms = frozenset(settings.algorithms)
        self._rules = ClaimRules(settings)
        self._max_token_bytes = settings.max_token_bytes
        self._max_tokens = settings.max_tokens
        self._now = times.now
        self._accepted: OrderedDict[bytes, Accepted] = OrderedDict()
        # Forgotten all together: keys go rarely, and to verify a token again costs little.
        self.keys = IssuerKeys(settings, source, times, lost=self._accepted.clear)

    def __len__(self) -> int:
        return len(self._accepted)

    def recall(self, digest: bytes) -> Principal | None:
        """Whom a token stands for that was verified before and has not ended.

        Args:
            digest: SHA-256 of the token.
        """
        accepted = self._accepted.get(digest)
        if accepted is None:
            return None
        if self._now() >= accepted.ends:
            del self._accepted[digest]
            return None
        self._accepted.move_to_end(digest)
        return accepted.principal

    def principal(self, token: Presented, seen: Seen) -> Principal | Awaitable[Principal]:
        """Whom a token stands for; an awaitable where keys have to be fetched first.

        Args:
            token: a token that names this issuer.
            seen: what is remembered of it.

        Raises:
            Unauthenticated: the token is not good.
            Unavailable: whether it is cannot be said now.
        """
        if seen.size > self._max_token_bytes:
            raise refuse(Refusal.TOO_LONG)
        if token.algorithm not in self._algorithms:
            raise refuse(Refusal.ALGORITHM)
        key = self.keys.find(token.kid)
        if key is not None:
            return self._verified(token, key, seen)
        self.keys.require_fetch()
        return self._when_fetched(token, seen)

    async def _when_fetched(self, token: Presented, seen: Seen) -> Principal:
        await self.keys.fetched()
        key = self.keys.find(token.kid)
        if key is None:
            raise self.keys.absence()
        return self._verified(token, key, seen)

    def _verified(self, token: Presented, key: VerifyingKey, seen: Seen) -> Principal:
        if token.algorithm not in key.algorithms:
            raise refuse(Refusal.ALGORITHM)
        if not key.verifies(token):
            raise refuse(Refusal.SIGNATURE)
        accepted = self._rules.accepted(token.claims, self._now())
        self._accepted[seen.digest] = accepted
        if len(self._accepted) > self._max_tokens:
            self._accepted.popitem(last=False)
        return accepted.principal
