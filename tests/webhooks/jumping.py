"""Time that passes only when nobody has anything to do: whoever waits is there at once, and to the microsecond."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

EPOCH = 1_800_000_000.0
"""Seconds since the epoch at the second 0 of the clock."""

MOST_TURNS = 5_000
"""Of the loop at one moment."""


class Jumping(selectors.SelectSelector):
    """Where a loop waits; with nothing to come it moves the time instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See ``selectors``."""
        assert timeout is not None, "everybody waits for something that never comes"
        found = super().select(0)
        self._turns = 0 if timeout > 0 else self._turns + 1
        assert self._turns < MOST_TURNS, "somebody looks again and again at what only time can change"
        if not found:
            self.now += max(0.0, timeout)
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose timers come without waiting; for parts without sockets and threads."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        """See ``asyncio``."""
        return self.jumping.now


def clock() -> float:
    """The seconds of the running loop."""
    return asyncio.get_running_loop().time()


def epoch() -> float:
    """The same as seconds since the epoch."""
    return EPOCH + clock()


async def after(seconds: float) -> None:
    """Go on when so much of the loop's own time has passed."""
    loop = asyncio.get_running_loop()
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


async def until(condition: Callable[[], object], seconds: float = 20_000.0) -> None:
    """Go on soon after something is so; in the loop's own time."""
    deadline, step = clock() + seconds, 0.001
    while not condition():
        assert clock() < deadline, "it never became so"
        await after(step)
        step = min(2 * step, 0.5)


def play(scenario: Callable[[], Awaitable[Any]]) -> None:
    """Run something in such a time."""

    async def whole() -> None:
        await scenario()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(whole())
