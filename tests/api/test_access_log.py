"""The access log's way to its file descriptor: nobody waits for it, and what is lost is counted."""

import array
import asyncio
import fcntl
import os
import termios
import threading
import time
from collections.abc import Iterator

import pytest
from tests.api.wire import eventually

from eventbus_gateway.api.access_log import AccessLog
from eventbus_gateway.telemetry import Metrics

LINE = b"a" * 99 + b"\n"


class Pipe:
    """A pipe whose reader reads when it is told to."""

    def __init__(self, bytes_of_room: int = 4_096) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, bytes_of_room)
        self._found = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def read(self) -> None:
        """Begin to read."""
        self._thread.start()

    def everything(self) -> bytes:
        """All that was written, once the writer is closed."""
        self._end_writing()
        return bytes(self._found)

    def leave(self) -> None:
        """Close the end that is read."""
        reader, self.reader = self.reader, -1
        os.close(reader)

    def close(self) -> None:
        self._end_writing()
        if self.reader >= 0:
            self.leave()

    def _end_writing(self) -> None:
        # Each end once: its number may be somebody else's by the second time. And nobody reads from a closed one.
        if self.writer >= 0:
            writer, self.writer = self.writer, -1
            os.close(writer)
        if self._thread.is_alive():
            self._thread.join(60)
            assert not self._thread.is_alive(), "the pipe has no end"

    def _read(self) -> None:
        while data := os.read(self.reader, 65_536):
            self._found += data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def dropped(metrics: Metrics) -> float:
    return metrics.log_lines_dropped.values[()]


def test_lines_come_out_whole_and_in_order(pipe: Pipe) -> None:
    lines = [b'{"line":%d}\n' % number for number in range(5_000)]
    metrics = Metrics()

    async def serve() -> None:
        log = AccessLog(pipe.writer, 1_000_000, metrics)
        log.start()
        pipe.read()
        for line in lines:
            log.write(line)
        log.stop()

    asyncio.run(serve())
    assert pipe.everything() == b"".join(lines)
    assert dropped(metrics) == 0


def test_lines_are_written_while_the_log_goes_on(pipe: Pipe) -> None:
    async def serve() -> bytes:
        log = AccessLog(pipe.writer, 1_000_000, Metrics())
        log.start()
        log.write(LINE)
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(pipe.reader, readable.set)
        await asyncio.wait_for(readable.wait(), 5)
        loop.remove_reader(pipe.reader)
        log.stop()
        return os.read(pipe.reader, 1_000)

    assert asyncio.run(serve()) == LINE


def test_a_full_pipe_makes_nobody_wait_and_what_finds_no_room_is_counted(pipe: Pipe) -> None:
    metrics = Metrics()

    async def serve() -> tuple[float, float]:
        log = AccessLog(pipe.writer, 100_000, metrics)
        log.start()
        # The thread has to be stuck in the pipe before the rest is written.
        log.write(LINE * 100)
        assert await asyncio.to_thread(eventually, lambda: waiting_bytes(pipe.reader) == 4_096)
        started = time.monotonic()
        for _ in range(10_000):
            log.write(LINE)
        elapsed = time.monotonic() - started
        lost = dropped(metrics)
        pipe.read()
        log.stop()
        return elapsed, lost

    elapsed, lost = asyncio.run(serve())
    assert elapsed < 1
    assert lost == 10_000 - (100_000 - 100 * len(LINE)) // len(LINE)
    found = pipe.everything()
    assert len(found) == 100_000
    assert found == LINE * 1_000


def test_room_comes_back_when_the_pipe_is_read_again(pipe: Pipe) -> None:
    metrics = Metrics()

    async def serve() -> None:
        log = AccessLog(pipe.writer, 10_000, metrics)
        log.start()
        for _ in range(1_000):
            log.write(LINE)
        lost = dropped(metrics)
        assert lost > 0
        pipe.read()
        limit = time.monotonic() + 5
        while time.monotonic() < limit:
            before = dropped(metrics)
            log.write(LINE)
            if dropped(metrics) == before:
                break
            await asyncio.sleep(0)
        assert dropped(metrics) == before
        log.stop()

    asyncio.run(serve())


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    metrics = Metrics()

    async def serve() -> None:
        log = AccessLog(pipe.writer, 1_000_000, metrics)
        log.start()
        for _ in range(2_000):
            log.write(LINE)
        pipe.read()
        log.stop()

    asyncio.run(serve())
    assert pipe.everything() == LINE * 2_000
    assert dropped(metrics) == 0


def test_a_reader_that_has_gone_ends_nothing_and_its_lines_are_counted(pipe: Pipe) -> None:
    pipe.leave()
    metrics = Metrics()

    async def serve() -> None:
        log = AccessLog(pipe.writer, 1_000_000, metrics)
        log.start()
        for _ in range(10):
            log.write(LINE)
        log.stop()

    asyncio.run(serve())
    assert dropped(metrics) == 10


def test_a_pipe_that_stays_full_does_not_keep_the_process(pipe: Pipe) -> None:
    async def serve() -> float:
        log = AccessLog(pipe.writer, 1_000_000, Metrics())
        log.start()
        for _ in range(1_000):
            log.write(LINE)
        started = time.monotonic()
        log.stop()
        return time.monotonic() - started

    assert asyncio.run(serve()) < 4


def waiting_bytes(reader: int) -> int:
    """Bytes that wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]
