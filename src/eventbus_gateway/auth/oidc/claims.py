"""Whom a token with a good signature stands for: a pure function of its claims and the time."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from eventbus_gateway.auth.oidc.refusals import Refusal, refuse
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.principal import Principal

_MAX_NAME_CHARACTERS = 64
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LATEST = 253_402_300_799
"""The end of the year 9999: what is said to be later is not a time."""
_SCOPES = frozenset({"scope", "scp"})
"""Claims with space-separated values (RFC 8693 section 4.2; Entra ID's name for the same)."""


class Accepted(NamedTuple):
    """Whom a token stands for.

    Args:
        principal: the caller.
        ends: when the token ends, clock skew included; seconds since the epoch.
    """

    principal: Principal
    ends: float


class ClaimRules:
    """What the claims of one issuer's tokens have to be, and what they mean.

    Args:
        settings: the issuer.
    """

    def __init__(self, settings: OidcIssuerSettings) -> None:
        self._skew = settings.clock_skew_seconds
        self._audiences = frozenset(settings.audiences)
        self._audience = _path(settings.audience_claim)
        self._scopes = frozenset(settings.required_scopes)
        self._prefix = settings.prefix
        self._principal = _path(settings.principal_claim)
        self._roles = [(_path(rule.claim), rule.value, rule.role) for rule in settings.roles]

    def accepted(self, claims: Mapping[str, Any], now: float) -> Accepted:
        """Whom the claims stand for (RFC 7519 section 4.1); their issuer and signature have been looked at.

        Args:
            claims: the claims.
            now: seconds since the epoch.

        Raises:
            Unauthenticated: for nobody, now or here.
        """
        ends = self._ends(claims, now)
        # Who is not among those that aud names must refuse (RFC 7519 section 4.1.3), whatever another claim says.
        audience = _at(claims, self._audience)
        if not (self._is_for_us(audience) and self._is_for_us(claims.get("aud", audience))):
            raise refuse(Refusal.AUDIENCE)
        if not self._scopes <= (_values(claims, ("scope",)) | _values(claims, ("scp",))):
            raise refuse(Refusal.SCOPE)
        return Accepted(Principal(self._name(claims), self._roles_of(claims)), ends)

    def _ends(self, claims: Mapping[str, Any], now: float) -> float:
        expires, begins, issued = claims.get("exp"), claims.get("nbf"), claims.get("iat")
        if expires is None:
            raise refuse(Refusal.NO_EXPIRY)
        for time in (expires, begins, issued):
            if time is not None and not _is_time(time):
                raise refuse(Refusal.CLAIMS)
        ends: float = expires + self._skew
        if now >= ends:
            raise refuse(Refusal.EXPIRED)
        if begins is not None and now < begins - self._skew:
            raise refuse(Refusal.NOT_YET)
        if issued is not None and now < issued - self._skew:
            raise refuse(Refusal.ISSUED_LATER)
        return ends

    def _is_for_us(self, audience: Any) -> bool:
        if isinstance(audience, str):
            return audience in self._audiences
        if not isinstance(audience, list) or not all(isinstance(one, str) for one in audience):
            return False
        return not self._audiences.isdisjoint(audience)

    def _name(self, claims: Mapping[str, Any]) -> str:
        value = _at(claims, self._principal)
        if isinstance(value, str) and _NAME.fullmatch(value):
            # Prefixes have no dots, so the text in front of the first one tells the issuers apart.
            name = f"{self._prefix}.{value}"
            if len(name) <= _MAX_NAME_CHARACTERS:
                return name
        raise refuse(Refusal.PRINCIPAL)

    def _roles_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(role for path, value, role in self._roles if value in _values(claims, path))


def _is_time(value: Any) -> bool:
    """Whether it is a NumericDate (RFC 7519 section 2); the comparison also refuses infinity and endless integers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _path(claim: str) -> tuple[str, ...]:
    if not claim.startswith("/"):
        return (claim,)
    # RFC 6901 section 4: in this order, or ~01 would become a slash.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in claim[1:].split("/"))


def _at(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = claims
    for name in path:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def _values(claims: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[str]:
    found = _at(claims, path)
    if isinstance(found, str):
        return frozenset(found.split(" ")) if path[-1] in _SCOPES else frozenset((found,))
    if isinstance(found, list):
        return frozenset(one for one in found if isinstance(one, str))
    return frozenset()
