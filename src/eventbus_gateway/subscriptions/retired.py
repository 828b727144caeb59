"""Consumer groups that no subscription names any more."""

import asyncio
import logging
from collections import deque

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.subscriptions.places import Places
from eventbus_gateway.subscriptions.resource import Subscription

_logger = logging.getLogger(__name__)

_MAX_WAITING = 1_000


class RetiredGroups:
    """Deletes groups, a while after they were given up.

    A replica that has not heard of the change yet must find the positions: without them it would begin anew. What is
    not deleted, at the end of the process or beyond the bound, Kafka forgets after ``offsets.retention.minutes``.

    Args:
        places: deletes positions.
        seconds: how long after.
    """

    def __init__(self, places: Places, seconds: float = 60.0) -> None:
        self._places = places
        self._seconds = seconds
        self._waiting: deque[tuple[float, Subscription]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, subscription: Subscription) -> None:
        """Delete the group of a subscription as it was, later."""
        if self._closed or len(self._waiting) >= _MAX_WAITING:
            return
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._seconds, subscription))
        if self._task is None:
            self._task = loop.create_task(self._run())

    async def close(self) -> None:
        """Delete no more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            due, subscription = self._waiting[0]
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                await self._places.forget(subscription)
            except GatewayError as error:
                _logger.info("a consumer group that is not used any more is left to Kafka: %s", error.code)
            self._waiting.popleft()
        self._task = None
