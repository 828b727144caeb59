"""A receiver on a real socket whose manners a test decides, down to the byte."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from eventbus_gateway.webhooks.outbound import Outbound
from eventbus_gateway.webhooks.sender import Sender
from eventbus_gateway.webhooks.settings import WebhookSettings

PATIENCE_SECONDS = 10.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Seen(NamedTuple):
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Talk:
    """One connection to a receiver."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[Seen]
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self._seen = seen

    async def request(self) -> Seen:
        """The next request; raises ``IncompleteReadError`` where the client has gone."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = [line.partition(":") for line in head[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        assert len(headers) == len(fields), "a header came twice"
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(method, target, headers, body, self.number)
        self._seen.append(seen)
        return seen

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection without a FIN."""
        self.writer.transport.abort()


Script = Callable[[Talk], Awaitable[None]]


def answers(*texts: bytes) -> Script:
    """Each request on a connection gets the next answer, the last one again and again."""

    async def script(talk: Talk) -> None:
        left = list(texts)
        while True:
            await talk.request()
            await talk.say(left.pop(0) if len(left) > 1 else left[0])

    return script


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} X", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


class Receiver:
    """What listens, and what it has seen."""

    def __init__(self, script: Script, host: str, tls: ssl.SSLContext | None) -> None:
        self._script = script
        self._host = host
        self._tls = tls
        self._talks: set[asyncio.Task[None]] = set()
        self.seen: list[Seen] = []
        self.connections = 0
        self.ended = asyncio.Event()
        self.port = 0

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host or self._host}:{self.port}{path}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._script(Talk(self.connections, reader, writer, self.seen))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            self._talks.discard(task)
            self.ended.set()
            writer.close()

    @contextlib.asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._talk, self._host, port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._talks):
                task.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)


def receiver(
    script: Script, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> contextlib.AbstractAsyncContextManager[Receiver]:
    return Receiver(script, host, tls).serving(port)


class Book:
    """Name servers: what each name has for addresses; names that are not in it do not exist."""

    def __init__(self, names: Mapping[str, Sequence[str]] | None = None) -> None:
        self.names = dict(names or {})
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        host = host.removesuffix(".")
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


LOCAL = {"allow_http": True, "allowed_ports": ("1-65535",), "allowed_networks": ("127.0.0.0/8",)}


def settings(**values: object) -> WebhookSettings:
    return WebhookSettings.model_validate(LOCAL | values)


@contextlib.asynccontextmanager
async def sender(book: Book | None = None, clock: Clock | None = None, /, **values: Any) -> AsyncIterator[Sender]:
    lookup = book if book is not None else Book()
    one = Sender(settings(**values), lookup=lookup, **({} if clock is None else {"clock": clock}))
    await one.start()
    try:
        yield one
    finally:
        await one.close()


def outbound(
    url: str,
    body: bytes = b"{}",
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_SECONDS,
    endpoint: str = "appointments",
) -> Outbound:
    return Outbound(url, headers or {"content-type": "application/json"}, body, timeout, endpoint)
