"""Requests that are neither publishes nor reads, for all who need one."""

import asyncio
from collections.abc import Hashable
from typing import Any, TypeVar

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.admin_session import AdminSession, Answers, Begin
from eventbus_gateway.kafka.settings import KafkaSettings

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_GRACE_SECONDS = 1.0
"""The client gives up by itself; this much later nobody waits for it any more."""
_NEVER_SECONDS = 3_600.0
"""The longest that librdkafka lets a request take."""


class Administration:
    """Sends administrative requests to Kafka.

    Those for the coordinator of a group have a client of their own, and it never gives up by itself: where it did
    while no coordinator was there, librdkafka would abort the process as soon as one is back (its issue 4605 and pull
    request 5397, present in 2.16). Who waits gives up instead, and the client goes with all that it has under way.

    Args:
        settings: how to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._plain = AdminSession(settings)
        self._coordinated = AdminSession(settings)
        self._opening: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Create the client; Kafka need not be reachable.

        Raises:
            InternalError: librdkafka refuses the configuration.
        """
        await self._plain.start()

    async def call(self, begin: Begin[K, T], seconds: float) -> Answers[K, T]:
        """Begin a request and wait for all of its answers.

        Args:
            begin: begins a request that may take so many seconds; not one for the coordinator of a group.
            seconds: how long it may take.

        Returns:
            Each answer, or what was raised instead.

        Raises:
            GatewayError: what it means that the client refuses the request, or KafkaUnavailable where an answer is
                missing.
        """
        return await self._plain.call(begin, gives_up=seconds, seconds=seconds + _GRACE_SECONDS)

    async def call_coordinator(self, begin: Begin[K, T], seconds: float) -> Answers[K, T]:
        """Begin a request for the coordinator of a group and wait for all of its answers; see ``call``."""
        asking = asyncio.ensure_future(self._ask(begin, seconds))
        self._asked.add(asking)
        asking.add_done_callback(self._asked.discard)
        # Shielded: the client must go in time also when nobody waits any more.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Let the clients go on threads; waits a moment for them. What is under way fails."""
        self._closed = True
        await asyncio.gather(self._plain.close(), self._coordinated.close(), *self._closing)

    async def _ask(self, begin: Begin[K, T], seconds: float) -> Answers[K, T]:
        session = self._coordinated
        await self._open(session)
        try:
            return await session.call(begin, gives_up=_NEVER_SECONDS, seconds=seconds)
        except KafkaUnavailable:
            self._replace(session)
            raise

    async def _open(self, session: AdminSession) -> None:
        """Open the coordinators' client where nobody has before; most processes need none."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(session.start())
        await asyncio.shield(self._opening)

    def _replace(self, session: AdminSession) -> None:
        # Others that waited for the same client may have come before, or come later.
        if session is not self._coordinated or self._closed:
            return
        self._coordinated = AdminSession(self._settings)
        self._opening = None
        closing = asyncio.ensure_future(session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
