"""Those who wait until a shard has something to hand out."""

import asyncio
import time
from collections.abc import Callable


class Waiters:
    """Wakes everybody who waits, to look again.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._futures: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._futures)

    def wake(self) -> None:
        """Have everybody look again."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition.

        Args:
            condition: looked at now and after each wake.
            seconds: how long to wait.

        Returns:
            Whether it holds.
        """
        deadline = self._clock() + seconds
        while not condition():
            remaining = deadline - self._clock()
            if remaining <= 0:
                return False
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._futures.add(future)
            try:
                await asyncio.wait([future], timeout=remaining)
            finally:
                self._futures.discard(future)
        return True
