"""The outermost layer: an HTTP/1.1 protocol with bounds, which answers hot routes without going through ASGI.

uvicorn's protocol has no limit on header size, header count, header time, body time or connections without a byte.
This one adds them, refuses ambiguous framing, and hands complete requests of hot routes straight to the gateway: the
same handler costs about half of what it costs behind ASGI. Everything else takes uvicorn's way to the ASGI adapter.
"""

import asyncio
from collections import deque
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from eventbus_gateway.api.asgi import body_limit, too_large
from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.exchange import Exchange, answered
from eventbus_gateway.api.framing import framing, repeated_names
from eventbus_gateway.api.headers import rendered, usable_request_id
from eventbus_gateway.api.heads import Head
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.remembering import RememberingConnection
from eventbus_gateway.api.routes import Match
from eventbus_gateway.errors import GatewayError, MalformedRequest, Overloaded

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# At shutdown, a request that is on its way over an idle connection still gets its answer within this time.
_GRACE_SECONDS = 1.0
# Callers beyond the bound on connections who read their refusal; further ones are cut off.
_MAX_TURNED_AWAY = 256


def protocol_class(edge: Edge) -> type[asyncio.Protocol]:
    """The protocol class to give to uvicorn, bound to what its connections share."""

    class BoundConnection(Connection):
        def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **rest: Any) -> None:
            super().__init__(edge, config, server_state, app_state, **rest)

    return BoundConnection


