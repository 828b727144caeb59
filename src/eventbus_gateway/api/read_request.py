"""What a read asks for: ``from`` or ``cursor``, ``limit``, ``wait``, ``filter`` and the media type."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

import orjson

from eventbus_gateway.api.accept import preferred
from eventbus_gateway.api.cursor import positions_in
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.query import parameters
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.errors import InvalidParameter
from eventbus_gateway.kafka.reading import Edge
from eventbus_gateway.subscriptions.patterns import Pattern, compile_filter

NAMES = frozenset({"cursor", "filter", "from", "limit", "wait"})
_EDGES = {edge.value: edge for edge in Edge}
_LAST_EVENT_ID = b"last-event-id"
# RFC 3339 section 5.6; what of it is a date and a time that exist is left to the parser.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_LIMIT = re.compile(r"[1-9]\d{0,8}", re.ASCII).fullmatch
_WAIT = re.compile(r"\d{1,5}(\.\d{1,3})?", re.ASCII).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class ReadMedia(Enum):
    """How events are given."""

    JSON = b"application/json"
    LINES = b"application/x-ndjson"
    STREAM = b"text/event-stream"


_OFFERED = [media.value for media in ReadMedia]


class ReadRequest(NamedTuple):
    """A read as it is asked for.

    Args:
        start: positions of a cursor, an edge, or milliseconds since the epoch.
        limit: events at the most.
        wait: seconds to wait for the first one.
        pattern: which events, None for all.
        media: how they are given.
    """

    start: Mapping[int, int] | Edge | int
    limit: int
    wait: float
    pattern: Pattern | None
    media: ReadMedia


def read_request(request: Request, settings: ReadSettings) -> ReadRequest:
    """Take a request apart.

    Raises:
        NotAcceptable: the caller takes no media type that there is.
        InvalidParameter: one is unknown, or has a value that it cannot have.
        InvalidCursor: malformed, or of another topic.
        InvalidFilter: the filter is no event pattern.
    """
    media = ReadMedia(preferred(request.headers.get(b"accept"), _OFFERED))
    given = parameters(request.query, NAMES)
    # A browser's EventSource comes back to the same address; what it says it has seen counts more.
    last_seen = request.headers.get(_LAST_EVENT_ID) if media is ReadMedia.STREAM else None
    if last_seen:
        given.pop("from", None)
        given["cursor"] = last_seen.decode("latin-1")
    return ReadRequest(
        _start(given, request.params["topic"]),
        _limit(given.get("limit"), settings),
        _wait(given.get("wait"), settings),
        _pattern(given.get("filter")),
        media,
    )


def _start(given: Mapping[str, str], topic: str) -> Mapping[int, int] | Edge | int:
    cursor, begin = given.get("cursor"), given.get("from")
    if cursor is not None:
        if begin is not None:
            raise InvalidParameter("A read begins at from or at cursor, not at both.")
        return positions_in(cursor, topic)
    if begin is None:
        return Edge.EARLIEST
    return _EDGES[begin] if begin in _EDGES else _milliseconds(begin)


def _milliseconds(text: str) -> int:
    # A space is what becomes of a plus sign that was not percent-encoded.
    text = text.replace(" ", "+").upper()
    try:
        moment = datetime.fromisoformat(text) if _MOMENT(text) is not None else None
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidParameter("from is earliest, latest or an RFC 3339 time such as 2026-01-31T09:30:00Z.")
    # The first millisecond that is not before it; negative ones have other meanings in Kafka.
    return max(0, -((_EPOCH - moment) // _MILLISECOND))


def _limit(text: str | None, settings: ReadSettings) -> int:
    if text is None:
        return min(settings.default_limit, settings.max_limit)
    if _LIMIT(text) is None or int(text) > settings.max_limit:
        raise InvalidParameter(f"limit is a whole number from 1 to {settings.max_limit}.")
    return int(text)


def _wait(text: str | None, settings: ReadSettings) -> float:
    if text is None:
        return 0.0
    if _WAIT(text) is None or float(text) > settings.max_wait_seconds:
        raise InvalidParameter(f"wait is a number of seconds from 0 to {settings.max_wait_seconds:g}.")
    return float(text)


def _pattern(text: str | None) -> Pattern | None:
    if text is None:
        return None
    try:
        parsed = orjson.loads(text)
    except ValueError:  # covers JSONDecodeError
        raise InvalidParameter("filter is an event pattern in JSON.") from None
    return compile_filter(parsed)
