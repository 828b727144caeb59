"""One request of a hot route, from its head to its answer."""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.routes import Match
from eventbus_gateway.errors import BodyTooLarge


class _Nobody(asyncio.Event):
    """Stands where uvicorn wakes an application that waits for its body; an exchange has none."""

    def set(self) -> None:
        pass


_NOBODY = _Nobody()


class Exchange(RequestResponseCycle):
    """Stands in uvicorn's pipeline for a request that does not go through ASGI.

    It has the four attributes that the protocol looks at (``response_complete``, ``disconnected``, ``keep_alive``,
    ``message_event``) and none of the machinery behind them.

    Args:
        request: the head, with an empty body.
        match: its route; None for a refused request.
        keep_alive: whether the connection goes on behind the answer.
        body_limit: bytes that the body may have.
        admission: where its bytes are counted; the caller has let it in.
    """

    def __init__(
        self, request: Request, match: Match | None, keep_alive: bool, body_limit: int, admission: Admission | None
    ) -> None:
        self.request = request
        self.match = match
        self.keep_alive = keep_alive
        self.refusal: Answer | None = None
        self.task: asyncio.Task[None] | None = None
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NOBODY
        self._body_limit = body_limit
        self._admission = admission
        self._held = 0
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        """Take a part of the body.

        Raises:
            BodyTooLarge: beyond the limit.
            Overloaded: beyond what all requests together may hold.
        """
        held = self._held + len(chunk)
        if held > self._body_limit:
            raise BodyTooLarge(f"The body may have {self._body_limit} bytes.")
        if self._admission is not None:
            self._admission.hold(len(chunk))
        self._held = held
        self._parts.append(chunk)

    def complete(self) -> None:
        """Put the body together: all of it has arrived."""
        parts = self._parts
        self.request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []

    def release(self) -> None:
        """Give back what is counted for it; further calls do nothing."""
        if self._admission is not None:
            self._admission.leave(self._held)
            self._admission = None


def answered() -> Exchange:
    """An exchange that is over: what a connection starts from, so that there is always one before the next."""
    exchange = Exchange(Request("-", "", b"", {}, b"", ""), None, keep_alive=True, body_limit=0, admission=None)
    exchange.response_complete = True
    return exchange
