"""A collector of traces on a real socket that decodes what it is sent."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.leaks import heard
from tests.scripted_server import PATIENCE_SECONDS, Canned, ScriptedServer, Seen

from eventbus_gateway.tracing.settings import TracingSettings


class Taken(NamedTuple):
    """A span that came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    began: int
    ended: int
    resource: dict[str, Any]


class Collector(ScriptedServer):
    """Takes everything, or answers as ``script`` says first."""

    def __init__(self) -> None:
        self.script: list[Canned] = []
        super().__init__()

    def replied(self, seen: Seen) -> Canned:
        heard("a collector of traces", seen.body)
        return (
            self.script.pop(0)
            if self.script
            else Canned(body=b"", headers={"content-type": "application/x-protobuf"})
        )

    @property
    def endpoint(self) -> str:
        return f"{self.url}/v1/traces"

    @property
    def spans(self) -> list[Taken]:
        """All spans of all requests, also of those that were refused."""
        return [span for seen in self.seen for span in spans_of(seen.body)]

    def until(self, condition: Callable[[list[Taken]], bool]) -> list[Taken]:
        """Wait until the spans are as wanted."""
        deadline = time.monotonic() + 3 * PATIENCE_SECONDS
        while not condition(spans := self.spans):
            assert time.monotonic() < deadline, spans
            self._nap()
        return spans

    def named(self, name: str) -> Taken:
        """The only span of a name, once it is there."""
        spans = self.until(lambda spans: any(span.name == name for span in spans))
        (found,) = (span for span in spans if span.name == name)
        return found

    def _nap(self) -> None:
        with self._changed:
            self._changed.wait(0.05)


def settings(collector: Collector | None = None, **fields: Any) -> TracingSettings:
    """Everything is traced, and exported soon."""
    endpoint = {} if collector is None else {"endpoint": collector.endpoint}
    soon = {"enabled": True, "sample_ratio": 1.0, "export_seconds": 0.1, "max_traces_per_second": 100_000}
    return TracingSettings.model_validate({**soon, **endpoint, **fields})


def spans_of(body: bytes) -> list[Taken]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Taken(
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.trace_state,
            {pair.key: _value(pair.value) for pair in span.attributes},
            tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            span.status.code == 2,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            {pair.key: _value(pair.value) for pair in of_process.resource.attributes},
        )
        for of_process in request.resource_spans
        for scoped in of_process.scope_spans
        for span in scoped.spans
    ]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
