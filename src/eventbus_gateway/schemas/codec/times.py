"""Dates, times and durations between ISO 8601 text and the numbers that Avro stores.

The text forms are strict: ``YYYY-MM-DD``, ``HH:MM:SS[.f]`` and both joined by ``T``, with up to nine digits of
fraction. Digits beyond the type's precision are accepted only when they are zero. Leap seconds and ``24:00`` do not
exist here.
Source: RFC 3339 section 5.6, ISO 8601 durations, Avro specification 1.12 "Logical Types".
"""

import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: offsets are subtracted as seconds, which is cheaper
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MIN_DAY, _MAX_DAY = date.min.toordinal() - _EPOCH_DAY, date.max.toordinal() - _EPOCH_DAY
_DAY_SECONDS = 86_400
_SCALES = {3: 1_000, 6: 1_000_000, 9: 1_000_000_000}

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?", re.ASCII)
_DURATION = re.compile(
    r"P(?:(\d{1,10})Y)?(?:(\d{1,10})M)?(?:(\d{1,10})W)?(?:(\d{1,10})D)?"
    r"(?:T(?=\d)(?:(\d{1,10})H)?(?:(\d{1,10})M)?(?:(\d{1,10})(?:\.(\d{1,3}))?S)?)?",
    re.ASCII,
)
_DURATION_WIRE = struct.Struct("<III")
_U32 = (1 << 32) - 1
_MINUTES = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1_440))


def day_of(text: str) -> int | None:
    """Days since the epoch of a ``YYYY-MM-DD`` date; None where the text is not one."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return None
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        return None


def day_text(day: int) -> str | int:
    """A date as text; a day outside of the years 1 to 9999 stays a number."""
    return date.fromordinal(day + _EPOCH_DAY).isoformat() if _MIN_DAY <= day <= _MAX_DAY else day


def _fraction(digits: str | None, places: int) -> int | None:
    if not digits:
        return 0
    kept, rest = digits[:places], digits[places:]
    return None if rest.strip("0") else int(kept.ljust(places, "0"))


def time_of(text: str, places: int) -> int | None:
    """Units of ``10**-places`` seconds after midnight; None where the text is not a time of that precision."""
    found = _TIME.fullmatch(text)
    fraction = _fraction(found[4], places) if found else None
    if found is None or fraction is None:
        return None
    return (int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])) * _SCALES[places] + fraction


def _joined(text: str, fraction: int, places: int) -> str:
    return f"{text}.{fraction:0{places}d}" if fraction else text


def time_text(units: int, places: int) -> str | None:
    """A time of day as text; None where the number is none."""
    seconds, fraction = divmod(units, _SCALES[places])
    if not 0 <= seconds < _DAY_SECONDS:
        return None
    return _joined(f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}", fraction, places)


def _seconds(text: str) -> int:
    distance = datetime.fromisoformat(text) - _EPOCH
    return distance.days * _DAY_SECONDS + distance.seconds


def _offset(text: str) -> int:
    if text == "Z":
        return 0
    seconds = int(text[1:3]) * 3600 + int(text[4:]) * 60
    return -seconds if text[0] == "-" else seconds


def moment_reader(places: int, *, local: bool) -> Callable[[str], int | None]:
    """Reads text as units of ``10**-places`` seconds since the epoch; None where it is not of the right form.

    Args:
        places: 3, 6 or 9.
        local: a local timestamp must not have an offset, any other one must.
    """
    scale = _SCALES[places]

    def general(text: str) -> int | None:
        found = _MOMENT.fullmatch(text)
        if found is None or (found[3] is None) is not local:
            return None
        fraction = _fraction(found[2], places)
        if fraction is None:
            return None
        return (_seconds(found[1]) - (0 if local else _offset(found[3]))) * scale + fraction

    def read(text: str) -> int | None:
        try:
            # With dashes, T, colons and Z in these places, fromisoformat has only one form left to accept.
            if not local and text[4::3] == "--T::Z" and len(text) == 20:
                distance = datetime.fromisoformat(text) - EPOCH
                return (distance.days * _DAY_SECONDS + distance.seconds) * scale
            return general(text)
        except ValueError:
            return None

    return read


@lru_cache(maxsize=4_096)
def _day_prefix(day: int) -> str | None:
    """A date up to its T; None outside of the years 1 to 9999."""
    return f"{date.fromordinal(day + _EPOCH_DAY).isoformat()}T" if _MIN_DAY <= day <= _MAX_DAY else None


def moment_writer(places: int, suffix: str) -> Callable[[int], str | int]:
    """Renders units of ``10**-places`` seconds since the epoch; one outside of the years 1 to 9999 stays a number.

    Args:
        places: 3, 6 or 9.
        suffix: what stands behind.
    """
    scale = _SCALES[places]
    ends = tuple(f"{second:02d}{suffix}" for second in range(60))

    def show(units: int) -> str | int:
        seconds, fraction = divmod(units, scale)
        minutes, second = divmod(seconds, 60)
        day, minute = divmod(minutes, 1_440)
        prefix = _day_prefix(day)
        if prefix is None:
            return units
        if fraction:
            return f"{prefix}{_MINUTES[minute]}{second:02d}.{fraction:0{places}d}{suffix}"
        return prefix + _MINUTES[minute] + ends[second]

    return show


def duration_of(text: str) -> bytes | None:
    """The twelve bytes of an ISO 8601 duration; None where the text is none, or a part exceeds 32 bits."""
    found = _DURATION.fullmatch(text)
    if found is None or len(text) < 3:
        return None
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[:7])
    millis = (hours * 3600 + minutes * 60 + seconds) * 1000 + int((found[8] or "").ljust(3, "0"))
    parts = (years * 12 + months, weeks * 7 + days, millis)
    return _DURATION_WIRE.pack(*parts) if max(parts) <= _U32 else None


def duration_text(raw: bytes) -> str:
    """The shortest ISO 8601 text of the twelve bytes of a duration, in months, days and seconds."""
    months, days, millis = _DURATION_WIRE.unpack(raw)
    text = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    if millis or not text:
        text += "T" + _joined(str(millis // 1000), millis % 1000, 3) + "S"
    return "P" + text
