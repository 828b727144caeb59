"""The end of a request that waits, while it still waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

from eventbus_gateway.api.drain import Drain


@contextlib.asynccontextmanager
async def ended(
    drain: Drain, gone: Callable[[], Coroutine[None, None, None]]
) -> AsyncIterator["asyncio.Future[None]"]:
    """A future that is done as soon as nobody waits any more: the caller has gone, or the process ends.

    Args:
        drain: the end of the process.
        gone: completes when the caller has gone away; see ``Request``.
    """
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(_: "asyncio.Task[None]") -> None:
        if not future.done():
            future.set_result(None)

    tasks = [asyncio.create_task(drain.wait()), asyncio.create_task(gone())]
    for task in tasks:
        task.add_done_callback(finish)
    if drain.begun:
        # Not only with the next turn of the loop: whoever looks now shall not begin to wait.
        future.set_result(None)
    try:
        yield future
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
