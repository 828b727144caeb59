"""Waiting on the event loop for what must happen soon."""

import asyncio
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds; far above what anything takes, since test machines stall."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until something holds.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for emits no signal
            await asyncio.sleep(0.001)
