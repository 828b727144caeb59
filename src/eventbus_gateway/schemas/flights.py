"""Many callers that want the same thing share one attempt to get it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from eventbus_gateway.errors import Overloaded, ShuttingDown

T = TypeVar("T")


class Flights(Generic[T]):
    """Calls that are under way, at most one per key.

    Args:
        limit: calls under way at the most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The call that is under way for a key, or a new one; to be waited for behind a shield only.

        Raises:
            Overloaded: too many calls are under way.
        """
        task = self._tasks.get(key)
        # A call that has ended stays here until the loop gets round to its callback.
        if task is None or task.done():
            if task is None and len(self._tasks) >= self._limit:
                raise Overloaded("too many schemas are being looked up")
            task = self._tasks[key] = asyncio.create_task(start())
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the call that is under way for a key, or of a new one.

        A caller that is cancelled leaves the call to the others.

        Raises:
            Overloaded: too many calls are under way.
            ShuttingDown: the call was given up.
        """
        task = self.begin(key, start)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The same exception says that the caller is cancelled and that the shared task was.
            caller = asyncio.current_task()
            if task.cancelled() and (caller is None or not caller.cancelling()):
                raise ShuttingDown from None
            raise

    async def aclose(self) -> None:
        """Give up everything that is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            # Read here, because every caller may have left: asyncio reports exceptions that nobody has read.
            task.exception()
