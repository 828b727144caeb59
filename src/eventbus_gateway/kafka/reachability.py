"""Finds out whether Kafka can be reached, and notices when it can again."""

import asyncio
from collections.abc import Awaitable, Callable

from confluent_kafka import KafkaError

from eventbus_gateway.kafka.availability import Availability


class Reachability:
    """Probes while there is doubt, and only then; that also heals when nobody publishes.

    Args:
        probe: asks Kafka something that any broker can answer; says whether one did.
        seconds: pause between two probes.
        on_change: told when publishes are to be refused (False) and when not any more (True).
    """

    def __init__(
        self, probe: Callable[[], Awaitable[bool]], seconds: float, on_change: Callable[[bool], None]
    ) -> None:
        self._probe = probe
        self._seconds = seconds
        self._on_change = on_change
        self._availability = Availability()
        self._task: asyncio.Task[None] | None = None

    @property
    def down(self) -> bool:
        """Whether publishes are to be refused."""
        return self._availability.down

    def report(self, code: int) -> None:
        """Take in the code of a connection error."""
        was_down = self.down
        if code == KafkaError._ALL_BROKERS_DOWN:
            self._availability.all_brokers_down()
        else:
            self._availability.broker_failed()
        self._tell(was_down)
        self._investigate()

    async def check(self) -> bool:
        """Probe now; when it fails Kafka counts as down at once."""
        reachable = await self._probe()
        was_down = self.down
        if reachable:
            self._availability.probed(reachable=True)
        else:
            self._availability.all_brokers_down()
        self._tell(was_down)
        self._investigate()
        return reachable

    def close(self) -> None:
        """Probe no more."""
        if self._task is not None:
            self._task.cancel()

    def _investigate(self) -> None:
        if not self._availability.settled and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        while not self._availability.settled:
            reachable = await self._probe()
            was_down = self.down
            self._availability.probed(reachable=reachable)
            self._tell(was_down)
            if not self._availability.settled:
                await asyncio.sleep(self._seconds)

    def _tell(self, was_down: bool) -> None:
        if was_down is not self.down:
            self._on_change(not self.down)
