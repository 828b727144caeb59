"""One bounded call to AWS Glue, off the event loop."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    ConnectTimeoutError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from urllib3.exceptions import HTTPError

from eventbus_gateway.errors import RegistryUnavailable
from eventbus_gateway.schemas.aws_session import bounds, default_session, region_of, session_for
from eventbus_gateway.schemas.settings import RegistrySettings

ABSENT = "EntityNotFoundException"
_REFUSALS = frozenset(
    {"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "AccessDenied"}
)
_BUSY = frozenset({"ThrottlingException", "ResourceNumberLimitExceededException", "TooManyRequestsException"})


class NotThere(Exception):
    """Glue has nothing of that name."""


class GlueClient:
    """Calls on threads of their own, with a limit on everything: calls, time, bytes.

    Args:
        settings: region, endpoint, credentials and bounds.
        session: where the gateway's own credentials come from; the default chain when None.

    Raises:
        ValueError: no region is known, or the profile does not exist.
    """

    def __init__(self, settings: RegistrySettings, session: Session | None = None) -> None:
        self._settings = settings
        self._own = session if session is not None else default_session(settings)
        self._region = region_of(settings, self._own)
        if self._region is None:
            raise ValueError("registry.aws_region is missing, and the environment names no AWS region")
        self._timeout = settings.timeout_seconds
        # A thread whose caller has given up counts until it has ended, or each new call would begin one more.
        self._free = asyncio.Semaphore(settings.max_connections)
        self._threads = ThreadPoolExecutor(settings.max_connections, thread_name_prefix="glue")
        self._making = threading.Lock()
        self._client: BaseClient | None = None

    async def call(self, operation: str, *absences: str, **parameters: Any) -> dict[str, Any]:
        """What Glue answers.

        Args:
            operation: name of the client's method.
            absences: codes of errors, beside the usual one, that mean that there is nothing of that name.
            parameters: what it takes.

        Raises:
            NotThere: there is nothing of that name.
            RegistryUnavailable: no complete answer within the bounds.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._begin(partial(self._called, operation, (ABSENT, *absences), parameters))
        except TimeoutError:
            raise RegistryUnavailable(f"AWS Glue did not answer within {self._timeout:g} s") from None

    async def aclose(self) -> None:
        """Begin no more calls; those under way end by their own time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def _begin(self, work: "partial[dict[str, Any]]") -> dict[str, Any]:
        await self._free.acquire()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError:
            self._free.release()
            raise RegistryUnavailable("the gateway is closing its connection to AWS Glue") from None
        future.add_done_callback(self._ended)
        return await asyncio.shield(future)

    def _ended(self, future: "asyncio.Future[dict[str, Any]]") -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # looked at, also where nobody waits any more

    def _called(self, operation: str, absences: tuple[str, ...], parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._made(), operation)(**parameters)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in absences:
                raise NotThere from None
            raise _refusal(code, error.operation_name) from None
        except BotoCoreError as error:
            raise RegistryUnavailable(f"AWS Glue cannot be asked: {_reason(error)}") from None
        return answer

    def _made(self) -> BaseClient:
        """The client, made with the first call: looking for credentials can take seconds."""
        with self._making:
            if self._client is None:
                session = session_for(self._settings, self._own)
                if session.get_credentials() is None:
                    raise NoCredentialsError
                client = session.create_client(
                    "glue",
                    region_name=self._region,
                    endpoint_url=self._settings.aws_endpoint_url,
                    verify=self._settings.ca_file,
                    config=bounds(self._settings),
                )
                # A handler that returns an answer stands for the client's own sending; its stubs know of none.
                client.meta.events.register("before-send.glue", _Bounded(self._settings).send)  # type: ignore[arg-type]
                self._client = client
            return self._client


class _Bounded:
    """Sends the client's requests as it would itself, and reads no more of an answer than its bound."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._max_bytes = settings.max_response_bytes
        self._timeout = settings.timeout_seconds
        # The stubs know fewer types than requests, whose words these are.
        self._http = URLLib3Session(
            verify=settings.ca_file or True,  # type: ignore[arg-type]
            timeout=(settings.connect_timeout_seconds, settings.timeout_seconds),  # type: ignore[arg-type]
            max_pool_connections=settings.max_connections,
        )

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """The answer to a request, complete."""
        request.stream_output = True  # else it would be read whole
        answer = self._http.send(request)
        try:
            body = self._read(answer.raw, time.monotonic() + self._timeout)
        except HTTPError as error:
            raise HTTPClientError(error=type(error).__name__) from None
        finally:
            answer.raw.close()
        headers: Any = answer.headers
        # The transport takes an answer that ends early for a whole one.
        if headers.get("content-length", str(len(body))) != str(len(body)):
            raise HTTPClientError(error="incomplete")
        return AWSResponse(answer.url, answer.status_code, headers, _Body(body))

    def _read(self, raw: Any, deadline: float) -> bytes:
        body = bytearray()
        for chunk in raw.stream(65_536):
            body += chunk
            if len(body) > self._max_bytes:
                raise _TooLarge(limit=self._max_bytes)
            if time.monotonic() > deadline:
                raise ReadTimeoutError(endpoint_url="")
        return bytes(body)


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


class _TooLarge(BotoCoreError):
    fmt = "more than {limit} bytes"


def _refusal(code: str, operation: str) -> RegistryUnavailable:
    """Why AWS gives no answer, in words that hold no name of its."""
    if code in _REFUSALS:
        return RegistryUnavailable(f"AWS refuses the gateway's credentials for {operation} ({code})")
    if code in _BUSY:
        return RegistryUnavailable(f"AWS limits the gateway's requests ({code})")
    shown = code if re.fullmatch(r"[A-Za-z0-9.]{1,64}", code) else "an error"
    return RegistryUnavailable(f"AWS Glue answered {operation} with {shown}")


def _reason(error: BotoCoreError) -> str:
    """Why a call failed, in words that cannot carry an address or a credential."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return "no AWS credentials were found"
        case ConnectTimeoutError():
            return "it does not accept connections in time"
        case ReadTimeoutError():
            return "it did not answer in time"
        case SSLError():
            return "TLS failed, or its certificate is not trusted"
        case _TooLarge():
            return f"its answer exceeds {error.kwargs['limit']} bytes"
        case HTTPClientError() | ConnectionError():
            return "the connection failed"
        case _:
            return f"the call failed ({type(error).__name__})"
