"""A thread with something on it that blocks, used from the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from eventbus_gateway.kafka.background import settle


class Closable(Protocol):
    """What has to be released on the thread that uses it."""

    def close(self) -> None: ...


S = TypeVar("S", bound=Closable)
T = TypeVar("T")


class Lane(Generic[S]):
    """Carries out one piece of work after the other on a daemon thread of its own.

    Args:
        name: what the thread is called.
        make: makes what the work needs, on the thread, with the first piece of work.
    """

    def __init__(self, name: str, make: Callable[[], S]) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[tuple[Callable[[S], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._run, name=f"eventbus-{name}", daemon=True).start()

    def submit(self, work: Callable[[S], T]) -> "asyncio.Future[T]":
        """Have something done; the future completes on the event loop whatever happens."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((work, future))
        return future

    def close(self) -> None:
        """End behind the work that was submitted; :attr:`ended` completes then."""
        self._work.put(None)

    def _run(self) -> None:
        made: S | None = None
        try:
            while (item := self._work.get()) is not None:
                work, future = item
                try:
                    if made is None:
                        made = self._make()
                    result, error = work(made), None
                except Exception as raised:  # noqa: BLE001 - the rim of the thread: whoever waits gets it
                    result, error = None, raised
                self._loop.call_soon_threadsafe(settle, future, result, error)
            if made is not None:
                made.close()
            self._loop.call_soon_threadsafe(settle, self.ended, None, None)
        except RuntimeError:
            return  # the loop was closed meanwhile; nobody waits any more
