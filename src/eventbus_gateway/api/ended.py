"""The end of a request that waits, while it still waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from eventbus_gateway.api.drain import Drain


@contextlib.asynccontextmanager
async def ended(drain: Drain, gone: Callable[[], Awaitable[None]]) -> AsyncIterator["asyncio.Future[None]"]:
    """A future that is done as soon as nobody waits any more: the caller has gone, or the process ends.

    Args:
        drain: the end of the process.
        gone: completes when the caller has gone away; see ``Request``.
    """
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish() -> None:
        if not future.done():
            future.set_result(None)

    # A task only where the caller cannot be watched without one: half of what a wait costs.
    leaving = asyncio.ensure_future(gone())
    leaving.add_done_callback(lambda _: finish())
    drain.tell(finish)
    try:
        yield future
    finally:
        drain.forget(finish)
        leaving.cancel()
        if isinstance(leaving, asyncio.Task):
            await asyncio.gather(leaving, return_exceptions=True)
