"""HTTP/1.1 to one receiver: one request, its answer within bounds, and the next request.

Written for what a delivery needs and nothing else: no redirects, no cookies, no proxies, no second try, no body that
is kept unless somebody wants it. A general client costs several times as much per request.
"""

import asyncio
import re
from typing import NamedTuple, cast

import httptools

from eventbus_gateway.webhooks.outbound import Failure

MAX_HEAD_BYTES = 65_536
"""Bytes of an answer's head, together with those of interim answers."""
_JOINED_BYTES = 65_536
"""Bodies up to this size are copied behind the head, so that both leave in one piece."""
_NOTED = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"keep-alive",
        b"retry-after",
        b"webhook-allowed-origin",
        b"webhook-allowed-rate",
    }
)
_KEEP_ALIVE = re.compile(rb"timeout\s*=\s*([0-9]{1,6})", re.IGNORECASE)


class Answered(NamedTuple):
    """What came back.

    Args:
        status: HTTP status, where a head came.
        failure: why the answer is not whole.
        fields: those headers that somebody may want, names in lower case.
        body: the body where it was wanted, empty where it is longer than the bound.
    """

    status: int | None
    failure: Failure | None
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"Answered(status={self.status}, failure={self.failure!r}, bytes={len(self.body)})"

    def values(self, name: bytes) -> list[str]:
        """The values of a header, one per line of the answer.

        Args:
            name: name in lower case.
        """
        return [value.decode("latin-1") for field, value in self.fields if field == name]


class Wire(asyncio.Protocol):
    """One connection to a receiver, used for one request after the other.

    Args:
        live: the connections that exist; this one is in it until it has ended.
    """

    def __init__(self, live: "set[Wire]") -> None:
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answered] | None = None
        self.reusable = False
        """Whether the last answer left the connection fit for another request."""
        self.announced_seconds: float | None = None
        """How long the receiver says that it keeps an idle connection."""

    @property
    def usable(self) -> bool:
        """Whether nothing has ended or spoiled it since it was used."""
        return self.reusable and self._transport is not None and not self._transport.is_closing()

    async def ask(self, text: bytes, body: bytes, max_bytes: int, wanted: bool, seconds: float) -> Answered:
        """Send a request, once, and wait for its answer.

        Args:
            text: request line and headers, with the empty line behind them.
            body: what follows.
            max_bytes: most bytes of the answer's body; a longer one ends the connection.
            wanted: whether the body is to be kept.
            seconds: how long it may take.
        """
        answer: asyncio.Future[Answered] = self._loop.create_future()
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._status: int | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = self._wire_bytes = 0
        self._max_bytes = self._room = max_bytes
        self._body = bytearray() if wanted else None
        self._complete = self._persistent = self._malformed = False
        self.reusable = False
        timer = self._loop.call_later(seconds, self._end, "timeout")
        self._write(text, body)
        try:
            return await answer
        finally:
            timer.cancel()
            if answer.cancelled():
                self.drop()

    def drop(self) -> None:
        """End the connection at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._live.discard(self)
        self._transport = None
        self._lost(whole=exc is None)

    def eof_received(self) -> None:
        self._lost(whole=True)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            # Nobody asked: it would be taken for the answer to the next request, which the receiver has not seen.
            self.drop()
            return
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Behind a whole answer it only says that the connection is of no further use.
            self._malformed = self._malformed or not self._complete
            self._persistent = False
        if self._malformed:
            self._end("protocol")
        elif self._complete:
            self._end(None)
        elif self._status is None:
            if self._wire_bytes > MAX_HEAD_BYTES:
                self._end("protocol")
        elif self._room < 0 or self._wire_bytes > MAX_HEAD_BYTES + 2 * self._max_bytes:
            # The status is known, and what else comes is of no interest.
            self._end(None)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            self._persistent = False  # a second answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._malformed = True
            return
        if self._status is not None:
            return  # a trailer, which must not stand for a header (RFC 9110, 6.5.1)
        lowered = name.lower()
        if lowered in _NOTED:
            self._fields.append((lowered, value))

    def on_headers_complete(self) -> None:
        if self._complete or self._malformed:
            return
        status = self._parser.get_status_code()
        if status < 100 or not self._parser.get_http_version().startswith("1."):
            self._malformed = True
        elif status >= 200 or status == 101:
            self._status = status
            self._persistent = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._room -= len(body)
        if self._body is not None and self._room >= 0:
            self._body += body

    def on_message_complete(self) -> None:
        if self._status is None:
            self._fields.clear()  # an interim answer
        else:
            self._complete = True

    def _write(self, text: bytes, body: bytes) -> None:
        transport = self._transport
        if transport is None:
            self._end("reset")
        elif len(body) <= _JOINED_BYTES:
            transport.write(text + body)
        else:
            transport.write(text)
            transport.write(body)

    def _lost(self, *, whole: bool) -> None:
        """The receiver has ended the connection: with a FIN, or without one."""
        if self._answer is None or self._answer.done():
            self.reusable = False
        elif self._status is None:
            self._end("truncated" if self._wire_bytes else "reset")
        else:
            names = {name for name, _ in self._fields}
            # Without a length the end of the connection is that of the body (RFC 9112, 6.3).
            by_length = b"content-length" in names or b"transfer-encoding" in names
            self._end(None if whole and not by_length else "truncated")

    def _end(self, failure: Failure | None) -> None:
        if self._answer is None or self._answer.done():
            return
        transport = self._transport
        body = bytes(self._body) if self._body is not None and self._room >= 0 else b""
        self._answer.set_result(Answered(self._status, failure, tuple(self._fields), body))
        self.reusable = (
            self._complete and self._persistent and transport is not None and not transport.get_write_buffer_size()
        )
        if not self.reusable:
            self.drop()
        elif self._fields:
            self.announced_seconds = _announced(self._fields)


def _announced(fields: list[tuple[bytes, bytes]]) -> float | None:
    for name, value in fields:
        if name == b"keep-alive" and (match := _KEEP_ALIVE.search(value)):
            return float(match[1])
    return None
