"""Spans in the protocol of OpenTelemetry. Loaded only where traces are on: others need not pay for its memory.

Spans themselves are written field by field, as Protocol Buffers have it (protobuf.dev, "Encoding"): as messages of
the library they take more than twice as long, which was a third of what a sampled request took.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.span import About, Kind, Span, Value
from eventbus_gateway.varints import varint

# trace.proto: the context is known to be, and is, of another process.
_LINKED = 0x100 | 0x200
_RECORDED = 0x1
_KEPT = 1_024
_64_BITS = 2**64 - 1

# Tags of trace.proto and common.proto: the number of a field, and how what follows is written.
_KINDS = {Kind.SERVER: b"\x30\x02", Kind.CLIENT: b"\x30\x03", Kind.PRODUCER: b"\x30\x04"}
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_STATE, _NAME, _ATTRIBUTE, _LINK = b"\x1a", b"\x2a", b"\x4a", b"\x6a"
_FAILED = b"\x7a\x02\x18\x02"
_FLAGS = b"\x85\x01" + struct.pack("<I", _RECORDED)
_KEY, _VALUE, _TEXT, _NUMBER = b"\x0a", b"\x12", b"\x0a", b"\x18"
_times = struct.Struct("<BQBQ").pack
_BEGAN, _ENDED = 0x39, 0x41
_link_flags = struct.Struct("<BI").pack
_LINK_FLAGS = 0x35
_RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE, _SPAN = b"\x0a", b"\x0a", b"\x12", b"\x0a", b"\x12"


class Otlp:
    """Encodes spans of one process.

    Args:
        resource: what is said about the process.
        version: of the gateway.
    """

    def __init__(self, resource: Mapping[str, str], version: str) -> None:
        pairs = [KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in resource.items()]
        scope = InstrumentationScope(name="eventbus_gateway", version=version)
        self._resource = _sized(_RESOURCE, Resource(attributes=pairs).SerializeToString())
        self._scope = _sized(_SCOPE, scope.SerializeToString())

    def span(self, span: Span) -> bytes:
        """One span of a request."""
        span.complete()
        trace_id, span_id, _, state = span.context
        parts = [_TRACE_ID, bytes.fromhex(trace_id), _SPAN_ID, bytes.fromhex(span_id)]
        if state:
            parts.append(_sized(_STATE, state.encode()))
        if span.parent_id:
            parts += (_PARENT_ID, bytes.fromhex(span.parent_id))
        parts += (_about(span.about), _times(_BEGAN, span.began, _ENDED, span.ended))
        parts += [_pair(name, value) for name, value in span.attributes.items()]
        if span.error is not None:
            parts += (_text("error.type", span.error), _FAILED)
        parts += [_link(link) for link in span.links]
        parts.append(_FLAGS)
        return _sized(_SPAN, b"".join(parts))

    def request(self, spans: Sequence[bytes]) -> bytes:
        """The body of an export; several of them, one behind the other, are the body of all their spans."""
        scoped = _sized(_SCOPE_SPANS, b"".join((self._scope, *spans)))
        return _sized(_RESOURCE_SPANS, self._resource + scoped)

    @staticmethod
    def rejected(answer: bytes) -> int:
        """How many spans a collector has not taken, by the answer with which it took the others."""
        try:
            response = ExportTraceServiceResponse.FromString(answer)
        except DecodeError:
            return 0
        return max(0, response.partial_success.rejected_spans)


@lru_cache(maxsize=_KEPT)
def _about(about: About) -> bytes:
    pairs = [_pair(name, value) for name, value in about.attributes.items()]
    return b"".join((_sized(_NAME, about.name.encode()), _KINDS[about.kind], *pairs))


def _pair(name: str, value: Value) -> bytes:
    if isinstance(value, str):
        return _text(name, value)
    return _attribute(name, _NUMBER + varint(value & _64_BITS))


@lru_cache(maxsize=_KEPT)
def _text(name: str, value: str) -> bytes:
    """Nearly all texts are names of routes, topics and the like."""
    return _attribute(name, _sized(_TEXT, value.encode()))


def _attribute(name: str, value: bytes) -> bytes:
    return _sized(_ATTRIBUTE, _sized(_KEY, name.encode()) + _sized(_VALUE, value))


def _link(to: Context) -> bytes:
    # Without the state, which callers choose and which would be most of a span with many links.
    flags = _link_flags(_LINK_FLAGS, _LINKED | to.sampled)
    return _sized(
        _LINK, b"".join((_TRACE_ID, bytes.fromhex(to.trace_id), _SPAN_ID, bytes.fromhex(to.span_id), flags))
    )


def _sized(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    return b"%s%c%s" % (tag, size, content) if size < 0x80 else b"".join((tag, varint(size), content))
