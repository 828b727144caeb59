"""Identifiers and times that the gateway fills in."""

import os
import time
from collections.abc import Callable

_POOL_IDS = 256
_RANDOM_DIGITS = 19
# RFC 9562 section 4.1: the variant's two top bits are 10, which leaves 8, 9, a or b.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class IdSource:
    """Makes UUIDv7 texts (RFC 9562 section 5.7), several times cheaper than building ``uuid.UUID`` objects.

    Args:
        now_ns: nanoseconds since the epoch.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._pool = ""
        self._at = 0
        self._millisecond = -1
        self._head = ""

    def __call__(self) -> str:
        """A new identifier, in lower-case text form."""
        millisecond = self._now_ns() // 1_000_000
        if millisecond != self._millisecond:
            digits = f"{millisecond & 0xFFFF_FFFF_FFFF:012x}"
            self._head = f"{digits[:8]}-{digits[8:]}-7"
            self._millisecond = millisecond
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(_POOL_IDS * _RANDOM_DIGITS // 2).hex()
            at = 0
        self._at = at + _RANDOM_DIGITS
        random = self._pool[at : at + _RANDOM_DIGITS]
        return f"{self._head}{random[:3]}-{_VARIANT[random[18]]}{random[3:6]}-{random[6:18]}"


class Timestamps:
    """Renders milliseconds since the epoch as RFC 3339 in UTC; the seconds' part is kept while it lasts."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, milliseconds: int) -> str:
        second, rest = divmod(milliseconds, 1_000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{rest:03d}Z"
