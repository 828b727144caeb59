"""The way to the shards of a subscription, whichever replica serves them.

Any replica answers any request. What is served here is asked directly, everything else takes one hop to the replica
that the owners' table names. While shards move (a replica ends, joins or has crashed), that table and the replicas
disagree for a moment; whoever is asked by mistake says so before it does anything, and the caller looks again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from eventbus_gateway.errors import GatewayError, NotOwner, OwnerUnavailable
from eventbus_gateway.subscriptions.calls import Ask, LocalShards, Settling, ShardCalls, ShardStatus, Verb
from eventbus_gateway.subscriptions.gathering import Gathering
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.names import slot_of
from eventbus_gateway.subscriptions.references import Group, References
from eventbus_gateway.subscriptions.resource import Subscription

T = TypeVar("T")

_PAUSE_SECONDS = 0.1
"""Not every move shows in the owners' table: a shard that this process opens shows only here."""


class OwnerTable(Protocol):
    """Who serves which slot; see ``owners.Owners``."""

    def address_of(self, slot: int) -> str | None: ...

    def is_own(self, address: str) -> bool: ...

    async def wait_change(self) -> None: ...


class RemoteShards(Protocol):
    """The shards of other replicas; see ``peers.Peers``."""

    def shard(self, address: str, subscription_id: str, shard: int) -> ShardCalls: ...


