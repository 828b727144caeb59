"""HTTP over raw streams: cheap enough for load, and strict about what every request is answered with."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple


class Unanswered(Exception):
    """A request was sent completely and the connection ended without a complete answer."""


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One keep-alive connection.

    Args:
        reader: its reading side.
        writer: its writing side.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.open = True

    async def publish(self, topic: str, body: bytes, media: str, headers: Mapping[str, str]) -> Answer:
        """Publish one body.

        Raises:
            Unanswered: there was no answer.
        """
        given = {"host": "gateway", "content-type": media, "content-length": str(len(body)), **headers}
        lines = [f"POST /v1/topics/{topic}/events HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        return await self.exchange("\r\n".join([*lines, "", ""]).encode() + body)

    async def exchange(self, request: bytes) -> Answer:
        """Send one whole request and read its answer.

        Raises:
            Unanswered: there was none.
        """
        try:
            self._writer.write(request)
            await self._writer.drain()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            # RFC 9110 section 8.6: 204 has none.
            length = 0 if head[0].startswith("HTTP/1.1 204 ") else int(headers["content-length"])
            body = await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.open = False
            raise Unanswered from error
        if headers.get("connection") == "close":
            self.open = False
        return Answer(int(head[0].split(" ")[1]), headers, body)

    def is_over(self) -> bool:
        """Whether the other side has ended the connection meanwhile."""
        return self._reader.at_eof()

    def close(self) -> None:
        self.open = False
        self._writer.close()


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """A connection to the gateway on this machine."""
    one = Wire(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield one
    finally:
        one.close()


class Wires:
    """Connections that are used by one request at a time and opened when there are too few.

    Args:
        port: where to.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Wire] = []
        self._all: list[Wire] = []

    async def publish(self, topic: str, body: bytes, media: str, headers: Mapping[str, str]) -> Answer:
        """Publish one body over some connection.

        Raises:
            Unanswered: there was no answer.
        """
        one = self._idle.pop() if self._idle else await self._opened()
        answer = await one.publish(topic, body, media, headers)
        if one.open:
            self._idle.append(one)
        return answer

    def close(self) -> None:
        for one in self._all:
            one.close()

    async def _opened(self) -> Wire:
        one = Wire(*await asyncio.open_connection("127.0.0.1", self._port))
        self._all.append(one)
        return one
