"""Points in time as callers write them."""

import re
import time
from datetime import UTC, datetime

# RFC 3339 section 5.6; whether there is such a date and time is left to the parser.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MICROSECONDS = 6
# How all times end.
_FRACTIONS = tuple(f".{number:03d}Z" for number in range(1_000))


def milliseconds(text: str) -> int:
    """Milliseconds since the epoch of a timestamp; what is finer is cut off.

    Args:
        text: RFC 3339, with an offset.

    Raises:
        ValueError: it is not that, or no such time exists.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError("expected an RFC 3339 timestamp")
    fraction = found[1] or ""
    plain = text.upper()
    if len(fraction) > _MICROSECONDS + 1:  # more digits than the parser takes
        plain = plain.replace(fraction, fraction[: _MICROSECONDS + 1], 1)
    moment = datetime.fromisoformat(plain)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


def timestamp(milliseconds: int) -> str:
    """A time as RFC 3339 in UTC.

    Args:
        milliseconds: since the epoch.
    """
    moment = datetime(1970, 1, 1, tzinfo=UTC) + milliseconds * _MILLISECOND
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_MILLISECOND = datetime(1970, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


class Timestamps:
    """Renders milliseconds since the epoch as RFC 3339 in UTC; the seconds' part is kept while it lasts."""

    def __init__(self) -> None:
        self._begin = 0  # milliseconds
        self._text = _second_text(0)

    def __call__(self, milliseconds: int) -> str:
        rest = milliseconds - self._begin
        if not 0 <= rest < 1_000:
            second, rest = divmod(milliseconds, 1_000)
            self._begin = second * 1_000
            self._text = _second_text(second)
        return self._text + _FRACTIONS[rest]


def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
