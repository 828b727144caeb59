"""Publishes inside this process, without sockets and without Kafka: what is too small to be seen between processes.

The gateway is the real one, from the head of a request to its answer; records are acknowledged at once.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.http import Memo, Request
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.publish import Publish
from eventbus_gateway.api.records import RecordBuilder
from eventbus_gateway.api.routes import Match, Route, Router
from eventbus_gateway.api.settings import PublishSettings, TopicSettings
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.api.traced import TracedSink
from eventbus_gateway.auth.chain import Anonymous
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Outcome, Record, Stored
from eventbus_gateway.logs import working_on
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.tracing.otlp import Otlp
from eventbus_gateway.tracing.sampling import Sampler
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.tracing.span import About, Kind, Span, Value
from eventbus_gateway.tracing.tracer import Tracer
from loadtests.events import KEY, SCHEMAS, TOPIC, events

_MAX_RECORD_BYTES = 1_000_000
_ROUTE = "/v1/topics/{topic}/events"
HEADERS = {
    b"host": b"gateway.example",
    b"user-agent": b"loadtests",
    b"accept": b"application/json",
    b"content-type": b"application/json",
}
_STORED: list[Outcome] = [Stored(0, 1, 1_767_225_600_000)]


class Acknowledging:
    """A sink that has every record stored at once."""

    def __init__(self) -> None:
        self.records = 0
        self._new_future = asyncio.get_running_loop().create_future

    def send(self, topic: str, records: Sequence[Record]) -> "asyncio.Future[list[Outcome]]":
        """See ``RecordSink.send``."""
        self.records += len(records)
        future: asyncio.Future[list[Outcome]] = self._new_future()
        future.set_result(_STORED)
        return future


class Kept:
    """Takes spans and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        """See ``SpanSink.add``."""
        self.spans.append(span)


class Lines:
    """Takes the lines of the access log and drops them."""

    def write(self, line: bytes) -> None:
        """See ``LineSink.write``."""


class InProcess:
    """A gateway that publishes.

    Args:
        gateway: answers requests.
        sink: what its records end in.
        traces: of the gateway.
    """

    def __init__(self, gateway: Gateway, sink: Acknowledging, traces: Traces) -> None:
        self.gateway = gateway
        self.sink = sink
        self.traces = traces
        self._ids = IdSource()
        # As it is after the first request with the same head.
        self.match: Match = gateway.router.match("POST", f"/v1/topics/{TOPIC}/events")
        self._memo = Memo()

    async def publish(self, body: bytes) -> int:
        """Publish one event; the status of the answer."""
        request = Request("POST", f"/v1/topics/{TOPIC}/events", b"", HEADERS, body, self._ids())
        request.memo = self._memo
        return (await self.gateway.handle(request, self.match)).status

    async def encoding_us(self, number: int) -> float:
        """CPU microseconds that it takes to encode the two spans of a publish."""
        spans = Kept()
        tracer = Tracer(Sampler(TracingSettings(sample_ratio=1.0)), spans, 0)
        sink = TracedSink(self.sink, tracer, _MAX_RECORD_BYTES)
        attributes: dict[str, Value] = {
            "http.request.method": "POST",
            "http.response.status_code": 201,
            "http.route": _ROUTE,
        }
        about = About("POST " + _ROUTE, Kind.SERVER, attributes)
        above = tracer.first(about, "0af7651916cd43dd8448eb211c80319c")
        token = working_on.set(above)
        await sink.send(TOPIC, [Record(b"k", b"v", [])])
        working_on.reset(token)
        tracer.end(above)
        otlp = Otlp({"service.name": "loadtests"}, "1")
        began = time.thread_time()
        for _ in range(number):
            otlp.request([otlp.span(span) for span in spans.spans])
        return (time.thread_time() - began) / number * 1e6

    async def cpu_us(self, bodies: Sequence[bytes]) -> float:
        """CPU microseconds of this thread per event, each published once.

        Raises:
            RuntimeError: one was refused.
        """
        began = time.thread_time()
        for body in bodies:
            if await self.publish(body) != 201:
                raise RuntimeError("a publish was refused")
        return (time.thread_time() - began) / len(bodies) * 1e6


@contextlib.asynccontextmanager
async def in_process(metrics: Metrics, tracing: TracingSettings | None = None) -> AsyncIterator[InProcess]:
    """A gateway as one process has it.

    Args:
        metrics: where it counts.
        tracing: what is traced; nothing when left out.
    """
    sink = Acknowledging()
    traces = Traces(tracing or TracingSettings(), metrics, _MAX_RECORD_BYTES)
    schemas = Schemas(FolderRegistry(SCHEMAS), RegistrySettings(kind="folder"))
    topics = Topics(MemoryKafka({TOPIC: 6}), {TOPIC: TopicSettings(key=KEY)}, TopicSettings())
    builder = RecordBuilder(_MAX_RECORD_BYTES)
    publish = Publish(topics, schemas, sink, PublishSettings(), builder, metrics)
    routes = Router([Route("POST", _ROUTE, Action.PUBLISH, publish, is_hot=True)])
    gateway = traces.gateway(routes, Anonymous(), Policy(None), metrics, Lines())
    traces.start()
    one = InProcess(gateway, sink, traces)
    try:
        # Has the schema compiled.
        await one.publish(events(1)[0])
        yield one
    finally:
        await traces.close()
        await schemas.aclose()
