"""Where an issuer's keys come from: one bounded fetch."""

import asyncio
import ssl
from typing import Protocol
from urllib.parse import urlsplit

import httpx2

from eventbus_gateway.auth.oidc.compact import json_object
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.bounded_http import TooLarge, body_within, time_limits
from eventbus_gateway.tls import context_of

_OK = 200
_HEADERS = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "eventbus-gateway"}
_MAX_URL_CHARACTERS = 1_024


class NotFetched(Exception):
    """There is no answer; its text says why in fixed words."""


class KeySource(Protocol):
    """Gives the JWK Set of one issuer."""

    async def fetch(self) -> bytes:
        """The text of the JWK Set.

        Raises:
            NotFetched: there is none.
        """
        ...

    async def aclose(self) -> None: ...


class HttpKeySource:
    """Fetches with a limit on everything, follows no redirect and keeps no connection.

    It stands on the transport of httpx2, which leaves out redirects, cookies, proxies and ``.netrc``.

    Args:
        settings: the issuer.
        tls: what certificates are checked with; made from the settings when None.

    Raises:
        ValueError: a URL or the file with authorities cannot be used.
    """

    def __init__(self, settings: OidcIssuerSettings, tls: ssl.SSLContext | None = None) -> None:
        self._issuer = settings.issuer
        self._jwks_url = settings.jwks_url
        self._allow_http = settings.allow_http
        self._timeout = settings.timeout_seconds
        self._max_bytes = settings.max_response_bytes
        if not self._may_fetch(settings.jwks_url or settings.issuer):
            raise ValueError(f"auth.oidc {settings.prefix}: keys are fetched from https:// only, without user")
        self._extensions = time_limits(settings.timeout_seconds, settings.connect_timeout_seconds)
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or context_of(settings.ca_file, f"auth.oidc {settings.prefix}: ca_file"),
            trust_env=False,
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=0),
        )

    async def fetch(self) -> bytes:
        """The text of the JWK Set, whose place is looked up first where it is not configured.

        Raises:
            NotFetched: no complete answer within the bounds, or the issuer describes itself in another way.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._get(self._jwks_url or await self._discovered())
        except (TimeoutError, httpx2.TimeoutException):
            raise NotFetched(f"no answer within {self._timeout:g} s") from None
        except TooLarge:
            raise NotFetched(f"the answer exceeds {self._max_bytes} bytes") from None
        except httpx2.DecodingError:
            raise NotFetched("the answer does not decompress") from None
        # A broken TLS connection surfaces as the OSError that it is, past the mapping of httpx2.
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise NotFetched(_reason(error)) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _discovered(self) -> str:
        """The place of the keys (OpenID Connect Discovery 1.0, sections 4.1 and 4.3)."""
        text = await self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            document = json_object(text)
        except ValueError:
            raise NotFetched("the discovery document is no JSON object") from None
        # Otherwise keys of one issuer could be had for the tokens of another one.
        if document.get("issuer") != self._issuer:
            raise NotFetched("the discovery document is of another issuer")
        place = document.get("jwks_uri")
        if not isinstance(place, str) or not self._may_fetch(place):
            raise NotFetched("the discovery document has no jwks_uri that may be used")
        return place

    def _may_fetch(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        schemes = {"https", "http"} if self._allow_http else {"https"}
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _MAX_URL_CHARACTERS
        return plain and parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc

    async def _get(self, url: str) -> bytes:
        request = httpx2.Request("GET", url, headers=_HEADERS, extensions=self._extensions)
        response = await self._transport.handle_async_request(request)
        try:
            if response.status_code != _OK:
                raise NotFetched(f"the answer is {response.status_code}")
            return await body_within(response, self._max_bytes)
        finally:
            await response.aclose()


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words that cannot carry an address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted (OpenSSL verify code {cause.verify_code})"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    return "connecting failed" if isinstance(error, httpx2.ConnectError) else "the connection broke"
