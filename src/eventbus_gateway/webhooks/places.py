"""How many requests are under way: for one endpoint, and for all."""

import asyncio
from collections import deque


class Places:
    """Bounded places for requests, handed on in the order of asking.

    A slow endpoint fills its own places and then waits; it cannot take those of others.

    Args:
        per_endpoint: requests of one endpoint at the same time.
        total: requests of all endpoints at the same time.
        waiting: requests that wait for a place of their endpoint.
    """

    def __init__(self, per_endpoint: int, total: int, waiting: int) -> None:
        self._per_endpoint = per_endpoint
        self._free = total
        self._may_wait = waiting
        # Only endpoints with requests under way, so the total bounds it.
        self._taken: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return sum(self._taken.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for a place of their endpoint."""
        return sum(map(len, self._queues.values()))

    def take_now(self, endpoint: str) -> bool:
        """Take a place if one is free.

        Args:
            endpoint: whose request it is.
        """
        taken = self._taken.get(endpoint, 0)
        if taken >= self._per_endpoint or self._free <= 0:
            return False
        self._taken[endpoint] = taken + 1
        self._free -= 1
        return True

    async def take(self, endpoint: str, seconds: float) -> bool:
        """Take a place, or wait for one of the endpoint's own.

        Args:
            endpoint: whose request it is.
            seconds: how long to wait.

        Returns:
            Whether there is a place; not when all endpoints together have none left.
        """
        if self.take_now(endpoint):
            return True
        if self._taken.get(endpoint, 0) < self._per_endpoint or self._may_wait <= 0:
            return False
        queue = self._queues.setdefault(endpoint, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._may_wait -= 1
        try:
            await asyncio.wait([turn], timeout=seconds)
        except asyncio.CancelledError:
            if self._leave(endpoint, turn):
                self.give(endpoint)
            raise
        finally:
            self._may_wait += 1
        return self._leave(endpoint, turn)

    def give(self, endpoint: str) -> None:
        """Give a place back; the endpoint's next request has it at once.

        Args:
            endpoint: whose request has ended.
        """
        queue = self._queues.get(endpoint)
        if queue:
            turn = queue.popleft()
            if not queue:
                del self._queues[endpoint]
            turn.set_result(None)
            return
        self._free += 1
        left = self._taken[endpoint] - 1
        if left:
            self._taken[endpoint] = left
        else:
            del self._taken[endpoint]

    def _leave(self, endpoint: str, turn: "asyncio.Future[None]") -> bool:
        """End a wait; whether its place has come, if only in the very moment in which nobody wanted it any longer."""
        if turn.done():
            return True
        queue = self._queues[endpoint]
        queue.remove(turn)
        if not queue:
            del self._queues[endpoint]
        return False
