"""A connection that is known to its edge and has a deadline."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from eventbus_gateway.api.edge import Edge


class TimedConnection(HttpToolsProtocol):
    """The part of a connection that watches over time and over callers that do not read.

    Args:
        edge: what it shares with all others.
        config: uvicorn's configuration.
        server_state: uvicorn's state.
        app_state: the application's state as uvicorn keeps it.
    """

    def __init__(
        self, edge: Edge, config: Config, server_state: ServerState, app_state: dict[str, Any], **rest: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **rest)
        self._edge = edge
        self.deadline = math.inf
        self.flush_deadline = math.inf
        self._on_expiry: Callable[[], None] = self._close
        self.peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self._edge.connections.add(self)
        self._arm(self._edge.http.header_timeout_seconds, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.connections.discard(self)
        self.deadline = self.flush_deadline = math.inf
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        # A caller that does not read its answers may not send further requests either.
        super().pause_writing()
        self.flow.pause_reading()
        self._bound_flush()

    def _bound_flush(self) -> None:
        http = self._edge.http
        seconds = http.linger_seconds if self._edge.is_draining else http.idle_timeout_seconds
        self.flush_deadline = self._edge.now + seconds

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self.flush_deadline = math.inf

    def expire(self) -> None:
        """Act on the deadline that has passed."""
        if self.flush_deadline < self._edge.now:
            self.transport.abort()
            return
        self._disarm()
        self._on_expiry()

    def _arm(self, seconds: float, action: Callable[[], None]) -> None:
        self.deadline = self._edge.now + seconds
        self._on_expiry = action

    def _disarm(self) -> None:
        self.deadline = math.inf

    def _close(self) -> None:
        # The transport writes what is left before it closes, however long the caller does not read.
        self.transport.close()
        self.flush_deadline = self._edge.now + self._edge.http.linger_seconds

    def _linger(self) -> None:
        """Drop what still arrives for a while: closing at once would reset the connection under the answer."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._arm(self._edge.http.linger_seconds, self._close)
