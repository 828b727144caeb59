"""JSON lines on their way to standard output, without ever making the event loop wait."""

import asyncio
import os
import queue
import select
import threading
from typing import Protocol

from eventbus_gateway.telemetry import Metrics

_FLUSH_SECONDS = 0.2
_STOP_SECONDS = 2.0
# Lines leave in blocks small enough to stay in the processor's cache until they are written.
_BLOCK_BYTES = 32_768


class LineSink(Protocol):
    """Takes lines without ever waiting; ``AccessLog`` is one."""

    def write(self, line: bytes) -> None: ...


class AccessLog:
    """Collects lines on the event loop and writes them from a thread, so that a full pipe stops nobody.

    Args:
        descriptor: file descriptor to write to.
        max_bytes: lines that may wait; beyond it lines are dropped and counted.
        metrics: where dropped lines are counted.
    """

    def __init__(self, descriptor: int, max_bytes: int, metrics: Metrics) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._lines: list[bytes] = []
        self._waiting = 0
        self._gathered = 0  # of the waiting bytes, those that the thread does not have yet
        self._written = 0
        self._lost = 0  # lines that the thread could not write, of which
        self._told = 0  # are counted; metrics belong to the event loop
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, name="access-log", daemon=True)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to write; needs the running loop."""
        self._thread.start()
        self._flush()

    def write(self, line: bytes) -> None:
        """Take one line, newline included."""
        # Both counters only grow and each has one writer, so no lock is needed to compare them.
        if self._waiting - self._written + len(line) > self._max_bytes:
            self._metrics.log_lines_dropped.add()
            return
        self._waiting += len(line)
        self._gathered += len(line)
        self._lines.append(line)
        if self._gathered > _BLOCK_BYTES:
            self._hand_over()

    def stop(self) -> None:
        """Write what is left, within two seconds."""
        if self._timer is not None:
            self._timer.cancel()
        self._hand_over()
        self._blocks.put(None)
        self._thread.join(_STOP_SECONDS)
        self._hand_over()

    def _flush(self) -> None:
        self._hand_over()
        self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _hand_over(self) -> None:
        lost = self._lost
        if lost > self._told:
            self._metrics.log_lines_dropped.add((), lost - self._told)
            self._told = lost
        if self._lines:
            self._blocks.put(b"".join(self._lines))
            self._lines = []
            self._gathered = 0

    def _drain(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._lost += self._lines_left(block)
            self._written += len(block)

    def _lines_left(self, block: bytes) -> int:
        rest = memoryview(block)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the descriptor made it non-blocking
                self._room.poll()
            except OSError:
                return bytes(rest).count(b"\n")  # nobody reads any more, which is no reason to stop serving
        return 0
