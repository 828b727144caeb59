"""The end of the process, as handlers that wait long see it."""

import asyncio


class Drain:
    """Says to everything that waits that it shall come to an end now."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the process is about to end."""
        return self._event.is_set()

    def begin(self) -> None:
        """Say it; further calls do nothing."""
        self._event.set()

    async def wait(self) -> None:
        """Return when it is said."""
        await self._event.wait()
