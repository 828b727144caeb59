"""How dead letters get into their topic."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from eventbus_gateway.errors import GatewayError, NotOwner, UnknownTopic
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.records import NotStored, Outcome, RecordSink, Stored
from eventbus_gateway.subscriptions.leased import DeadLetter
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.letters import letter

_AT_ONCE = 100
_RETRY_SECONDS = 2.0


class Destination(NamedTuple):
    """Where the dead letters of a subscription go.

    Args:
        topic: name of the topic.
        subscription: full name of the subscription.
        sink: stores records.
        create: creates the topic, where that is allowed.
    """

    topic: str
    subscription: str
    sink: RecordSink
    create: Callable[[str], Awaitable[None]]


class Storing:
    """Stores the events that were given up; each is done with only when it is stored.

    Args:
        leases: what gives them up.
        destination: where they go.
        may: whether nobody else can be the owner at this moment.
        clock: the seconds that the leases are asked with.
        stored: told how many were stored.
    """

    def __init__(
        self,
        leases: Leases[Consumed],
        destination: Destination,
        may: Callable[[], bool],
        clock: Callable[[], float],
        stored: Callable[[int], None],
    ) -> None:
        self._leases = leases
        self._destination = destination
        self._may = may
        self._clock = clock
        self._stored = stored
        self._task: asyncio.Task[None] | None = None
        self.trouble: GatewayError | None = None
        """Why the last dead letters could not be stored, None where they were."""

    def look(self) -> None:
        """Store what is due, unless that is under way already."""
        if self._task is None and (letters := self._due()):
            self._task = asyncio.get_running_loop().create_task(self._run(letters))
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Wait for what is under way: what is stored then is done with."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _due(self) -> list[DeadLetter[Consumed]]:
        return self._leases.due_dead_letters(self._clock(), _AT_ONCE)

    def _ended(self, _: "asyncio.Task[None]") -> None:
        self._task = None
        self.look()

    async def _run(self, letters: list[DeadLetter[Consumed]]) -> None:
        while letters:
            await self._store(letters)
            letters = self._due()

    async def _store(self, letters: list[DeadLetter[Consumed]]) -> None:
        references = [dead.leased.reference for dead in letters]
        outcomes = await self._sent(letters) if self._may() else [NotStored(NotOwner())] * len(letters)
        stored, failed, trouble = [], [], None
        for reference, outcome in zip(references, outcomes, strict=True):
            if isinstance(outcome, Stored):
                stored.append(reference)
            else:
                # What may be stored is stored again: twice among the dead letters is better than nowhere.
                failed.append(reference)
                trouble = outcome.error
        self._leases.dead_lettered(stored)
        self._leases.dead_letter_failed(self._clock(), failed, _RETRY_SECONDS)
        self.trouble = trouble
        self._stored(len(stored))
        if isinstance(trouble, UnknownTopic):
            await self._create()

    async def _sent(self, letters: list[DeadLetter[Consumed]]) -> Sequence[Outcome]:
        topic, subscription, sink, _ = self._destination
        now = int(time.time() * 1000)
        try:
            return await sink.send(topic, [letter(dead, subscription, now) for dead in letters])
        except GatewayError as refused:
            return [NotStored(refused)] * len(letters)

    async def _create(self) -> None:
        try:
            await self._destination.create(self._destination.topic)
        except GatewayError as error:
            self.trouble = error
