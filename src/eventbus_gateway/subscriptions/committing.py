"""When the progress of a shard is committed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.subscriptions.supply import Supply

_AGAIN_SECONDS = 21_600.0
"""Kafka forgets the positions of a group that has not committed for ``offsets.retention.minutes`` (a week)."""

Commit = Callable[[Mapping[Partition, Position]], Awaitable[Mapping[Partition, GatewayError | None]]]


class Committing:
    """Commits what a supply has done: soon, all partitions together, and one call after the other.

    Args:
        supply: what is committed.
        commit: stores positions.
        may: whether nobody else can be the owner at this moment.
        seconds: from the first change to its commit.
        settle_seconds: so long after the beginning everything is committed once more: a former owner that was
            stopped in the middle of a commit can have finished it meanwhile.
    """

    def __init__(
        self, supply: Supply[Consumed], commit: Commit, may: Callable[[], bool], seconds: float, settle_seconds: float
    ) -> None:
        self._supply = supply
        self._commit = commit
        self._may = may
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle = self._loop.call_later(settle_seconds, self._all_again)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.trouble: GatewayError | None = None
        """Why the last commit failed, None where it did not."""

    def soon(self) -> None:
        """Something may have changed."""
        if self._timer is None and self._task is None and not self._closed:
            self._timer = self._loop.call_later(self._seconds, self._begin)

    async def finish(self) -> None:
        """Commit what is left, and nothing more after that."""
        self._close()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._run()

    def drop(self) -> None:
        """Commit nothing more; what is under way may still be stored."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._again.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, _: "asyncio.Task[None]") -> None:
        self._task = None
        if self._supply.has_changed():
            self.soon()

    def _all_again(self) -> None:
        self._supply.recommit()
        self.soon()
        self._again = self._loop.call_later(_AGAIN_SECONDS, self._all_again)

    async def _run(self) -> None:
        commits = self._supply.committable()
        if not commits or not self._may():
            return
        try:
            outcomes = await self._commit({(c.topic, c.partition): Position(c.offset, c.metadata) for c in commits})
        except GatewayError as error:
            self.trouble = error
            return
        failed = {place: error for place, error in outcomes.items() if error is not None}
        self.trouble = next(iter(failed.values()), None)
        stored = outcomes.keys() - failed.keys()
        self._supply.committed([c for c in commits if (c.topic, c.partition) in stored])
