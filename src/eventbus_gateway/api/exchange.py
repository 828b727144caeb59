"""One request of a hot route, from its head to its answer."""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.http import Answer, Request, never
from eventbus_gateway.api.routes import Match
from eventbus_gateway.errors import BodyTooLarge


class _Nobody(asyncio.Event):
    """Stands where uvicorn wakes an application that waits for its body; an exchange has none."""

    def set(self) -> None:
        pass


_NOBODY = _Nobody()


class _Departure(asyncio.Event):
    """Stands there while somebody wants to know when the caller goes away; uvicorn wakes it for more than that."""

    def __init__(self, exchange: "Exchange") -> None:
        super().__init__()
        self._exchange = exchange
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.set()

    def set(self) -> None:
        if self._exchange.disconnected and not self.future.done():
            self.future.set_result(None)


class Exchange(RequestResponseCycle):
    """Stands in uvicorn's pipeline for a request that does not go through ASGI.

    It has the four attributes that the protocol looks at (``response_complete``, ``disconnected``, ``keep_alive``,
    ``message_event``) and none of the machinery behind them.

    Args:
        request: the head, with an empty body.
        match: its route; None for a refused request.
        keep_alive: whether the connection goes on behind the answer.
        body_limit: bytes that the body may have.
    """

    # On the class, since most requests never change them.
    refusal: Answer | None = None
    response_started = False
    response_complete = False
    disconnected = False
    message_event: asyncio.Event = _NOBODY
    _admission: Admission | None = None
    _held = 0
    _rest: bytearray | None = None

    def __init__(self, request: Request, match: Match | None, keep_alive: bool, body_limit: int) -> None:
        self.request = request
        self.match = match
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self._body_limit = body_limit
        if match is not None and match.route.waits:
            request.gone = self.gone

    def enter(self, admission: Admission, held: int = 0) -> None:
        """Have it counted as worked on, and its bytes from now on; :meth:`release` has to follow.

        Args:
            admission: what counts.
            held: bytes of the body that are there already.

        Raises:
            Overloaded: too many requests or bytes.
        """
        admission.enter(held)
        self._admission = admission
        self._held = held

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
        if self._held == 0:
            self.request.body = chunk  # most bodies come in one part, which is taken as it is
        elif self._rest is None:
            self._rest = bytearray(chunk)
        else:
            # A list would need many times the memory that was counted if the chunks had two bytes each.
            self._rest += chunk
        self._held = held

    def gone(self) -> "asyncio.Future[None]":
        """Done when the caller has gone away."""
        departure = self.message_event = _Departure(self)
        return departure.future

    def complete(self) -> None:
        """Put the body together: all of it has arrived."""
        if self._rest is not None:
            self.request.body += self._rest
            self._rest = None

    def release(self) -> None:
        """Give back what is counted for it; further calls do nothing."""
        if self._admission is not None:
            self._admission.leave(self._held)
            self._admission = None
        if self.request.gone is not never:
            # Else they would keep each other until the garbage collector comes.
            self.request.gone = never
            self.message_event = _NOBODY


def answered() -> Exchange:
    """An exchange that is over: what a connection starts from, so that there is always one before the next."""
    exchange = Exchange(Request("-", "", b"", {}, b"", ""), None, keep_alive=True, body_limit=0)
    exchange.response_complete = True
    return exchange
