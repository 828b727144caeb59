"""A receiver of webhooks that is asked what came.

It runs in a process of its own (``python -m loadtests.hooks``), says the number of its port in a line on standard
output, and ends with its standard input. ``POST /hooks/{name}`` takes events; on ``/books/{name}`` a load test tells
the secret that signs them, and asks what came since it last asked.
"""

import asyncio
import json
import sys
import time
from typing import Any

from aiohttp import web

from eventbus_gateway.webhooks.signing import Secret, Verifier
from eventbus_gateway.webhooks.signing import Verdict as Signed

_BATCH = "application/cloudevents-batch+json"
_MAX_BYTES = 8 * 1024 * 1024
_MAX_ARRIVALS = 1_000_000


class Hook:
    """One URL.

    Args:
        secret: what signs its requests; None where that is of no interest.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._verifier = None if secret is None else Verifier([Secret.parse(secret)])
        self._first = 0
        self._arrivals: list[tuple[str, float]] = []
        self.unsigned = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody asks what came."""
        return len(self._arrivals) >= _MAX_ARRIVALS

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Note a request; names of headers are in lower case."""
        if self._verifier is not None and self._verifier.verify(headers, body) is not Signed.VALID:
            self.unsigned += 1
        now = time.time()
        if headers.get("content-type", "") == _BATCH:
            self._arrivals += [(event["id"], now) for event in json.loads(body)]
        else:
            self._arrivals.append((headers.get("ce-id", ""), now))

    def since(self, number: int) -> list[tuple[str, float]]:
        """Id and time of every event but the first so many, which are forgotten."""
        del self._arrivals[: max(0, number - self._first)]
        self._first = max(self._first, number)
        return self._arrivals


class Receiver:
    """All hooks of a run, as a web application."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post("/hooks/{name}", self._take)
        app.router.add_put("/books/{name}", self._begin)
        app.router.add_get("/books/{name}", self._tell)
        return app

    async def _begin(self, request: web.Request) -> web.Response:
        about: dict[str, Any] = await request.json()
        self._hooks[request.match_info["name"]] = Hook(about["secret"])
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> web.Response:
        hook = self._hooks.get(request.match_info["name"])
        if hook is None or hook.is_full:
            return web.Response(status=503)
        headers = {name.lower(): value for name, value in request.headers.items()}
        hook.take(headers, await request.read())
        return web.Response(status=204)

    async def _tell(self, request: web.Request) -> web.Response:
        hook = self._hooks[request.match_info["name"]]
        arrivals = hook.since(int(request.query.get("after", "0")))
        return web.json_response({"arrivals": arrivals, "unsigned": hook.unsigned})


async def serve() -> None:
    """Serve on the loopback address until standard input ends."""
    runner = web.AppRunner(Receiver().application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
