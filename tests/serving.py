"""A gateway on a real socket, with Kafka and schemas in memory, for tests of everything above Kafka."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import httpx2
import uvloop
from tests.leaks import heard, heard_answer

from eventbus_gateway.api.admission import admission, bounds
from eventbus_gateway.api.asgi import AsgiAdapter
from eventbus_gateway.api.audit import Audit
from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.outgoings import Outgoings
from eventbus_gateway.api.publish import Publish
from eventbus_gateway.api.read import Read
from eventbus_gateway.api.records import RecordBuilder
from eventbus_gateway.api.routes import Route, Router
from eventbus_gateway.api.server import Server, address_of, listen
from eventbus_gateway.api.settings import HttpSettings, PublishSettings, ReadSettings, TopicSettings
from eventbus_gateway.api.table import contract_routes, public_routes
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.chain import TokenVerifier, authenticator
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.limits import limits
from eventbus_gateway.auth.policy import policy
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.memory_reader import MemoryReader
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.registry import Registry
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.tracing.settings import TracingSettings

EXAMPLES = Path(__file__).parent.parent / "examples"

# How requests reach the handlers: straight from the protocol, through ASGI behind the protocol, or through ASGI
# behind uvicorn's own protocol.
Way = Literal["protocol", "asgi", "uvicorn"]

ANYBODY = AuthSettings(mode="anonymous")
_MAX_RECORD_BYTES = 1_000_000


class Lines:
    """Collects access log lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        heard("the access log", line)
        self.lines.append(line)


class Served:
    """A gateway that runs in a thread of its own until :meth:`close`.

    Args:
        kafka: where records go.
        registry: where schemas come from.
        topics: settings by topic.
        way: how requests reach the handlers.
        http: bounds of the edge.
        publish: bounds of publishing.
        read: bounds of reading.
        auth: who may call.
        keys: the API keys, where they are not those of ``auth``.
        tokens: makes what judges tokens of identity providers, on its loop; None where they are no way to call.
        clock: time of limits.
        further: makes routes beside those that every gateway has, on its loop.
        tracing: what is traced; nothing when left out.
    """

    def __init__(
        self,
        *,
        kafka: MemoryKafka | None = None,
        registry: Registry | None = None,
        topics: Mapping[str, TopicSettings] | None = None,
        way: Way = "protocol",
        http: HttpSettings | None = None,
        publish: PublishSettings | None = None,
        read: ReadSettings | None = None,
        auth: AuthSettings = ANYBODY,
        keys: KeyRing | None = None,
        tokens: Callable[[], TokenVerifier] | None = None,
        clock: Callable[[], float] | None = None,
        further: Callable[["Served"], Sequence[Route]] = lambda _: (),
        tracing: TracingSettings | None = None,
    ) -> None:
        self.kafka = kafka if kafka is not None else MemoryKafka({"appointments": 4})
        self.registry = registry if registry is not None else FolderRegistry(EXAMPLES)
        self.metrics = Metrics()
        self.access = Lines()
        self.audited = Lines()
        self._topics = dict(topics or {})
        self._way = way
        self._http = (http or HttpSettings()).model_copy(update={"hot_path": "asgi" if way == "asgi" else "protocol"})
        self._publish = publish or PublishSettings()
        self._read = read or ReadSettings()
        self._auth = auth
        self._keys = keys
        self._tokens = tokens
        self.drain = Drain()
        self._further = further
        self._tracing = tracing or TracingSettings()
        clocked = {"clock": clock} if clock is not None else {}
        self.limits = limits(self._auth, bounds(self._http, KafkaSettings(), self._read), **clocked)
        self.admission = admission(self._http, shares=self.limits is not None)
        self._ready: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self.edge: Edge
        self.read: Read
        self.reader: MemoryReader
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        self.port = self._ready.result(timeout=10)
        self.url = f"http://127.0.0.1:{self.port}"
        hooks = {"response": [heard_answer]}
        self.client = httpx2.Client(base_url=self.url, timeout=10, trust_env=False, event_hooks=hooks)

    def close(self) -> None:
        """Stop as the process would at SIGTERM, and wait for it."""
        self.client.close()
        self.stop()
        self._thread.join(timeout=20)
        heard("the metrics", self.metrics.exposition())
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Begin to drain."""
        if self._server is not None:
            self._server.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.drain.begin)

    def ended(self, within: float) -> bool:
        """Whether it has stopped within so many seconds."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def call(self, work: Callable[[], Any]) -> Any:
        """Run something on the gateway's event loop and wait for its result."""
        assert self._loop is not None
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the waiting test
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(timeout=10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                if not self._ready.done():
                    self._ready.set_exception(error)
                raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        ids = IdSource()
        allowed = policy(self._auth)
        schemas = Schemas(self.registry, RegistrySettings())
        topics = Topics(self.kafka, self._topics, TopicSettings())
        traces = Traces(self._tracing, self.metrics, _MAX_RECORD_BYTES)
        builder = RecordBuilder(_MAX_RECORD_BYTES, ids)
        publish = Publish(topics, schemas, self.kafka, self._publish, builder, self.metrics)
        self.reader = MemoryReader(self.kafka)
        self.read = Read(topics, Outgoings(schemas), self.reader, self._read, self.drain, self.metrics)
        routes = public_routes(publish, self.read, topics, schemas, allowed, self.registry)
        routes += [*contract_routes(self._http), *self._further(self)]
        tokens = None if self._tokens is None else self._tokens()
        gateway = traces.gateway(
            Router(routes),
            authenticator(self._auth, self._keys, tokens),
            allowed,
            self.metrics,
            self.access,
            self.limits,
            Audit(self.audited),
        )
        edge = Edge(gateway, self.admission, self._http, self._publish, ids)
        self.edge = edge
        adapter = AsgiAdapter(gateway, self.admission, self._publish, ids)
        listener = listen("127.0.0.1", 0)
        server = Server(adapter, None if self._way == "uvicorn" else edge, listener, drain_seconds=10)
        self._server = server
        if tokens is not None:
            await tokens.start()
        edge.start()
        traces.start()
        serving = await server.start()
        self._ready.set_result(address_of(listener)[1])
        await serving
        edge.stop()
        await traces.close()
        await schemas.aclose()
        if tokens is not None:
            await tokens.aclose()


@contextlib.contextmanager
def served(**options: Any) -> Iterator[Served]:
    """A gateway while the context is open; takes what :class:`Served` takes."""
    gateway = Served(**options)
    try:
        yield gateway
    finally:
        gateway.close()
