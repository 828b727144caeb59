"""A connection that takes data in, with bounds on heads and on chunk framing."""

from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.gateway import failure
from eventbus_gateway.api.timed import TimedConnection
from eventbus_gateway.errors import GatewayError, HeadersTooLarge, MalformedRequest, RequestTimeout

_HEADER_OVERHEAD = len(b": \r\n")
_WHITE_SPACE = (b" ", b"\t")


class ReceivingConnection(TimedConnection):
    """The part of a connection that feeds the parser and collects heads.

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
        self._receiving = False  # between the first byte of a request and the last
        self._in_head = False
        self._is_refusing = False
        self._head_bytes = 0
        self._carries = False  # in the same head or chunk framing since the beginning of the data block
        self._carried_bytes = 0  # of such data blocks in a row

    def data_received(self, data: bytes) -> None:
        if self._is_refusing:
            return
        self._carries = self._receiving
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(MalformedRequest("Upgrading the connection is not supported."))
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__ or error
            self._refuse(cause if isinstance(cause, GatewayError) else failure(cause, "-"))
        except httptools.HttpParserError:
            self._refuse(MalformedRequest("This is not valid HTTP/1.1."))
        else:
            if self._carries and self._receiving:
                # The parser keeps an unfinished header or trailer, and nobody needs an endless chunk extension.
                self._carried_bytes += len(data)
                if self._carried_bytes > self._edge.http.max_header_bytes:
                    self._refuse(self._head_too_large())

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._in_head = self._receiving = True
        self._carries = False
        self._head_bytes = self._carried_bytes = 0
        self._arm(self._edge.http.header_timeout_seconds, self._time_out)

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise MalformedRequest("Trailers are not supported.")
        self._count_head(len(name) + len(value) + _HEADER_OVERHEAD)
        name = name.lower()
        if value.endswith(_WHITE_SPACE) and name != b"transfer-encoding":
            # It is no part of the value (RFC 9112 section 5.1), but the parser knows "chunked" only without it.
            value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if len(self.headers) > self._edge.http.max_headers:
            raise self._head_too_large()

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self._edge.http.max_header_bytes:
            raise self._head_too_large()

    def _head_too_large(self) -> HeadersTooLarge:
        http = self._edge.http
        return HeadersTooLarge(
            f"A request may have {http.max_header_bytes} bytes of line and {http.max_headers} headers."
        )

    def _resume_reading(self) -> None:
        if self.flow.read_paused:
            self.flow.resume_reading()
            if self._receiving:
                self._wait_for_more()

    def _wait_for_more(self) -> None:
        http = self._edge.http
        self._arm(http.header_timeout_seconds if self._in_head else http.body_timeout_seconds, self._time_out)

    def _time_out(self) -> None:
        if self.flow.read_paused:
            self._wait_for_more()  # what is missing may be there, but nobody read it
        else:
            self._refuse(RequestTimeout("The request did not arrive in time."))

    def _refuse(self, error: GatewayError) -> None:
        raise NotImplementedError
