"""Calls that block, on threads that nobody waits for when the process ends."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(name: str, function: Callable[[], T]) -> asyncio.Future[T]:
    """Run a blocking function on a daemon thread of its own.

    Not an executor: those are joined at exit, and librdkafka can block for as long as brokers are hung.

    Args:
        name: what the thread is called.
        function: what to run.

    Returns:
        A future of the running loop with the result or the exception.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = function()
        except Exception as raised:  # noqa: BLE001  the rim of the thread: whoever waits gets it
            error = raised
        try:
            loop.call_soon_threadsafe(settle, future, result, error)
        except RuntimeError:
            return  # the loop was closed meanwhile; nobody waits any more

    threading.Thread(target=run, name=f"eventbus-{name}", daemon=True).start()
    return future


def settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    """Give those who wait what came of it on a thread, on their loop; nobody waits for a future that was cancelled.

    Args:
        future: what they wait for.
        result: what it came to; nothing beside an error.
        error: what was raised.
    """
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
