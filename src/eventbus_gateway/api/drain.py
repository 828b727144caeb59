"""The end of the process, as handlers that wait long see it."""

import asyncio
from collections.abc import Callable


class Drain:
    """Says to everything that waits that it shall come to an end now."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._told: set[Callable[[], None]] = set()

    @property
    def begun(self) -> bool:
        """Whether the process is about to end."""
        return self._event.is_set()

    def begin(self) -> None:
        """Say it; further calls do nothing."""
        self._event.set()
        told, self._told = self._told, set()
        for callback in told:
            callback()

    def tell(self, callback: Callable[[], None]) -> None:
        """Have something called when it is said, at once where it was said before."""
        if self.begun:
            callback()
        else:
            self._told.add(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._told.discard(callback)

    async def wait(self) -> None:
        """Return when it is said."""
        await self._event.wait()
