"""One receive over all shards of a subscription."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from eventbus_gateway.errors import GatewayError, NotOwner, OwnerUnavailable
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, ShardCalls

T = TypeVar("T")

_PAUSE_SECONDS = 0.01
"""Whoever was told that there is something, and finds nothing, was slower than others; it must not spin."""
_GRACE_SECONDS = 1.0
"""Beyond the time that a client waits, for an answer that says that there is nothing."""
_FIRST = asyncio.FIRST_COMPLETED


class Route(Protocol):
    """The way to shards; see ``routing.Routing``."""

    clock: Callable[[], float]

    def shard(self, subscription_id: str, shard: int) -> ShardCalls: ...

    async def reach(
        self,
        subscription_id: str,
        shard: int,
        call: Callable[[ShardCalls], Awaitable[T]],
        deadline: float,
        repeatable: bool,
    ) -> T: ...


class Gathering:
    """A receive under way.

    First all shards are asked once, in an order that starts elsewhere each time; where that gives nothing, all are
    waited for at once. Neither is to be cancelled: events may be leased already that would come back only after their
    lease.

    Args:
        route: the way to the shards.
        subscription_id: id of the subscription.
        shards: how many it has.
        ask: what is wanted of all together.
        patience_seconds: how long to look for owners at the least.
    """

    def __init__(self, route: Route, subscription_id: str, shards: int, ask: Ask, patience_seconds: float) -> None:
        self._route = route
        self._id = subscription_id
        self._shards = shards
        self._ask = ask
        self._patience_seconds = patience_seconds
        self._ended: asyncio.Future[Any] | None = None
        self._got = HandedOut([], [])
        self._troubles: dict[int, GatewayError] = {}

    async def at_hand(self) -> HandedOut:
        """What all shards together have at this moment; troubles are told by :meth:`waited`."""
        # By chance, not in turns: callers that take turns themselves would each begin with the same shard for ever.
        first = int(random.random() * self._shards)  # noqa: S311
        await self._collect((first + shard) % self._shards for shard in range(self._shards))
        return self._got

    async def waited(self, seconds: float, ended: "asyncio.Future[Any]") -> HandedOut:
        """What comes after there was nothing at hand.

        Args:
            seconds: how long to wait for the first event.
            ended: done when nobody waits any more: the caller has gone, or the process ends. Not cancelled by this.

        Returns:
            Events; none when every shard was asked and had nothing, or ``ended`` came.

        Raises:
            OwnerUnavailable: there was nothing, and the owner of a shard could not be asked.
            GatewayError: there was nothing, and a shard cannot work (``KafkaUnavailable``, for example).
        """
        self._ended = ended
        now = self._route.clock()
        wait_until, reach_until = now + seconds, now + max(seconds, self._patience_seconds)
        while not self._got.events and not ended.done():
            asked = self._to_wait_for(wait_until)
            if not asked:
                break
            ready = await self._ready(asked, wait_until, reach_until, ended)
            if not ready:
                break
            await self._collect(ready)
            if not self._got.events:
                await asyncio.wait([ended], timeout=_PAUSE_SECONDS)
        if not self._got.events and self._troubles and not ended.done():
            raise next(iter(self._troubles.values()))
        return self._got

    def _to_wait_for(self, wait_until: float) -> list[int]:
        """Shards that may still give something: with time to wait all that can work, else those not found so far."""
        if self._route.clock() < wait_until:
            return [
                shard
                for shard in range(self._shards)
                if shard not in self._troubles or isinstance(self._troubles[shard], NotOwner)
            ]
        return [shard for shard, trouble in self._troubles.items() if isinstance(trouble, NotOwner)]

    async def _collect(self, shards: Iterable[int]) -> None:
        """Take what is there, without waiting for owners: what is not asked here is waited for later."""
        for shard in shards:
            max_bytes = self._ask.max_bytes - sum(map(len, self._got.events))
            max_events = self._ask.max_events - len(self._got.events)
            if max_events <= 0 or (self._got.events and max_bytes <= 0) or self._is_over():
                return
            ask = self._ask._replace(max_events=max_events, max_bytes=max_bytes)
            try:
                more = await self._route.shard(self._id, shard).receive(ask)
            except GatewayError as error:
                self._troubles[shard] = error
            else:
                self._got.events.extend(more.events)
                self._got.ack_tokens.extend(more.ack_tokens)
                self._troubles.pop(shard, None)

    def _is_over(self) -> bool:
        return self._ended is not None and self._ended.done()

    async def _ready(
        self, shards: Iterable[int], wait_until: float, reach_until: float, ended: "asyncio.Future[Any]"
    ) -> list[int]:
        """Wait until shards have something; none where the time is over or nobody waits any more."""
        waits = {asyncio.create_task(self._wait(shard, wait_until, reach_until)): shard for shard in shards}
        pending = set(waits)
        try:
            while pending and not ended.done():
                rest = reach_until - self._route.clock() + _GRACE_SECONDS
                done, _ = await asyncio.wait([*pending, ended], timeout=rest, return_when=_FIRST)
                if not done:
                    self._troubles.update({waits[task]: _silent() for task in pending})
                    return []
                over = [task for task in pending if task in done]
                pending.difference_update(over)
                ready = [waits[task] for task in over if self._note(waits[task], task)]
                if ready:
                    return ready
            return []
        finally:
            for task in pending:
                task.cancel()
            # So that none outlives the request; where they wait at other replicas, that ends now.
            await asyncio.gather(*pending, return_exceptions=True)

    def _note(self, shard: int, task: "asyncio.Task[bool]") -> bool:
        error = task.exception()
        if error is None:
            self._troubles.pop(shard, None)
            return task.result()
        if not isinstance(error, GatewayError):
            raise error
        self._troubles[shard] = error
        return False

    async def _wait(self, shard: int, wait_until: float, reach_until: float) -> bool:
        def wait(calls: ShardCalls) -> Awaitable[bool]:
            return calls.ready(max(0.0, wait_until - self._route.clock()))

        while True:
            if await self._route.reach(self._id, shard, wait, reach_until, repeatable=True):
                return True
            if self._route.clock() >= wait_until:
                return False
            # An answer that came early: whoever gave it must not be asked in a loop.
            await asyncio.sleep(_PAUSE_SECONDS)


def _silent() -> OwnerUnavailable:
    return OwnerUnavailable("The replica that serves a part of the subscription does not answer.", retry_after=1.0)
