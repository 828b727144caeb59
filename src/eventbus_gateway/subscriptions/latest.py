"""Changes of subscriptions while others change them too."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventbus_gateway.errors import Overloaded, PreconditionFailed, UnknownSubscription
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore

T = TypeVar("T")

_ATTEMPTS = 10

Precondition = Callable[[int | None], bool]
"""Whether a change may be made to a subscription of this version, None where there is none."""


def anyhow(version: int | None) -> bool:
    """No precondition."""
    return True


class Latest:
    """Makes changes to what the store shows, and makes them again where somebody was faster.

    Args:
        store: all subscriptions.
    """

    def __init__(self, store: SubscriptionStore) -> None:
        self._store = store

    async def change(
        self, owner: str, name: str, precondition: Precondition, attempt: Callable[[Kept], Awaitable[T]]
    ) -> T:
        """Change a subscription that there is; see :meth:`put`.

        Raises:
            UnknownSubscription: there is none.
        """

        async def existing(kept: Kept | None) -> T:
            if kept is None:
                raise UnknownSubscription
            return await attempt(kept)

        return await self.put(owner, name, precondition, existing)

    async def put(
        self, owner: str, name: str, precondition: Precondition, attempt: Callable[[Kept | None], Awaitable[T]]
    ) -> T:
        """Create or change a subscription.

        Args:
            owner: name of its principal.
            name: its name.
            precondition: what must hold for the version that there is.
            attempt: makes the change to this version, or raises ``PreconditionFailed`` when there is another one.

        Raises:
            PreconditionFailed: the precondition does not hold.
            Overloaded: others were faster each time.
        """
        for _ in range(_ATTEMPTS):
            kept = self._store.get(owner, name)
            if not precondition(None if kept is None else kept.version):
                raise PreconditionFailed
            try:
                return await attempt(kept)
            except PreconditionFailed:
                # Somebody was faster, and the store shows what they did: the caller's condition is judged by that.
                continue
        raise Overloaded("Too many change the subscription at the same time.", retry_after=1.0)
