"""A connection that takes data in, with bounds on heads and on chunk framing."""

import httptools

from eventbus_gateway.api.gateway import failure
from eventbus_gateway.api.timed import TimedConnection
from eventbus_gateway.errors import GatewayError, HeadersTooLarge, MalformedRequest, RequestTimeout

_HEADER_OVERHEAD = len(b": \r\n")
_WHITE_SPACE = (b" ", b"\t")


class ReceivingConnection(TimedConnection):
    """The part of a connection that feeds the parser and collects heads.

    It is made like a ``TimedConnection``.
    """

    # On the class: every connection begins like this.
    _receiving = False  # between the first byte of a request and the last
    _in_head = False
    _is_refusing = False
    _block_bytes = 0  # of the data block in hand
    _span_bytes = 0  # of all blocks that the head came in: never less than the head itself
    _carries = False  # in the same head or chunk framing since the beginning of the data block
    _carried_bytes = 0  # of such data blocks in a row
    _awaits_head: bool | None = None  # which deadline runs: the head's, the body's, or none yet

    def data_received(self, data: bytes) -> None:
        if self._is_refusing:
            return
        self._carries = self._receiving
        self._block_bytes = len(data)
        if self._in_head:
            self._span_bytes += len(data)
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
            if self._receiving:
                self._check_unfinished(len(data))

    def _check_unfinished(self, count: int) -> None:
        """Bound a request that has begun and is not complete, in bytes that go into no body and in time."""
        if self._carries:
            # The parser keeps an unfinished header or trailer, and nobody needs an endless chunk extension.
            self._carried_bytes += count
        if self._carried_bytes > self._edge.http.max_header_bytes or (self._in_head and self._is_head_too_large()):
            self._refuse(self._head_too_large())
        elif self._awaits_head is not self._in_head:
            self._awaits_head = self._in_head
            self._wait_for_more()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._in_head = self._receiving = True
        self._carries = False
        self._carried_bytes = 0
        self._span_bytes = self._block_bytes
        self._awaits_head = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise MalformedRequest("Trailers are not supported.")
        name = name.lower()
        if value.endswith(_WHITE_SPACE) and name != b"transfer-encoding":
            # It is no part of the value (RFC 9112 section 5.1), but the parser knows "chunked" only without it.
            value = value.rstrip(b" \t")
        self.headers.append((name, value))

    def _is_head_too_large(self) -> bool:
        """Whether what is known of the head is beyond a bound; looks closely only where the data was long enough."""
        http = self._edge.http
        if len(self.headers) > http.max_headers:
            return True
        if self._span_bytes <= http.max_header_bytes:
            return False
        size = len(self.url) + sum([len(name) + len(value) + _HEADER_OVERHEAD for name, value in self.headers])
        return size > http.max_header_bytes

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
