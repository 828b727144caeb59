"""What is written of spans, held to the library of the protocol."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.otlp import Otlp
from eventbus_gateway.tracing.span import About, Kind, Span, Value

KINDS = {Kind.SERVER: 2, Kind.CLIENT: 3, Kind.PRODUCER: 4}
texts = st.text(max_size=300)
values = st.one_of(texts, st.integers(-(2**63), 2**63 - 1))
times = st.integers(0, 2**64 - 1)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


contexts = st.builds(Context, ids(32), ids(16), st.booleans(), texts)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    parent = draw(st.one_of(st.just(""), ids(16)))
    about = About(draw(texts), draw(st.sampled_from(Kind)), draw(st.dictionaries(texts, values, max_size=4)))
    span = Span(about, draw(contexts), parent, draw(times))
    span.ended = draw(times)
    span.error = draw(st.none() | texts)
    span.attributes = draw(st.dictionaries(texts, values, max_size=5))
    span.links = draw(st.lists(contexts, max_size=3))
    return span


def pair(name: str, value: Value) -> KeyValue:
    return KeyValue(
        key=name, value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
    )


def message(span: Span) -> Message:
    attributes = [pair(*item) for item in (*span.about.attributes.items(), *span.attributes.items())]
    if span.error is not None:
        attributes.append(pair("error.type", span.error))
    return Message(
        trace_id=bytes.fromhex(span.context.trace_id),
        span_id=bytes.fromhex(span.context.span_id),
        trace_state=span.context.state,
        parent_span_id=bytes.fromhex(span.parent_id),
        flags=1,
        name=span.about.name,
        kind=KINDS[span.about.kind],  # type: ignore[arg-type]
        start_time_unix_nano=span.began,
        end_time_unix_nano=span.ended,
        attributes=attributes,
        links=[
            Message.Link(
                trace_id=bytes.fromhex(to.trace_id), span_id=bytes.fromhex(to.span_id), flags=0x300 | to.sampled
            )
            for to in span.links
        ],
        status=Status(code=Status.STATUS_CODE_ERROR) if span.error is not None else None,
    )


@given(st.lists(spans(), max_size=4), st.dictionaries(texts, texts, max_size=3), texts)
def test_spans_are_written_as_the_library_reads_them(
    some: list[Span], resource: dict[str, str], version: str
) -> None:
    otlp = Otlp(resource, version)
    scoped = ScopeSpans(
        scope=InstrumentationScope(name="eventbus_gateway", version=version), spans=[message(span) for span in some]
    )
    of_process = Resource(attributes=[pair(*item) for item in resource.items()])
    expected = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=of_process, scope_spans=[scoped])])
    assert ExportTraceServiceRequest.FromString(otlp.request([otlp.span(span) for span in some])) == expected
