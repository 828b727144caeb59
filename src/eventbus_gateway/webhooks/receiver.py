"""A receiver of webhooks for development: it verifies what comes and shows the events."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web

from eventbus_gateway.webhooks.cloudevents import Event, NotUnderstood, events_of
from eventbus_gateway.webhooks.signing import Verdict, Verifier

MAX_BODY_BYTES: Final = 8_388_608
BODY_SECONDS: Final = 30.0
# Whoever is being answered gets the answer; whoever sends slowly is not waited for.
_CLOSING_SECONDS: Final = 0.2
_ALLOWED: Final = "POST, OPTIONS"


class Receiver:
    """Answers deliveries and the handshake before them, at every path.

    Args:
        verifier: decides what is genuine; None lets everything pass.
        status: of the answer to events that were shown.
        show: is given each event, in order; when it raises OSError, nothing can be shown any more.
        tell: is given a line about each request that is refused.
        body_seconds: how long a body may take to come.
    """

    def __init__(
        self,
        verifier: Verifier | None,
        status: int,
        show: Callable[[Event], None],
        tell: Callable[[str], None],
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._verifier = verifier
        self._status = status
        self._show = show
        self._tell = tell
        self._body_seconds = body_seconds
        self._failed: asyncio.Future[None] | None = None

    async def run(self, listener: socket.socket) -> None:
        """Serve until this is cancelled.

        Args:
            listener: a bound socket.

        Raises:
            OSError: an event could not be shown.
        """
        self._failed = asyncio.get_running_loop().create_future()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # What is signed is the body as it was sent, so it is not decompressed.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_CLOSING_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            await self._failed
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return _handshake(request)
        if request.method != "POST":
            return self._refused(405, "events are sent with POST", {"allow": _ALLOWED})
        if request.headers.get("content-encoding", "identity") != "identity":
            return self._refused(415, "the body is compressed")
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refused(413, f"the body has more than {MAX_BODY_BYTES} bytes")
        except TimeoutError:
            return self._refused(408, f"the body did not come within {self._body_seconds:g} seconds")
        verdict = Verdict.VALID if self._verifier is None else self._verifier.verify(request.headers, body)
        if verdict is not Verdict.VALID:
            return self._refused(401, verdict.value)
        return self._received(events_of(request.headers.items(), body))

    def _received(self, events: list[Event] | NotUnderstood) -> web.Response:
        if isinstance(events, NotUnderstood):
            return self._refused(400 if events.known_format else 415, events.reason)
        try:
            for event in events:
                self._show(event)
        except OSError as error:
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
            return self._refused(503, "the event cannot be shown")
        return web.Response(status=self._status)

    def _refused(self, status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
        self._tell(f"refused with {status}: {reason}")
        return web.Response(status=status, text=reason + "\n", headers=headers)


def _handshake(request: web.Request) -> web.Response:
    """Consent to be sent events, at any rate (CloudEvents 1.0.2 web hooks, section 4)."""
    headers = {"allow": _ALLOWED}
    origin = request.headers.get("webhook-request-origin")
    if origin:
        headers |= {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
    return web.Response(status=204, headers=headers)
