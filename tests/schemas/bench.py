"""A cache over a real registry, with the parts that a test turns."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import orjson
import pytest
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import PATIENCE_SECONDS

from eventbus_gateway.errors import (
    GatewayError,
)
from eventbus_gateway.schemas.cache import CodecOptions, Schema, Schemas
from eventbus_gateway.schemas.codec import Codec, compile_codec
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.settings import RegistrySettings

PLAIN = CodecOptions()
LENIENT = CodecOptions("plain", "ignore")
LATEST = "/subjects/orders-value/versions/latest"


def record(*fields: str, name: str = "Order", of: object = "string") -> str:
    """A schema text."""
    members = [{"name": field, "type": of} for field in fields]
    return orjson.dumps({"type": "record", "name": name, "fields": members}).decode()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Compiler:
    """The real compiler, counting what it is given, and held up where a test says so."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.named: list[Sequence[str]] = []
        self.threads: set[str] = set()
        self.open = threading.Event()
        self.open.set()

    def __call__(
        self,
        text: str,
        *,
        named: Sequence[str] = (),
        prefix: bytes = b"",
        dialect: Literal["plain", "avro"] = "plain",
        unknown_fields: Literal["refuse", "ignore"] = "refuse",
    ) -> Codec:
        self.texts.append(text)
        self.named.append(named)
        self.threads.add(threading.current_thread().name)
        assert self.open.wait(PATIENCE_SECONDS)
        return compile_codec(text, named=named, prefix=prefix, dialect=dialect, unknown_fields=unknown_fields)


class Bench:
    """A cache over a real registry, with a clock that a test moves."""

    def __init__(self, server: RegistryServer, **settings: object) -> None:
        self.server = server
        self.clock = Clock()
        self.compiler = Compiler()
        self.settings = RegistrySettings.model_validate({"url": server.url, **settings})
        registry = ConfluentRegistry(self.settings)
        self.schemas = Schemas(registry, self.settings, clock=self.clock, compile_text=self.compiler)

    async def get(self, subject: str = "orders-value", version: int | None = None) -> Schema:
        return await self.schemas.get(subject, version, PLAIN)

    def ready(self, subject: str = "orders-value", version: int | None = None) -> Schema | None:
        return self.schemas.ready(subject, version, PLAIN)

    def refreshing(self) -> bool:
        return self.schemas.stats().refreshing > 0

    async def refusal(self, attempt: Awaitable[object]) -> GatewayError:
        with pytest.raises(GatewayError) as refused:
            await attempt
        return refused.value

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the background work until something is so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert time.monotonic() < end
            await asyncio.sleep(0)

    async def refreshed(self, requests: int) -> None:
        """Wait for the refresh whose last request is the n-th that the registry sees."""
        await self.until(lambda: len(self.server.seen) >= requests and not self.refreshing())
        assert len(self.server.seen) == requests


@asynccontextmanager
async def opened(server: RegistryServer, **settings: object) -> AsyncIterator[Bench]:
    bench = Bench(server, **settings)
    try:
        yield bench
    finally:
        bench.compiler.open.set()
        await bench.schemas.aclose()
