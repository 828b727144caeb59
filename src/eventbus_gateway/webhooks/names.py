"""The addresses of host names: looked up once for all who ask, within a time, and kept for a while."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

_WAITING_PER_THREAD = 4


class Lookup(Protocol):
    """Asks for the addresses of a name; raises ``OSError`` where it has none."""

    async def __call__(self, host: str) -> Sequence[str]: ...


class SystemLookup:
    """Asks the operating system, in threads of its own.

    Those of the event loop serve other parts as well, which must not wait for somebody's slow name servers.

    Args:
        threads: look-ups at the same time.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="webhook-dns")

    async def __call__(self, host: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _look_up, host)

    def close(self) -> None:
        """Begin no further look-up; those under way end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class NameTimes(NamedTuple):
    """Times and bounds of looking names up.

    Args:
        wait_seconds: how long one caller waits.
        keep_seconds: how long addresses are used.
        failure_seconds: how long a failure is used.
        max_names: names that are kept.
        max_lookups: look-ups under way or waiting for a thread.
    """

    wait_seconds: float
    keep_seconds: float
    failure_seconds: float
    max_names: int
    max_lookups: int

    @classmethod
    def for_threads(cls, threads: int, *, wait: float, keep: float, failure: float, names: int) -> "NameTimes":
        """Those that suit a number of threads; the other arguments are as above."""
        return cls(wait, keep, failure, names, threads * (1 + _WAITING_PER_THREAD))


class _Known(NamedTuple):
    until: float
    addresses: tuple[str, ...]


class Names:
    """The addresses of names.

    A look-up goes on when those who wait for it have lost patience, and nobody begins a second one for its name: a
    name server that never answers holds one thread per name.

    Args:
        lookup: asks for the addresses of a name.
        times: times and bounds.
        clock: seconds that never go back.
    """

    def __init__(self, lookup: Lookup, times: NameTimes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._times = times
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[_Known]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def addresses(self, host: str) -> tuple[str, ...]:
        """All addresses of a name.

        Args:
            host: the name.

        Raises:
            OSError: it has none, or they did not come in time, or too many names are being looked up.
        """
        known = self._known.get(host)
        if known is None or known.until <= self._clock():
            known = await self._asked(host)
        if not known.addresses:
            raise OSError("the name has no address")
        return known.addresses

    async def aclose(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _asked(self, host: str) -> _Known:
        task = self._under_way.get(host)
        if task is None:
            if len(self._under_way) >= self._times.max_lookups:
                raise OSError("too many names are being looked up")
            task = self._under_way[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda done: self._landed(host, done))
        done, _ = await asyncio.wait([task], timeout=self._times.wait_seconds)
        if not done or task.cancelled():
            raise OSError("the name was not looked up in time")
        return task.result()

    def _landed(self, host: str, task: "asyncio.Task[_Known]") -> None:
        del self._under_way[host]
        if not task.cancelled():
            # Looked at, since everybody who waited may have left: asyncio reports exceptions that nobody has read.
            task.exception()

    async def _ask(self, host: str) -> _Known:
        try:
            found = tuple(await self._lookup(host))
        # UnicodeError: Python's own encoding of names refuses labels that are too long.
        except (OSError, UnicodeError):
            found = ()
        keep = self._times.keep_seconds if found else self._times.failure_seconds
        known = self._known[host] = _Known(self._clock() + keep, found)
        self._known.move_to_end(host)
        if len(self._known) > self._times.max_names:
            self._known.popitem(last=False)
        return known


def _look_up(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