class Routing:
    """Asks the shards of subscriptions, here or at other replicas.

    All methods belong to one event loop.

    Args:
        local: the shards that this process serves.
        owners: who serves the others.
        peers: reaches them.
        slots: number of slots; the same for all replicas.
        patience_seconds: how long a request looks for a shard's owner, be its own wait shorter.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        local: LocalShards,
        owners: OwnerTable,
        peers: RemoteShards,
        slots: int,
        *,
        patience_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._owners = owners
        self._peers = peers
        self._slots = slots
        self._patience_seconds = patience_seconds
        self.clock = clock

    def gathering(self, subscription: Subscription, ask: Ask) -> Gathering:
        """A receive from all shards, to be asked for what is at hand and then, where that is nothing, to wait.

        Args:
            subscription: whose events.
            ask: what is wanted.
        """
        return Gathering(self, subscription.id, subscription.spec.parallelism, ask, self._patience_seconds)

    async def settle(self, subscription: Subscription, settling: Settling) -> list[Outcome | GatewayError]:
        """Do what a client says of events.

        Args:
            subscription: whose events.
            settling: what; its references may be of any shards.

        Returns:
            What became of each reference, in their order. An error stands for all references of a shard that could
            not be asked; whether it did anything is open only after ``OwnerUnavailable``, and asking again is safe.
        """
        references, parallelism = References.of(settling.references), subscription.spec.parallelism
        # What was released and handed out again is not the client's any more: the repetition would look like a
        # failure. All else can be repeated.
        repeatable = settling.verb is not Verb.RELEASE

        async def settle_one(shard: int, part: Settling) -> Sequence[Outcome | GatewayError]:
            found = await self._outcome(subscription.id, shard, lambda calls: calls.settle(part), repeatable)
            return [found] * len(part.references) if isinstance(found, GatewayError) else found

        shards = {group.shard for group in references.groups}
        if len(shards) == 1 and (only := shards.pop()) < parallelism:
            return [*await settle_one(only, settling)]
        parts: dict[int, list[Group]] = {}
        places: dict[int, list[int]] = {}
        place = 0
        for group in references.groups:
            count = len(group.offsets)
            # Shards beyond these are of a time when there were more, or of nobody: tokens are not to be trusted.
            if group.shard < parallelism:
                parts.setdefault(group.shard, []).append(group)
                places.setdefault(group.shard, []).extend(range(place, place + count))
            place += count
        asked = [settle_one(shard, settling._replace(references=References(part))) for shard, part in parts.items()]
        outcomes: list[Outcome | GatewayError] = [Outcome.STALE] * len(references)
        for shard, found in zip(parts, await asyncio.gather(*asked), strict=True):
            for place, outcome in zip(places[shard], found, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def status(self, subscription: Subscription) -> list[ShardStatus | GatewayError]:
        """How far each shard is, in the order of their numbers; an error for one that could not be asked."""

        async def status_one(shard: int) -> ShardStatus | GatewayError:
            return await self._outcome(subscription.id, shard, lambda calls: calls.status(), True)

        return await asyncio.gather(*map(status_one, range(subscription.spec.parallelism)))

    async def attempts(self, subscription: Subscription, limit: int) -> list[list[bytes] | GatewayError]:
        """The latest attempts of each shard as JSON objects, an error for one that could not be asked.

        Args:
            subscription: whose attempts.
            limit: how many of each shard at the most.
        """

        async def attempts_of(shard: int) -> list[bytes] | GatewayError:
            return await self._outcome(subscription.id, shard, lambda calls: calls.attempts(limit), True)

        return await asyncio.gather(*map(attempts_of, range(subscription.spec.parallelism)))

    def shard(self, subscription_id: str, shard: int) -> ShardCalls:
        """The shard where it is served by now.

        Args:
            subscription_id: id of the subscription.
            shard: number of the shard.

        Raises:
            NotOwner: it is not served here, and no other replica says that it serves it.
        """
        local = self._local.find(subscription_id, shard)
        if local is not None:
            return local
        slot = slot_of(subscription_id, shard, self._slots)
        address = self._owners.address_of(slot)
        if address is None or self._owners.is_own(address):
            raise NotOwner("No replica serves this part of the subscription at this moment.")
        return _Elsewhere(self._peers.shard(address, subscription_id, shard), self._owners, slot, address)

    async def reach(
        self,
        subscription_id: str,
        shard: int,
        call: Callable[[ShardCalls], Awaitable[T]],
        deadline: float,
        repeatable: bool,
    ) -> T:
        """Ask a shard, and look for its owner again where that was another one.

        Args:
            subscription_id: id of the subscription.
            shard: number of the shard.
            call: what to ask.
            deadline: until when to look, by the clock.
            repeatable: whether to ask again when it is not known what became of it.

        Raises:
            OwnerUnavailable: the owner was not found in time, or it does not answer.
            GatewayError: what the shard itself has raised.
        """
        while True:
            try:
                return await call(self.shard(subscription_id, shard))
            except OwnerUnavailable as error:
                if not (repeatable or isinstance(error, NotOwner)):
                    raise
                rest = deadline - self.clock()
                if rest <= 0:
                    raise OwnerUnavailable(error.detail, retry_after=1.0) from None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(rest, _PAUSE_SECONDS)):
                    await self._owners.wait_change()

    async def _outcome(
        self, subscription_id: str, shard: int, call: Callable[[ShardCalls], Awaitable[T]], repeatable: bool
    ) -> T | GatewayError:
        deadline = self.clock() + self._patience_seconds
        try:
            return await self.reach(subscription_id, shard, call, deadline, repeatable)
        except GatewayError as error:
            return error


class _Elsewhere:
    """A shard of another replica, as long as the owners' table says so.

    Args:
        calls: the shard.
        owners: the table.
        slot: slot of the shard.
        address: where the replica is.
    """

    def __init__(self, calls: ShardCalls, owners: OwnerTable, slot: int, address: str) -> None:
        self._owners = owners
        self._slot = slot
        self._address = address
        self.receive = calls.receive
        self.settle = calls.settle
        self.status = calls.status
        self.attempts = calls.attempts
        self._ready = calls.ready

    async def ready(self, seconds: float) -> bool:
        """See ``ShardCalls``. A replica that hangs does not say that it has lost the shard, but the table does."""
        work = asyncio.ensure_future(self._ready(seconds))
        change: asyncio.Future[None] | None = None
        try:
            while self._owners.address_of(self._slot) == self._address:
                change = asyncio.ensure_future(self._owners.wait_change())
                await asyncio.wait([work, change], return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if work.done():
                    return work.result()
        finally:
            # Owners rarely change: what waits for it after its receive would pile up.
            rest: list[asyncio.Future[Any]] = [work] if change is None else [work, change]
            for each in rest:
                each.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        raise NotOwner("Another replica serves this part of the subscription by now.")
