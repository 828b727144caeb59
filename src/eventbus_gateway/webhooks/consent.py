"""Whether a receiver has said that it wants deliveries, where its subscription's owner wants it to be asked."""

import asyncio
from collections.abc import Awaitable, Callable

from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.handshake import Permission

_AGAIN_SECONDS = 60.0
"""After an answer that is no consent; its owner may have to do something first."""
_MINUTE = 60.0

Ask = Callable[[WebhookDelivery], Awaitable[Permission]]
"""Asks a receiver once."""


class Consent:
    """The consent of one subscription's receiver: asked for before the first delivery, and again for another URL.

    To be made on the event loop.

    Args:
        ask: asks the receiver.
        clock: monotonic seconds.
        told: called when there is an answer.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float], told: Callable[[], None]) -> None:
        self._ask = ask
        self._clock = clock
        self._told = told
        self._url: str | None = None
        self._refused_url: str | None = None
        self._again_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.rate_per_second: float | None = None
        """What the receiver allows, None where it sets no limit."""

    def is_given(self, delivery: WebhookDelivery) -> bool:
        """Whether its receiver wants deliveries, or was not to be asked."""
        return delivery.handshake == "none" or self._url == delivery.url

    def seek(self, delivery: WebhookDelivery) -> float | None:
        """Ask, unless that is under way or was refused a moment ago.

        Returns:
            When to seek it again; None while there will be an answer first.
        """
        if self._task is not None:
            return None
        if self._refused_url == delivery.url and self._clock() < self._again_at:
            return self._again_at
        self._task = asyncio.get_running_loop().create_task(self._sought(delivery))
        return None

    def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _sought(self, delivery: WebhookDelivery) -> None:
        try:
            permission = await self._ask(delivery)
        finally:
            self._task = None
        if permission.granted:
            self._url, limit = delivery.url, permission.requests_per_minute
            self.rate_per_second = None if limit is None else limit / _MINUTE
        else:
            self._refused_url, self._again_at = delivery.url, self._clock() + _AGAIN_SECONDS
        self._told()
