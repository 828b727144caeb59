"""Keeps a chatty library from filling the log."""

import logging


class AtMost(logging.Filter):
    """Lets through so many lines per window of time; the first one of a later window says how many were left out.

    Args:
        lines: how many pass in each window.
        seconds: length of the window.
    """

    def __init__(self, *, lines: int, seconds: float) -> None:
        super().__init__()
        self._lines = lines
        self._seconds = seconds
        self._window = float("-inf")
        self._passed = 0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes, by the time that it carries."""
        if record.created - self._window >= self._seconds:
            if self._left_out:
                record.msg = f"{record.getMessage()} ({self._left_out} earlier lines were left out)"
                record.args = None
            self._window, self._passed, self._left_out = record.created, 0, 0
        self._passed += 1
        if self._passed > self._lines:
            self._left_out += 1
            return False
        return True
