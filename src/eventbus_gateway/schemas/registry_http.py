"""One bounded HTTP call to the schema registry."""

import asyncio
import base64
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

from eventbus_gateway.bounded_http import TooLarge, body_within, time_limits
from eventbus_gateway.errors import RegistryUnavailable
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.tls import context_of, fault_of

ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
READ_STATUSES = frozenset({200, 404, 422})
"""Answers whose body means something to the gateway; all others are dropped unread."""
LONGEST_RETRY_AFTER_SECONDS = 60.0
IDLE_CONNECTION_SECONDS = 15.0


class Reply(NamedTuple):
    """What the registry answered.

    Args:
        status: HTTP status.
        body: decompressed body, empty where the status alone says enough.
        retry_after: seconds that the registry asks to wait.
    """

    status: int
    body: bytes
    retry_after: float | None


class RegistryClient:
    """Requests with a limit on everything: connections, time, bytes after decompression.

    It stands on the transport instead of the client of httpx2, which leaves out redirects, cookies, proxies and
    ``.netrc`` from the environment, and log lines with addresses.

    Args:
        settings: address, credentials and bounds.

    Raises:
        ValueError: the URL is empty or carries credentials, or a certificate file cannot be used.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._base = _base(settings.url)
        self._timeout = settings.timeout_seconds
        self._max_bytes = settings.max_response_bytes
        self._headers = _headers(settings)
        self._extensions = time_limits(settings.timeout_seconds, settings.connect_timeout_seconds)
        self._transport = httpx2.AsyncHTTPTransport(
            verify=_tls(settings),
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=IDLE_CONNECTION_SECONDS,
            ),
        )

    async def get(self, path: str) -> Reply:
        """The answer to ``GET`` below the registry's base URL.

        Args:
            path: percent-encoded path.

        Raises:
            RegistryUnavailable: no complete answer within the bounds.
        """
        return await self._answer("GET", path, None)

    async def post(self, path: str, body: bytes) -> Reply:
        """The answer to ``POST`` below the registry's base URL, for questions that do not fit into a path.

        Args:
            path: percent-encoded path.
            body: JSON.

        Raises:
            RegistryUnavailable: no complete answer within the bounds.
        """
        return await self._answer("POST", path, body)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _answer(self, method: str, path: str, content: bytes | None) -> Reply:
        headers = self._headers if content is None else {**self._headers, "content-type": CONTENT_TYPE}
        request = httpx2.Request(
            method, self._base + path, headers=headers, content=content, extensions=self._extensions
        )
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(request)
        except httpx2.ConnectTimeout:
            raise RegistryUnavailable("the schema registry does not accept connections in time") from None
        except (TimeoutError, httpx2.TimeoutException):
            raise RegistryUnavailable(f"the schema registry did not answer within {self._timeout:g} s") from None
        except TooLarge:
            raise RegistryUnavailable(f"the schema registry's answer exceeds {self._max_bytes} bytes") from None
        except httpx2.DecodingError:
            raise RegistryUnavailable("the schema registry's answer does not decompress") from None
        # A broken TLS connection surfaces as the OSError that it is, past the mapping of httpx2.
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise RegistryUnavailable(f"the schema registry cannot be reached: {_reason(error)}") from None

    async def _exchange(self, request: httpx2.Request) -> Reply:
        response = await self._send(request)
        try:
            body = await body_within(response, self._max_bytes) if response.status_code in READ_STATUSES else b""
        finally:
            await response.aclose()
        return Reply(response.status_code, body, _retry_after(response.headers.get("retry-after")))

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._transport.handle_async_request(request)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            # The registry may close an idle connection just as it is taken from the pool. Questions may be repeated.
            return await self._transport.handle_async_request(request)


def _base(url: str) -> str:
    if not url:
        raise ValueError("registry.url is empty")
    if "@" in urlsplit(url).netloc:
        raise ValueError("registry.url must not carry credentials: use registry.username and registry.password")
    return url.rstrip("/")


def _headers(settings: RegistrySettings) -> dict[str, str]:
    headers = {"accept": ACCEPT, "accept-encoding": "gzip", "user-agent": "eventbus-gateway"}
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    elif settings.bearer_token is not None:
        headers["authorization"] = "Bearer " + settings.bearer_token.get_secret_value()
    return headers


def _tls(settings: RegistrySettings) -> ssl.SSLContext:
    context = context_of(settings.ca_file, "registry.ca_file")
    if settings.client_certificate_file is not None:
        _show_certificate(context, settings, settings.client_certificate_file)
    return context


def _show_certificate(context: ssl.SSLContext, settings: RegistrySettings, certificate: str) -> None:
    secret = settings.client_key_password
    # Without a password OpenSSL would ask for one on the terminal, and wait.
    password = "" if secret is None else secret.get_secret_value()
    try:
        context.load_cert_chain(certificate, settings.client_key_file, password)
    except OSError as error:
        kind = "unencrypted key" if secret is None else "key that client_key_password opens"
        if settings.client_key_file is None:
            fault = fault_of(error, f"no certificate with its {kind} in it")
            raise ValueError(f"registry.client_certificate_file cannot be used: {fault}") from None
        fault = fault_of(error, f"they are no certificate and its {kind}")
        keys = "registry.client_certificate_file and registry.client_key_file"
        raise ValueError(f"{keys} cannot be used together: {fault}") from None


def _retry_after(header: str | None) -> float | None:
    """Seconds of a ``Retry-After`` (RFC 9110, 10.2.3); its date form is not taken."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return min(float(header[:9]), LONGEST_RETRY_AFTER_SECONDS)


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words that cannot carry an address or a credential."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted (OpenSSL verify code {cause.verify_code})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the connection was refused"
    if isinstance(error, httpx2.ConnectError):
        return "connecting failed"
    if isinstance(error, httpx2.NetworkError):
        return "the connection broke"
    if isinstance(error, httpx2.RemoteProtocolError):
        return "it does not speak HTTP, or ended the answer early"
    return "the call failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    rest = [error]
    while rest:
        current = rest.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        rest += [one for one in (current.__cause__, current.__context__) if one is not None]
        if isinstance(current, BaseExceptionGroup):
            rest += current.exceptions
