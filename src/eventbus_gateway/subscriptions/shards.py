"""The shards that this process serves: those of all subscriptions in the slots that it owns."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import NamedTuple, Protocol

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.subscriptions.ends import EndOf
from eventbus_gateway.subscriptions.means import Means
from eventbus_gateway.subscriptions.resource import Subscription, same_state
from eventbus_gateway.subscriptions.shard import Shard
from eventbus_gateway.telemetry import Serving

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 10.0


class Known(Protocol):
    """All subscriptions as this replica knows them."""

    def all(self) -> Iterable[Subscription]:
        """Those of all owners."""
        ...


class Name(NamedTuple):
    """Which shard.

    Args:
        subscription_id: id of its subscription.
        number: which one of it.
    """

    subscription_id: str
    number: int


class _Served:
    """One shard with the task that opens it, and the time until topics that were not there are looked for again."""

    __slots__ = ("again_seconds", "opening", "shard", "slot", "subscription")

    def __init__(self, subscription: Subscription, slot: int, shard: Shard) -> None:
        self.subscription = subscription
        self.slot = slot
        self.shard = shard
        self.opening: asyncio.Task[None] | None = None
        self.again_seconds = _FIRST_RETRY_SECONDS


class Shards:
    """Opens and closes shards as slots and subscriptions come and go; a ``SlotListener`` of the membership.

    Args:
        known: the subscriptions.
        means: what shards work with.
        holds: whether nobody else can have a slot at this moment.
    """

    def __init__(self, known: Known, means: Means, holds: Callable[[int], bool]) -> None:
        self._known = known
        self._means = means
        self._holds = holds
        self._slots: set[int] = set()
        self._served: dict[Name, _Served] = {}
        # What is still being ended, by name: the next state begins where that one committed last.
        self._ending: dict[Name, asyncio.Task[None]] = {}
        self._refreshing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._served)

    def start(self, refresh_seconds: float) -> None:
        """Look for partitions that appear later.

        Args:
            refresh_seconds: how often.
        """
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh_forever(refresh_seconds))

    def find(self, subscription_id: str, shard: int) -> Shard | None:
        """See ``LocalShards``; one that is not open yet answers ``NotOwner`` itself."""
        served = self._served.get(Name(subscription_id, shard))
        return served.shard if served is not None else None

    def serving(self, end_of: EndOf) -> list[Serving]:
        """What this process has of each subscription, for whoever measures.

        Args:
            end_of: the end of a partition, as far as it is known.
        """
        found: dict[str, Serving] = {}
        for served in self._served.values():
            one = served.shard.serving(end_of)
            before = found.get(one.subscription)
            found[one.subscription] = one if before is None else before.joined(one)
        return list(found.values())

    async def close(self) -> None:
        """End all shards, with what they have done committed."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._end(list(self._served))

    # What the membership tells.

    def assigned(self, acquisitions: Mapping[int, int]) -> None:
        """See ``SlotListener.assigned``."""
        self._slots.update(acquisitions)
        for subscription in self._known.all():
            self._serve(subscription, acquisitions)

    async def revoked(self, slots: frozenset[int]) -> None:
        """See ``SlotListener.revoked``."""
        self._slots -= slots
        await self._end([name for name, served in self._served.items() if served.slot in slots])

    def lost(self, slots: frozenset[int]) -> None:
        """See ``SlotListener.lost``."""
        self._slots -= slots
        for name in [name for name, served in self._served.items() if served.slot in slots]:
            self._drop(name)

    # What the store tells.

    def changed(self, before: Subscription | None, after: Subscription | None) -> None:
        """A subscription was created, changed or deleted."""
        if before is not None and (after is None or not same_state(before, after)):
            is_over = after is None or before.control.group != after.control.group
            for name in [name for name in self._served if name.subscription_id == before.id]:
                if is_over:
                    self._drop(name)  # nobody goes on from what it would commit
                else:
                    self._begin_end(name)
        if after is not None:
            for name, served in self._served.items():
                if name.subscription_id == after.id:
                    served.subscription = after
                    self._run(served, self._updated(served.shard, after))
            self._serve(after, self._slots)

    # Inside.

    def _serve(self, subscription: Subscription, slots: Iterable[int]) -> None:
        """Open those shards of a subscription that are in these slots and not served yet."""
        wanted = frozenset(slots)
        for number, slot in enumerate(subscription.slots(self._means.settings.slots)):
            name = Name(subscription.id, number)
            if slot in wanted and name not in self._served:
                self._open(name, subscription, slot)

    def _open(self, name: Name, subscription: Subscription, slot: int) -> None:
        def holds() -> bool:
            return self._holds(slot)

        def reopen() -> None:
            served = self._served.get(name)
            if served is not None and served.shard is shard:
                self._drop(name)
                self._open(name, served.subscription, slot)

        try:
            shard = Shard(subscription, name.number, self._means, holds, reopen)
        except GatewayError as error:
            # Written by a version with other limits; the subscription waits for it, or for its owner's correction.
            logger.warning("shard %d of subscription %s cannot be served: %s", name.number, name[0], error.code)
            return
        served = self._served[name] = _Served(subscription, slot, shard)
        self._run(served, self._opened(name, served))

    def _run(self, served: _Served, work: Coroutine[None, None, None]) -> None:
        """Have a shard's work done after what it has under way."""
        before = served.opening

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait([before])
            await work

        served.opening = asyncio.get_running_loop().create_task(in_turn())

    async def _opened(self, name: Name, served: _Served) -> None:
        ending = self._ending.get(name)
        if ending is not None:
            await asyncio.wait([ending])
        pause = _FIRST_RETRY_SECONDS
        while self._served.get(name) is served:
            try:
                await served.shard.open()
            except GatewayError as error:
                logger.warning("shard %d of subscription %s cannot begin yet: %s", name.number, name[0], error.code)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
            else:
                return self._look_again(name, served)
        return None

    def _look_again(self, name: Name, served: _Served) -> None:
        """A new topic can be known to the replica that took its subscription, and to this one only a moment later."""
        pause = served.again_seconds
        if served.shard.is_complete:
            served.again_seconds = _FIRST_RETRY_SECONDS
        elif pause <= _LAST_RETRY_SECONDS:
            served.again_seconds = 2 * pause
            asyncio.get_running_loop().call_later(pause, self._go_on, name, served)

    def _go_on(self, name: Name, served: _Served) -> None:
        if self._served.get(name) is served:
            self._run(served, self._opened(name, served))

    async def _updated(self, shard: Shard, subscription: Subscription) -> None:
        try:
            await shard.update(subscription)
        except GatewayError as error:
            logger.warning("a redrive cannot begin yet: %s", error.code)

    def _drop(self, name: Name) -> None:
        served = self._served.pop(name)
        served.shard.drop()

    def _begin_end(self, name: Name) -> "asyncio.Task[None]":
        shard, before = self._served.pop(name).shard, self._ending.get(name)

        async def end() -> None:
            if before is not None:
                await asyncio.wait([before])
            await shard.close()

        task = self._ending[name] = asyncio.get_running_loop().create_task(end())
        task.add_done_callback(lambda _: self._ended(name, task))
        return task

    def _ended(self, name: Name, task: "asyncio.Task[None]") -> None:
        if self._ending.get(name) is task:
            del self._ending[name]

    async def _end(self, names: Iterable[Name]) -> None:
        tasks = [self._begin_end(name) for name in names]
        if tasks:
            await asyncio.wait(tasks)

    async def _refresh_forever(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            for name, served in list(self._served.items()):
                if served.opening is None or served.opening.done():
                    self._run(served, self._opened(name, served))
