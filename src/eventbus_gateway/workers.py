"""Several gateway processes on one host, under a parent that starts them, watches them and ends them.

Each is a full replica that knows nothing of the others beyond what any replica knows. They are started anew from the
command line, not forked: Kafka clients have threads, which do not survive that. A pair of sockets connects each with
the parent. It tells the parent when the worker serves, and the worker when the parent is gone, however that came.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_SOUND_SECONDS = 60.0
"""A worker that has served so long was not broken from the start: it is replaced without a long pause."""
_LINE_BYTES = 1_024
_FAILED = 1
_ENDS = (signal.SIGTERM, signal.SIGINT)


class Leash:
    """A worker's end of the connection to its parent.

    Args:
        number: file descriptor that the parent has passed on.
    """

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._socket.setblocking(False)
        # Nothing that the worker starts may hold it.
        self._socket.set_inheritable(False)

    def watch(self, on_end: Callable[[], None]) -> None:
        """Be told when the parent is gone; needs the running loop.

        Args:
            on_end: called once, on the loop.
        """
        loop = asyncio.get_running_loop()

        def readable() -> None:
            loop.remove_reader(self._socket)
            on_end()

        # The parent never writes: whatever can be read is the end.
        loop.add_reader(self._socket, readable)

    def tell(self, place: str) -> None:
        """Say that this worker serves.

        Args:
            place: where its internal port is.
        """
        # Without a parent there is nobody to be told; ``watch`` sees that, too.
        with contextlib.suppress(OSError):
            self._socket.send(place.encode())


class Workers:
    """The parent of workers.

    Args:
        command: starts a worker; the number of the descriptor for its :class:`Leash` is appended.
        environs: variables of each worker, beside those of this process.
    """

    def __init__(self, command: Sequence[str], environs: Sequence[Mapping[str, str]]) -> None:
        self._command = command
        self._environs = environs
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._serving: set[int] = set()
        self._began = False

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Keep the workers running until SIGTERM or SIGINT, then let them drain.

        Args:
            on_ready: called once, when all serve.

        Returns:
            Exit status: 0 when all have ended as they should; that of a worker that could not start at all; else 1.
        """
        loop = asyncio.get_running_loop()
        for number in _ENDS:
            loop.add_signal_handler(number, self._pass_on, number)

        def serves(worker: int) -> None:
            self._serving.add(worker)
            if len(self._serving) == len(self._environs) and not self._began:
                self._began = True
                on_ready()

        statuses = await asyncio.gather(*(self._keep(worker, serves) for worker in range(len(self._environs))))
        return next((status for status in statuses if status), 0)

    async def _keep(self, worker: int, serves: Callable[[int], None]) -> int:
        """Run one worker, and another one in its place whenever it ends by mistake; the last one's exit status."""
        loop = asyncio.get_running_loop()
        pause, status = _FIRST_PAUSE_SECONDS, 0
        while not self._stopping.is_set():
            started = loop.time()
            status = await self._live(worker, serves)
            if self._stopping.is_set():
                break
            if worker not in self._serving:
                # It has never served: another attempt would end the same way, and somebody waits to be told.
                _logger.error("worker %d could not start", worker)
                self._pass_on(signal.SIGTERM)
                break
            pause = _FIRST_PAUSE_SECONDS if loop.time() - started > _SOUND_SECONDS else pause
            _logger.error("worker %d has ended with %s; the next one starts in %g s", worker, _said(status), pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        if self._stopping.is_set() and -status in _ENDS:
            return 0  # the signal came before the worker listened to signals, let alone to callers
        return status if status >= 0 else _FAILED

    async def _live(self, worker: int, serves: Callable[[int], None]) -> int:
        """One worker from its start to its end."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, **self._environs[worker]},
                )
            self._processes[worker] = process
            if self._stopping.is_set():
                process.terminate()
            listening = asyncio.create_task(self._listen(worker, ours, serves))
            try:
                return await process.wait()
            finally:
                del self._processes[worker]
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, worker: int, ours: socket.socket, serves: Callable[[int], None]) -> None:
        ours.setblocking(False)
        line = await asyncio.get_running_loop().sock_recv(ours, _LINE_BYTES)
        if line:
            pid = self._processes[worker].pid
            _logger.info("worker %d is process %d, probes and metrics on %s", worker, pid, line.decode())
            serves(worker)

    def _pass_on(self, number: int) -> None:
        self._stopping.set()
        for process in self._processes.values():
            # It may have ended by itself.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Keep a port for processes that share it; nobody connects to this one.

    Args:
        host: address of the port.
        port: number; 0 takes a free one.

    Raises:
        OSError: somebody else has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind((host, port))
        yield keeper.getsockname()[1]


def environ(worker: int, port: int, internal_port: int, advertised: str | None) -> dict[str, str]:
    """What is particular to the configuration of one worker, as environment variables.

    Args:
        worker: number of the worker, from 0.
        port: the public port.
        internal_port: internal port of the first worker; 0 lets each take a free one.
        advertised: ``host:port`` at which others reach the first worker's internal port, None for where it listens.
    """
    own = {
        "EVENTBUS_HTTP__PORT": str(port),
        "EVENTBUS_HTTP__REUSE_PORT": "true",
        "EVENTBUS_HTTP__INTERNAL_PORT": str(internal_port + worker if internal_port else 0),
    }
    if advertised is not None:
        host, _, first = advertised.rpartition(":")
        own["EVENTBUS_SUBSCRIPTIONS__ADVERTISED_ADDRESS"] = f"{host}:{int(first) + worker}"
    return own


def _said(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
