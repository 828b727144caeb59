"""Who is calling: the ways to prove it, and which of them a request has chosen.

What a credential looks like decides which way it is meant for, and that way alone judges it: a bad one is never tried
in another way, and a request with two is refused.
"""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from eventbus_gateway.auth.certificates import Certificates
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.keys import PREFIX
from eventbus_gateway.auth.principal import ANONYMOUS, Principal
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.errors import Unauthenticated

_TOKEN_DOTS = 2
"""A JWT in its compact form (RFC 7515 section 7.1) has three parts, which have no dots."""


class TokenVerifier(Protocol):
    """Establishes who calls from a bearer token of an identity provider."""

    async def start(self) -> None:
        """Begin to keep the providers' keys at hand; they need not be reachable."""
        ...

    async def aclose(self) -> None:
        """Ask the providers for nothing any more."""
        ...

    def __call__(self, token: bytes) -> Principal | Awaitable[Principal]:
        """Whom a token stands for, or what becomes that where a provider has to be asked first.

        Raises:
            Unauthenticated: nobody; also from what is awaited.
            Unavailable: the keys to judge it cannot be had now; also from what is awaited.
        """
        ...


class Authenticate(Protocol):
    """Establishes who calls."""

    @property
    def credentials(self) -> frozenset[bytes]:
        """Names of further headers that carry a credential and so must not come twice, in lower case."""
        ...

    def __call__(self, headers: Mapping[bytes, bytes], peer: str) -> Principal | Awaitable[Principal]:
        """The principal of a request, or what becomes that.

        Args:
            headers: by lower-case name.
            peer: address at the other end of the connection; empty where there is none.

        Raises:
            Unauthenticated: no credential, two, or one that is not accepted; also from what is awaited.
            Unavailable: that cannot be judged now; also from what is awaited.
        """
        ...


class Anonymous:
    """Takes every caller as the same principal; only where the configuration asks for it."""

    credentials: frozenset[bytes] = frozenset()

    def __call__(self, headers: Mapping[bytes, bytes], peer: str) -> Principal:
        return ANONYMOUS


class Chain:
    """Takes each request's one credential to the way that it is meant for.

    Args:
        keys: judges API keys, None where none are accepted.
        tokens: judges tokens of identity providers, None where none are accepted.
        certificates: judges what proxies tell about certificates, None where they are not asked.
        anonymous: whether a request without any credential is let in.
    """

    def __init__(
        self,
        keys: KeyRing | None = None,
        tokens: TokenVerifier | None = None,
        certificates: Certificates | None = None,
        *,
        anonymous: bool = False,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._certificates = certificates
        self._anonymous = anonymous
        self.credentials = frozenset[bytes]() if certificates is None else frozenset({certificates.header})

    def __call__(self, headers: Mapping[bytes, bytes], peer: str) -> Principal | Awaitable[Principal]:
        """The principal of a request, or what becomes that; see ``Authenticate``."""
        authorization = headers.get(b"authorization")
        key = headers.get(b"x-api-key")
        if self._certificates is not None:
            certificate = headers.get(self._certificates.header)
            if certificate is not None:
                if authorization is not None or key is not None:
                    raise _several()
                return self._certificates(certificate, peer)
        if authorization is None:
            return self._without() if key is None else self._by_key(key)
        if key is not None:
            raise _several()
        return self._by_bearer(authorization)

    def _by_bearer(self, authorization: bytes) -> Principal | Awaitable[Principal]:
        scheme, _, credential = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _challenged("The authorization scheme is not supported, use Bearer.", None)
        credential = credential.lstrip(b" ")  # RFC 9110 section 11.4: one or more spaces
        tokens = self._tokens
        if tokens is None or credential.startswith(PREFIX):
            return self._by_key(credential)
        if self._keys is None or credential.count(b".") == _TOKEN_DOTS:
            return tokens(credential)
        return self._by_key(credential)

    def _by_key(self, key: bytes) -> Principal:
        if self._keys is None:
            raise Unauthenticated("API keys are not accepted here.")
        return self._keys(key)

    def _without(self) -> Principal:
        if self._anonymous:
            return ANONYMOUS
        raise _challenged(
            "Send a credential: Authorization: Bearer <API key or token>, or X-API-Key: <API key>.", None
        )


def _several() -> Unauthenticated:
    return _challenged("Send one credential only.", "invalid_request")


def _challenged(detail: str, error: str | None) -> Unauthenticated:
    unauthenticated = Unauthenticated(detail)
    unauthenticated.error = error
    return unauthenticated


def authenticator(
    settings: AuthSettings, keys: KeyRing | None = None, tokens: TokenVerifier | None = None
) -> Authenticate:
    """The ways in which callers prove who they are, as configured.

    Args:
        settings: which ways are accepted.
        keys: the API keys; None where only those of the configuration are.
        tokens: judges tokens of identity providers, where that is one of the ways.

    Raises:
        ValueError: tokens are one of the ways, and nothing can judge them.
    """
    ways = settings.ways
    if ways == {"anonymous"}:
        return Anonymous()
    if "oidc" in ways and tokens is None:
        raise ValueError("auth.methods has oidc, but no issuer of tokens is configured")
    # An empty ring fills up while replicas run.
    ring = keys if keys is not None else KeyRing(settings.api_keys)
    return Chain(
        ring if "api_keys" in ways else None,
        tokens if "oidc" in ways else None,
        Certificates(settings) if "certificates" in ways else None,
        anonymous="anonymous" in ways,
    )
