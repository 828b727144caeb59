"""What the process itself has to say, as JSON lines on standard error."""

import asyncio
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

_logger = logging.getLogger(__name__)

_LOWER_64_BITS = 16  # digits


class Traced:
    """A sampled trace that a task works on.

    Args:
        ids: of the trace and of the present span, in hexadecimal (W3C Trace Context, section 3.2.2); None once that
            is over, since tasks that it has begun may live on.
    """

    __slots__ = ("ids",)

    def __init__(self, ids: tuple[str, str] | None) -> None:
        self.ids = ids


working_on: ContextVar[Traced | None] = ContextVar("working_on", default=None)
"""Set only while tracing is on, and only for what is sampled."""


def trace_fields(traced: Traced | None) -> dict[str, Any]:
    """What a line says about the trace it belongs to; nothing where there is none.

    ``trace_id`` and ``span_id`` are the ids as everybody writes them; Datadog's own are the lower 64 bits in decimal.

    Args:
        traced: the trace.
    """
    if traced is None or traced.ids is None:
        return {}
    trace, span = traced.ids
    datadog = {"trace_id": str(int(trace[-_LOWER_64_BITS:], 16)), "span_id": str(int(span, 16))}
    return {"trace_id": trace, "span_id": span, "dd": datadog}


class JsonLines(logging.Formatter):
    """One JSON object per record, with the names that Datadog and CloudWatch know.

    Of an exception only its type and places are shown: its text can hold what a caller sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": _encodable(_message(record)),
            "logger": {"name": _encodable(record.name)},
            **trace_fields(working_on.get()),
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            # Not extract_tb: it would look for each file, to show its lines.
            places = [f"{frame.f_code.co_filename}:{at}" for frame, at in traceback.walk_tb(record.exc_info[2])]
            kind = record.exc_info[0].__name__
            line["error"] = {"kind": kind, "stack": _encodable("\n".join(reversed(places)))}
        return orjson.dumps(line).decode()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the rim of a log line: logging would print it with its arguments instead
        return f"a log message cannot be made at {record.pathname}:{record.lineno}"


def _encodable(text: str) -> str:
    """The text with ``?`` for what is no Unicode: JSON has no way to say it, and a line must never get lost."""
    return text.encode(errors="replace").decode()


def unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody has handled, as an event loop's exception handler; asyncio's own quotes texts and arguments."""
    error = context.get("exception")
    if error is None:
        _logger.error("%s", context.get("message"))
    else:
        _logger.error("nobody has handled an exception", exc_info=(type(error), error, error.__traceback__))


def configure(level: str = "INFO") -> None:
    """Send all logging of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line per outbound request is noise, and its URL can carry what belongs into no log. AWS's library tells
    # whole answers, with the credentials of an assumed role in them.
    for chatty in ("httpx2", "httpcore2", "botocore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
