"""One wait for all who wait for the same thing."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from eventbus_gateway.errors import ShuttingDown


class _Shared:
    def __init__(self, task: "asyncio.Task[bool]") -> None:
        self.task = task
        self.waiters = 0


class SharedWaits:
    """Waits that run as long as somebody is interested in them.

    Many clients of this process wait for the same shard of another replica; one connection is enough for them.
    """

    def __init__(self) -> None:
        self._shared: dict[Hashable, _Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    async def join(self, key: Hashable, seconds: float, wait: Callable[[], Awaitable[bool]]) -> bool:
        """What a wait finds; False where it takes longer than these seconds.

        Args:
            key: what is waited for.
            seconds: how long to be interested.
            wait: begins the wait, where nobody else has; cancelled when the last one has lost interest.

        Raises:
            ShuttingDown: the waits were closed.
            GatewayError: what the wait has raised.
        """
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = self._begin(key, wait)
        shared.waiters += 1
        try:
            await asyncio.wait([shared.task], timeout=seconds)
            if not shared.task.done():
                return False
            if shared.task.cancelled():
                raise ShuttingDown
            return shared.task.result()
        finally:
            shared.waiters -= 1
            if not shared.waiters and not shared.task.done():
                self._end(key, shared)

    async def close(self) -> None:
        """End all waits."""
        tasks = [shared.task for shared in self._shared.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: Hashable, wait: Callable[[], Awaitable[bool]]) -> _Shared:
        async def run() -> bool:
            return await wait()

        shared = _Shared(asyncio.create_task(run()))
        # Whoever comes after its end begins another one.
        shared.task.add_done_callback(lambda _: self._ended(key, shared))
        return shared

    def _end(self, key: Hashable, shared: _Shared) -> None:
        shared.task.cancel()
        # At once, since whoever comes next must not join what is about to end.
        self._forget(key, shared)

    def _ended(self, key: Hashable, shared: _Shared) -> None:
        self._forget(key, shared)
        if not shared.task.cancelled():
            # Looked at, since everybody who waited may have lost interest at this very moment.
            shared.task.exception()

    def _forget(self, key: Hashable, shared: _Shared) -> None:
        if self._shared.get(key) is shared:
            del self._shared[key]
