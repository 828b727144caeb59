"""Identifiers and times that the gateway fills in."""

import os
import time
from collections.abc import Callable

_NODE_BITS = 48
# Left free above a drawn number, so that counting up within a millisecond never needs a further digit.
_ROOM = 1 << 20
_DRAWS = 64
# The last two digits of all ids: behind a number's other digits, looking them up costs a third of rendering it.
_TAILS = tuple(f"{number:02x}" for number in range(256))


class IdSource:
    """Makes UUIDv7 texts (RFC 9562 section 5.7), several times cheaper than building ``uuid.UUID`` objects.

    The 74 random bits are drawn once a millisecond, and the last 48 of them count up within it (section 6.2, method
    2): ids of one process ascend, and those of two processes do not meet.

    Args:
        now_ns: nanoseconds since the epoch.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._until = 0  # nanoseconds: when the next millisecond begins
        self._stem = ""
        self._high = 0  # of the number that counts up, what stands in front of the last two digits
        self._head = ""
        self._tails = iter(_TAILS)
        self._entropy = b""

    def __call__(self) -> str:
        """A new identifier, in lower-case text form."""
        now = self._now_ns()
        if now >= self._until:
            self._begin(now // 1_000_000)
        try:
            return self._head + next(self._tails)
        except StopIteration:
            self._count_from((self._high + 1) << 8)
            return self._head + next(self._tails)

    def _begin(self, millisecond: int) -> None:
        digits = f"{millisecond & 0xFFFF_FFFF_FFFF:012x}"
        random = int.from_bytes(self._drawn(), "big")
        # The variant's two top bits are 10 (section 4.1), which leaves 8, 9, a or b for its digit.
        head = f"7{random & 0xFFF:03x}-{random >> 12 & 0x3FFF | 0x8000:04x}"
        self._stem = f"{digits[:8]}-{digits[8:]}-{head}-"
        self._until = (millisecond + 1) * 1_000_000
        self._count_from(min(random >> 32, (1 << _NODE_BITS) - _ROOM))

    def _count_from(self, number: int) -> None:
        self._high = number >> 8
        self._head = f"{self._stem}{self._high:010x}"
        self._tails = iter(_TAILS[number & 255 :])

    def _drawn(self) -> bytes:
        """Ten random bytes; the system is asked for those of many milliseconds at once."""
        if not self._entropy:
            self._entropy = os.urandom(10 * _DRAWS)
        drawn, self._entropy = self._entropy[:10], self._entropy[10:]
        return drawn
