"""Spans on their way to a collector: a bounded queue, one export at a time, and nobody waits for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import httpx2

from eventbus_gateway.bounded_http import TooLarge, body_within, time_limits
from eventbus_gateway.telemetry import Counter
from eventbus_gateway.tls import context_of
from eventbus_gateway.tracing.otlp import Otlp
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.tracing.span import Span

_logger = logging.getLogger(__name__)

# OTLP 1.x, "Failures": these are to be tried again, all others are not.
_AGAIN = frozenset({429, 502, 503, 504})
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.5
_MAX_ANSWER_BYTES = 65_536
# Encoded in one go, these take a tenth of a millisecond of the loop's time, and with 128 links each two.
_SLICE = 32
_CLOSE_SECONDS = 3.0
"""For what is left at the end: log and audit are written to their ends after it."""
_IDLE_CONNECTION_SECONDS = 60.0


class Tried(NamedTuple):
    """What came of one try.

    Args:
        status: HTTP status; None where there was no answer.
        body: of an answer that took the spans.
    """

    status: int | None
    body: bytes = b""


class Exporter:
    """Sends spans to a collector. What cannot be sent is counted and gone.

    Args:
        settings: the section.
        otlp: encodes.
        spans: counts spans by what became of them.
        sleep: lets time pass between two tries.

    Raises:
        ValueError: ``tracing.ca_file`` cannot be used.
    """

    def __init__(
        self,
        settings: TracingSettings,
        otlp: Otlp,
        spans: Counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._otlp = otlp
        self._spans = spans
        self._sleep = sleep
        self._headers = _headers(settings)
        self._queue: deque[Span] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._failing = False
        self._running: asyncio.Task[None] | None = None
        self._transport = httpx2.AsyncHTTPTransport(
            verify=context_of(settings.ca_file, "tracing.ca_file"),
            trust_env=False,
            limits=httpx2.Limits(max_connections=1, keepalive_expiry=_IDLE_CONNECTION_SECONDS),
        )

    def __len__(self) -> int:
        """How many spans wait."""
        return len(self._queue)

    def add(self, span: Span) -> None:
        """Have a span sent some time."""
        queue = self._queue
        if len(queue) >= self._settings.max_queued_spans:
            self._spans.add(("dropped",))
            return
        queue.append(span)
        if len(queue) >= self._settings.max_batch_spans:
            self._wake.set()

    def start(self) -> None:
        """Begin to send; needs the running loop."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what is left, within a few seconds."""
        self._closing = True
        self._wake.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=min(self._settings.timeout_seconds, _CLOSE_SECONDS))
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._transport.aclose()

    async def _run(self) -> None:
        while not self._closing:
            is_time = await self._waited()
            full, rest = divmod(len(self._queue), self._settings.max_batch_spans)
            # And not what comes meanwhile: sent as it comes, nearly each span would be a request of its own.
            for _ in range(full + (is_time and rest > 0)):
                await self._send_some()
        while self._queue:
            await self._send_some()

    async def _waited(self) -> bool:
        """Wait until there is enough for an export, or its time has come; whether it is the time."""
        try:
            async with asyncio.timeout(self._settings.export_seconds):
                await self._wake.wait()
        except TimeoutError:
            return True
        self._wake.clear()
        return False

    async def _send_some(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._settings.max_batch_spans))]
        try:
            sent = await self._sent(batch)
        except asyncio.CancelledError:
            self._spans.add(("failed",), len(batch))
            raise
        except Exception:
            # The rim of the task: one batch that cannot be encoded or sent must not end all exports.
            _logger.exception("spans could not be exported")
            sent = 0
        for outcome, count in (("exported", sent), ("failed", len(batch) - sent)):
            if count:
                self._spans.add((outcome,), count)

    async def _sent(self, batch: list[Span]) -> int:
        """How many spans of a batch the collector has taken."""
        pieces = []
        for begin in range(0, len(batch), _SLICE):
            pieces.append(self._otlp.request([self._otlp.span(span) for span in batch[begin : begin + _SLICE]]))
            await asyncio.sleep(0)
        body = b"".join(pieces)
        pause = _FIRST_PAUSE_SECONDS
        tried = await self._try(body)
        for _ in range(_TRIES - 1):
            if tried.status is not None and tried.status not in _AGAIN:
                break
            await self._sleep(pause)
            pause *= 2
            tried = await self._try(body)
        taken = tried.status is not None and 200 <= tried.status < 300
        self._tell(tried.status, taken=taken)
        return max(0, len(batch) - self._otlp.rejected(tried.body)) if taken else 0

    async def _try(self, body: bytes) -> Tried:
        seconds = self._settings.timeout_seconds
        request = httpx2.Request(
            "POST", self._settings.endpoint, headers=self._headers, content=body,
            extensions=time_limits(seconds, seconds),
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                # The transport itself: it follows no redirect, and asks no environment for proxies.
                response = await self._transport.handle_async_request(request)
                try:
                    return Tried(response.status_code, await body_within(response, _MAX_ANSWER_BYTES))
                finally:
                    await response.aclose()
        except (TimeoutError, TooLarge, httpx2.HTTPError, OSError):
            return Tried(None)

    def _tell(self, status: int | None, *, taken: bool) -> None:
        """Say once that spans get lost, and once that they do not any more."""
        if taken is not self._failing:
            return
        self._failing = not taken
        if taken:
            _logger.info("the collector takes spans again")
        else:
            _logger.warning("spans get lost: the collector answers %s", status or "nothing in time")


def _headers(settings: TracingSettings) -> dict[str, str]:
    own = {"content-type": "application/x-protobuf", "user-agent": "eventbus-gateway"}
    return own | {header.name.lower(): header.value.get_secret_value() for header in settings.headers}