class Connection(RememberingConnection):
    """One connection of a caller.

    Args:
        edge: what it shares with all others.
        config: uvicorn's configuration.
        server_state: uvicorn's state.
        app_state: the application's state as uvicorn keeps it.
    """

    def __init__(
        self, edge: Edge, config: Config, server_state: ServerState, app_state: dict[str, Any], **rest: Any
    ) -> None:
        super().__init__(edge, config, server_state, app_state, **rest)
        self._incoming: Exchange | None = None
        self.cycle = answered()
        self._before: RequestResponseCycle = self.cycle
        self._serving: RequestResponseCycle = self.cycle
        self._owes_continue = False  # to a caller whose request waits behind another
        self._is_stalled = False  # queued requests wait until the caller reads earlier answers
        self._is_turned_away = False

    # The life of a connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        edge = self._edge
        if len(edge.connections) - edge.turned_away > edge.http.max_connections:
            if edge.turned_away >= _MAX_TURNED_AWAY:
                transport.abort()
                return
            self._is_turned_away = True
            edge.turned_away += 1
            self._refuse(Overloaded("Too many connections are open.", retry_after=1.0))
        elif edge.is_draining:  # accepted just before the listener closed
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.turned_away -= self._is_turned_away
        # uvicorn tells the newest request only, and an older one would write to a transport that is gone.
        self._serving.disconnected = True
        self._serving.message_event.set()
        if self._incoming is not None:
            self._incoming.release()
        for waiting, _ in self.pipeline:
            if isinstance(waiting, Exchange):
                waiting.release()
        self.pipeline.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Answer what is on its way, then close."""
        self.cycle.keep_alive = False
        if self.flow.write_paused:
            self._bound_flush()
        self._settle()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport.is_closing():
            return
        if self._is_stalled:
            self._is_stalled = False
            self._start_asgi_task(*self.pipeline.pop())
        elif not self.pipeline:
            self._resume_reading()

    def _settle(self) -> None:
        """Wait for the next request where nothing is under way."""
        if not self._receiving and not self._is_refusing and self.cycle.response_complete:
            idle = _GRACE_SECONDS if self._edge.is_draining else self._edge.http.idle_timeout_seconds
            self._arm(idle, self._close)

    # Receiving

    def _is_between_requests(self) -> bool:
        return self.cycle.response_complete and self.cycle.keep_alive and not self._edge.is_draining

    def _take_whole(self, head: Head, body: bytes) -> None:
        """Begin with a request whose head is known and whose body is all there: what the parser would lead to."""
        edge = self._edge
        request = Request(
            head.match.route.method, head.path, head.query, head.headers, body, edge.ids(), head.repeated
        )
        request.memo = head.memo
        request.peer = self.peer  # of this connection, whoever sent the same head before
        exchange = Exchange(request, head.match, True, head.content_length)
        self._before, self.cycle = self.cycle, exchange
        try:
            exchange.enter(edge.admission, len(body))
        except Overloaded as error:
            self._incoming = exchange
            self._refuse(error)
            return
        self._disarm()
        self._start_asgi_task(exchange, self.app)

    def on_headers_complete(self) -> None:
        edge = self._edge
        if self._is_head_too_large():
            raise self._head_too_large()
        self._in_head = self._carries = False
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise MalformedRequest("The HTTP version is 1.1 or 1.0.")
        headers = dict(self.headers)
        repeated = repeated_names(self.headers) if len(headers) != len(self.headers) else frozenset()
        frame = framing(headers, repeated, version)
        hot = edge.hot(self.parser.get_method(), self.url)
        limit = body_limit(headers.get(b"content-type"), edge.publish)
        if hot is not None:
            path, query, match = hot
            request_id = usable_request_id(headers.get(b"x-request-id")) or edge.ids()
            request = Request(match.route.method, path, query, headers, b"", request_id, repeated)
            request.peer = self.peer
            keep_alive = version == "1.1" and self.parser.should_keep_alive() and not edge.is_draining
            self._incoming = Exchange(request, match, keep_alive, limit)
            self._before, self.cycle = self.cycle, self._incoming
        if len(self.pipeline) >= edge.http.max_pipelined_requests:
            raise Overloaded("Too many requests wait on this connection.", retry_after=1.0)
        if frame.content_length is not None and frame.content_length > limit:
            raise too_large(limit)
        if self._incoming is None:
            self._hand_to_uvicorn(frame.expects_continue)
            return
        self._incoming.enter(edge.admission)
        self._owes_continue = frame.expects_continue
        if frame.expects_continue and not self._is_waiting_behind_another():
            self._continue()

    def _continue(self) -> None:
        self._owes_continue = False
        self.transport.write(_CONTINUE)

    def _hand_to_uvicorn(self, expects_continue: bool) -> None:
        # uvicorn makes its scope when a message begins; doing it here spares that for hot routes.
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = expects_continue
        super().on_headers_complete()
        if self._edge.is_draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._carries = False
        self._carried_bytes = 0
        if self._incoming is not None:
            self._incoming.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._receiving = self._owes_continue = False
        self._disarm()
        exchange = self._incoming
        if exchange is None:
            super().on_message_complete()
            self._settle()
            return
        exchange.complete()
        if exchange.match is not None and exchange.keep_alive:
            self._learn(exchange.request, exchange.match)
        self._incoming = None
        self._take(exchange)

    # Answering

    def _is_waiting_behind_another(self) -> bool:
        return not self._before.response_complete

    def _take(self, exchange: Exchange) -> None:
        """Begin with an exchange, or queue it behind the one that has to be answered first."""
        if self._is_waiting_behind_another():
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        else:
            self._start_asgi_task(exchange, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._serving = cycle
        if not isinstance(cycle, Exchange):
            super()._start_asgi_task(cycle, app)
        elif cycle.refusal is not None:
            self._write(cycle, cycle.refusal)
        else:
            # The loop itself keeps only weak references to tasks; at shutdown uvicorn waits for these.
            cycle.task = self.loop.create_task(self._serve(cycle, cycle.match))
            self.tasks.add(cycle.task)

    async def _serve(self, exchange: Exchange, match: Match | None) -> None:
        try:
            answer = await self._edge.gateway.handle(exchange.request, match)
        finally:
            exchange.release()
            if exchange.task is not None:
                self.tasks.discard(exchange.task)
        self._write(exchange, answer)

    def _write(self, exchange: Exchange, answer: Answer) -> None:
        exchange.response_complete = True
        if self.transport.is_closing():
            return
        close = not exchange.keep_alive
        self.transport.write(rendered(answer, exchange.request.request_id, self._edge.date, close))
        if exchange.refusal is not None:
            self._linger()
        elif close:
            self._close()
        else:
            self.on_response_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._close()
            return
        if self.pipeline and self.flow.write_paused:
            self._is_stalled = True
        elif self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.flow.read_paused and not self.flow.write_paused:
            self._resume_reading()
        if self._owes_continue and not self._is_waiting_behind_another():
            self._continue()
        self._settle()

    # Refusing

    def _refuse(self, error: GatewayError) -> None:
        """Answer with a problem behind whatever has to be answered first, and end the connection."""
        self._is_refusing = True
        self._disarm()
        edge = self._edge
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            self._before = self.cycle
            if not _taken_back(self._before, self.pipeline):
                self._close()
                return
            sent = dict(self.headers).get(b"x-request-id") if self._receiving else None
            exchange = Exchange(Request("-", "", b"", {}, b"", usable_request_id(sent) or edge.ids()), None, False, 0)
        self._receiving = False
        exchange.release()
        exchange.keep_alive = False
        exchange.refusal = edge.gateway.refuse(exchange.request, error)
        self.cycle = exchange
        self._take(exchange)


def _taken_back(cycle: RequestResponseCycle, pipeline: deque[tuple[RequestResponseCycle, ASGI3Application]]) -> bool:
    """Take a request that is still arriving away from its application; False where its answer has begun."""
    if isinstance(cycle, Exchange) or not cycle.more_body:
        return True
    if pipeline:
        pipeline.popleft()  # the newest: its application has not begun
        return True
    cycle.disconnected = True
    cycle.message_event.set()
    cycle.response_complete = not cycle.response_started
    return cycle.response_complete
