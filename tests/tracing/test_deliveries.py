"""Attempts at webhooks as spans, with links to what their events come from."""

import asyncio
from typing import Any

import pytest

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.logs import working_on
from eventbus_gateway.subscriptions.leased import Leased, Origin
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.tracing.sampling import Sampler
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.tracing.span import Kind, Span
from eventbus_gateway.tracing.tracer import Tracer
from eventbus_gateway.webhooks.outbound import Attempted, Outbound
from eventbus_gateway.webhooks.traced import TracedDeliveries

TRACE, OTHER, CAUSE = "0af7651916cd43dd8448eb211c80319c", "1" * 32, "b7ad6b7169203331"
OUTBOUND = Outbound("https://team.example/hook", {"webhook-id": "1"}, b"{}", 5.0, "sub")
ORIGIN = Origin.of(0, 1, 0, "notes", 0)


class Spans:
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        self.spans.append(span)


def leased(*traces: str | None, state: bytes | None = None) -> list[Leased[Consumed]]:
    """Events of these traces."""
    found = []
    for offset, trace in enumerate(traces):
        pairs: list[tuple[str, bytes | None]] = [("ce_id", b"1")]
        if trace is not None:
            pairs.append(("traceparent", trace.encode()))
        if state is not None:
            pairs.append(("tracestate", state))
        record = Consumed.of("notes", 0, offset, 0, None, b"{}", Headers.of(pairs))
        event = Event(offset, 0, None, 2, record)
        found.append(Leased(ORIGIN, event, 1))
    return found


def attempt(
    events: list[Leased[Consumed]], answer: Attempted | Exception | None = None, **fields: Any
) -> tuple[Outbound, list[Span], Any]:
    """One attempt: what was sent, the spans, and what it was that was worked on meanwhile."""
    settings = TracingSettings.model_validate({"sample_ratio": 1.0, **fields})
    spans, seen = Spans(), []

    async def send(outbound: Outbound) -> Attempted:
        seen.append((outbound, working_on.get()))
        if isinstance(answer, Exception):
            raise answer
        return answer or Attempted(200, None, None, 0.1)

    deliveries = TracedDeliveries(Tracer(Sampler(settings), spans, settings.max_links))
    try:
        asyncio.run(deliveries.attempt(send, OUTBOUND, "clinic.board", events))
    except OSError:
        assert isinstance(answer, OSError)
    ((outbound, worked_on),) = seen
    return outbound, spans.spans, worked_on


def test_an_attempt_goes_on_with_the_trace_of_its_event_and_tells_the_receiver() -> None:
    outbound, (span,), worked_on = attempt(leased(f"00-{TRACE}-{CAUSE}-01", state=b"a=1"))
    assert (span.about.name, span.about.kind, span.parent_id) == ("deliver clinic.board", Kind.CLIENT, CAUSE)
    assert [(link.trace_id, link.span_id) for link in span.links] == [(TRACE, CAUSE)]
    assert outbound.headers == {
        "webhook-id": "1",
        "traceparent": f"00-{TRACE}-{span.context.span_id}-01",
        "tracestate": "a=1",
    }
    assert {**span.about.attributes, **span.attributes} == {
        "messaging.system": "kafka",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.subscription.name": "clinic.board",
        "messaging.batch.message_count": 1,
        "http.request.method": "POST",
        "http.response.status_code": 200,
    }
    assert span.error is None
    assert worked_on is span


def test_a_batch_has_links_to_all_of_its_traces_within_a_bound() -> None:
    parents = [f"00-{TRACE}-{CAUSE}-00", None, f"00-{OTHER}-{CAUSE}-01", "no trace", *[f"00-{TRACE}-{CAUSE}-01"] * 10]
    _, (span,), _ = attempt(leased(*parents), max_links=6)
    assert [link.trace_id for link in span.links] == [TRACE, OTHER, TRACE, TRACE]
    assert span.context.trace_id == OTHER, "it goes on with the first one that is recorded"
    assert span.attributes["messaging.batch.message_count"] == 14


def test_a_state_that_no_header_can_have_is_left_out() -> None:
    outbound, (span,), _ = attempt(leased(f"00-{TRACE}-{CAUSE}-01", state=b"a=1\r\nx: y"))
    assert outbound.headers["traceparent"] == span.traceparent
    assert "tracestate" not in outbound.headers


def test_without_links_a_trace_goes_on_all_the_same() -> None:
    _, (span,), _ = attempt(leased(f"00-{TRACE}-{CAUSE}-01"), max_links=0)
    assert (span.parent_id, span.links) == (CAUSE, [])


def test_an_event_without_a_trace_begins_one() -> None:
    outbound, (span,), _ = attempt(leased(None))
    assert (span.parent_id, span.links) == ("", [])
    assert outbound.headers["traceparent"] == span.traceparent


@pytest.mark.parametrize(
    ("events", "fields"),
    [
        (leased(f"00-{TRACE}-{CAUSE}-00"), {}),
        (leased(None), {"sample_ratio": 0.0}),
        (leased(f"00-{TRACE}-{CAUSE}-01"), {"sample_ratio": 0.0, "max_caller_traces_per_second": 0}),
    ],
)
def test_what_is_not_sampled_is_sent_as_it_is(events: list[Leased[Consumed]], fields: dict[str, Any]) -> None:
    outbound, spans, worked_on = attempt(events, **fields)
    assert outbound is OUTBOUND
    assert (spans, worked_on) == ([], None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Attempted(503, None, None, 0.1), "503"),
        (Attempted(404, None, None, 0.1), "404"),
        (Attempted(None, "timeout", None, 0.1), "timeout"),
        (Attempted(200, "truncated", None, 0.1), "truncated"),
        (OSError("anything"), "cancelled"),
    ],
)
def test_how_an_attempt_failed_is_told(answer: Attempted | Exception, error: str) -> None:
    _, (span,), _ = attempt(leased(None), answer)
    assert span.error == error
