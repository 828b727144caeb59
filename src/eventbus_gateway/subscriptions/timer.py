"""A call at a time that can come closer."""

import asyncio
from collections.abc import Callable

_LEAST_SECONDS = 0.001
"""The loop rounds: a call that comes a moment too early finds nothing due and would ask for the next one at once."""


class Timer:
    """Calls back once at the earliest of the times that it was given since it last did.

    Args:
        clock: the seconds that the times are of; never goes back.
        due: called on the loop.
    """

    def __init__(self, clock: Callable[[], float], due: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._closed = False

    def set(self, at: float | None) -> None:
        """Call back at this time at the latest.

        Args:
            at: the time, None for no time.
        """
        if at is None or self._closed or (self._handle is not None and self._at <= at):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = at
        self._handle = asyncio.get_running_loop().call_later(max(_LEAST_SECONDS, at - self._clock()), self._ring)

    def close(self) -> None:
        """Never call back again."""
        self._closed = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._due()
