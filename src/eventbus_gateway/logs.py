"""What the process itself has to say, as JSON lines on standard error."""

import logging
import sys
import traceback

import orjson


class JsonLines(logging.Formatter):
    """One JSON object per record.

    Of an exception only its type and places are shown: its text can hold what a caller sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["places"] = [
                f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return orjson.dumps(line).decode()


def configure(level: str = "INFO") -> None:
    """Send all logging of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line per outbound request is noise, and its URL can carry what belongs into no log. AWS's library tells
    # whole answers, with the credentials of an assumed role in them.
    for chatty in ("httpx2", "httpcore2", "botocore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
