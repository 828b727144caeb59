"""``Retry-After`` as RFC 9110 has it: seconds, or a date in one of three forms."""

import re
from datetime import UTC, datetime

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES = (
    re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)
_SECONDS = re.compile(r"[0-9]+")
_MOST_DIGITS = 12
_LEAP_SECOND = 60
_CENTURY = 100
_FUTURE_YEARS = 50


def retry_after(text: str | None, now: float, cap: float) -> float | None:
    """How many seconds an answer asks to wait; None where it says nothing that can be understood.

    Args:
        text: value of the header.
        now: seconds since the epoch.
        cap: seconds at the most. A time in the past is none to wait for: 0.
    """
    # Tokens and dates in HTTP are ASCII; other digits, which a pattern could take, mean nothing here.
    value = (text or "").strip(" \t")
    if _SECONDS.fullmatch(value):
        digits = value.lstrip("0")
        return cap if len(digits) > _MOST_DIGITS else min(cap, float(digits or 0))
    moment = _moment(value, now)
    return None if moment is None else min(cap, max(0.0, moment - now))


def _moment(value: str, now: float) -> float | None:
    """A date as seconds since the epoch (RFC 9110, section 5.6.7)."""
    found = next((match for pattern in _DATES if (match := pattern.fullmatch(value))), None)
    if found is None:
        return None
    year, second = int(found["year"]), int(found["second"])
    if len(found["year"]) == 2:
        year = _full_year(year, now)
    try:
        # A leap second is no second of the epoch's.
        moment = datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            second - (second == _LEAP_SECOND),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()


def _full_year(year: int, now: float) -> int:
    """Two digits as the year that is at most fifty years ahead."""
    latest = datetime.fromtimestamp(now, UTC).year + _FUTURE_YEARS
    return latest - (latest - year) % _CENTURY
