"""Spans in the protocol of OpenTelemetry. Loaded only where traces are on: others need not pay for its memory."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.span import Kind, Span, Value

# trace.proto: the context is known to be, and is, of another process.
_LINKED = 0x100 | 0x200
_RECORDED = 0x1
_KEPT = 1_024
_KINDS = {
    Kind.SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    Kind.CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    Kind.PRODUCER: trace_pb2.Span.SPAN_KIND_PRODUCER,
}


class Otlp:
    """Encodes spans of one process.

    Args:
        resource: what is said about the process.
        version: of the gateway.
    """

    def __init__(self, resource: Mapping[str, str], version: str) -> None:
        self._resource = Resource(attributes=[_pair(*item) for item in resource.items()])
        self._scope = InstrumentationScope(name="eventbus_gateway", version=version)

    def span(self, span: Span) -> trace_pb2.Span:
        """One span as a message."""
        trace_id, span_id, _, state = span.context
        failed = trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR) if span.error is not None else None
        attributes = [_pair(*item) for item in span.attributes.items()]
        if span.error is not None:
            attributes.append(_pair("error.type", span.error))
        return trace_pb2.Span(
            trace_id=bytes.fromhex(trace_id),
            span_id=bytes.fromhex(span_id),
            trace_state=state,
            parent_span_id=bytes.fromhex(span.parent_id),
            flags=_RECORDED,
            name=span.name,
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.began,
            end_time_unix_nano=span.ended,
            attributes=attributes,
            links=[_link(link) for link in span.links],
            status=failed,
        )

    def request(self, spans: Sequence[trace_pb2.Span]) -> bytes:
        """The body of an export; several of them, one behind the other, are the body of all their spans."""
        scoped = trace_pb2.ScopeSpans(scope=self._scope, spans=spans)
        of_process = trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scoped])
        body: bytes = ExportTraceServiceRequest(resource_spans=[of_process]).SerializeToString()
        return body

    @staticmethod
    def rejected(answer: bytes) -> int:
        """How many spans a collector has not taken, by the answer with which it took the others."""
        try:
            response = ExportTraceServiceResponse.FromString(answer)
        except DecodeError:
            return 0
        return max(0, response.partial_success.rejected_spans)


def _pair(name: str, value: Value) -> KeyValue:
    return _text(name, value) if isinstance(value, str) else KeyValue(key=name, value=AnyValue(int_value=value))


@lru_cache(maxsize=_KEPT)
def _text(name: str, value: str) -> KeyValue:
    """Nearly all texts are names of routes, topics and the like: to make each again costs half of a span."""
    return KeyValue(key=name, value=AnyValue(string_value=value))


def _link(to: Context) -> trace_pb2.Span.Link:
    # Without the state, which callers choose and which would be most of a span with many links.
    return trace_pb2.Span.Link(
        trace_id=bytes.fromhex(to.trace_id),
        span_id=bytes.fromhex(to.span_id),
        flags=_LINKED | to.sampled,
    )
