"""Server-Sent Events: one event after the other, as long as there is somebody to read them.

Source: WHATWG HTML, "Server-sent events". Every message's ``id`` is the cursor behind it, which a reader sends back
as ``Last-Event-ID``. An ``id`` without data is no message but moves that cursor: at the beginning, and where records
were passed over for a filter.
"""

import time
from collections.abc import AsyncIterator, Callable

import orjson

from eventbus_gateway.api.cursor import CursorWriter
from eventbus_gateway.api.following import Batch, Ending, Following
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.problems import problem
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.reading import Edge, Lost

PART_BYTES = 262_144
"""Bytes that are sent together: few, since they wait in memory for a caller that reads slowly."""
_RETRY = b"retry: 2000\n"
_HEARTBEAT = b": still here\n\n"
# A debt that is nearly paid must not turn the loop for nothing.
_SHORTEST_PAUSE_SECONDS = 0.01


class EventStream:
    """A stream of one topic's events; see ``Stream``.

    Args:
        request: what it answers; asked for each time whether its caller may still have the events.
        following: the walk, which has found its positions.
        first: what was found with them.
        ending: until when.
        limit: events that are sent together.
        settings: times.
        release: gives back what the stream holds.
    """

    def __init__(
        self,
        request: Request,
        following: Following,
        first: Batch,
        ending: Ending,
        limit: int,
        settings: ReadSettings,
        release: Callable[[], None],
    ) -> None:
        self._request = request
        self._following = following
        self._first = first
        self._ending = ending
        self._limit = limit
        self._settings = settings
        self._release = release
        self._cursor = ""

    def close(self) -> None:
        """See ``Stream.close``."""
        self._ending.close()
        self._release()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        until = time.monotonic() + self._settings.stream_seconds
        yield _RETRY + self._told(self._first) + self._moved()
        try:
            while not self._ending.reached:
                seconds = min(self._settings.heartbeat_seconds, until - time.monotonic())
                if seconds <= 0:
                    return
                batch = await self._following.next(self._limit, seconds, PART_BYTES)
                if not self._ending.reached:
                    await self._request.recheck()
                    yield self._told(batch) + self._moved() or _HEARTBEAT
        except GatewayError as error:
            yield b"event: problem\ndata: %s\n\n" % problem(error, self._request.path).body

    def _told(self, batch: Batch) -> bytes:
        parts = [b"event: lost\ndata: %s\n\n" % rendered_lost(batch.lost)] if batch.lost else []
        if batch.events:
            writer = CursorWriter(self._following.topic, batch.start)
            for text, (partition, offset) in zip(batch.events, batch.places, strict=True):
                writer.move(partition, offset)
                self._cursor = writer.text()
                parts.append(b"id: %s\ndata: %s\n\n" % (self._cursor.encode(), text))
        return b"".join(parts)

    def _moved(self) -> bytes:
        """The cursor where it has moved further than the last event."""
        at = self._following.at
        cursor = CursorWriter(self._following.topic, at).text() if not isinstance(at, Edge) else self._cursor
        if cursor == self._cursor:
            return b""
        self._cursor = cursor
        return b"id: %s\n\n" % cursor.encode()


class MeteredStream:
    """A stream whose bytes count for its reader, and which is silent as long as there were too many of them.

    Args:
        stream: the stream.
        account: its reader's.
        ending: until when.
        heartbeat_seconds: a stream that is silent says so often that it is alive.
    """

    def __init__(self, stream: EventStream, account: Account, ending: Ending, heartbeat_seconds: float) -> None:
        self._stream = stream
        self._account = account
        self._ending = ending
        self._heartbeat_seconds = heartbeat_seconds

    def close(self) -> None:
        """See ``Stream.close``."""
        self._stream.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._account.spend(len(part))
            yield part
            while (pause := self._account.pause_seconds()) > 0 and not self._ending.reached:
                await self._ending.pause(min(max(pause, _SHORTEST_PAUSE_SECONDS), self._heartbeat_seconds))
                if pause > self._heartbeat_seconds:
                    yield _HEARTBEAT


def rendered_lost(lost: list[Lost]) -> bytes:
    """Positions that were not there any more, as JSON."""
    return orjson.dumps(
        [
            {"partition": each.partition, "asked": each.asked, "resumed": each.resumed, "reason": each.reason.value}
            for each in lost
        ]
    )
