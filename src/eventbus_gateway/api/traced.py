"""What a gateway that traces does beside the rest: spans of requests and of what they store.

While tracing is off none of this stands in anybody's way; while it is on, a request that is not sampled passes one
decision in front of the gateway.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson

from eventbus_gateway.api.attributes import trace_headers
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.http import Answer, Handler, Request
from eventbus_gateway.api.publish import Publish
from eventbus_gateway.api.routes import Match, Route, Router
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.records import Outcome, Record, RecordSink, Stored
from eventbus_gateway.logs import trace_fields, working_on
from eventbus_gateway.tracing.beginnings import Beginnings
from eventbus_gateway.tracing.context import Context, context
from eventbus_gateway.tracing.span import About, Kind, Span, Value
from eventbus_gateway.tracing.tracer import Tracer

# OpenTelemetry's semantic conventions for HTTP, section "Name": other methods are not told.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER = "_OTHER"
_RECEIVE = "/v1/subscriptions/{name}/receive"
_MAX_LINKED_BYTES = 262_144
"""Larger answers are not searched for the traces of their events."""
_PER_HEADER = 5
"""Bytes in Kafka around a header's name and value."""
_KEPT = 1_024
_REQUEST = About("HTTP", Kind.SERVER)
"""Until it is known what it was about."""


class TracedGateway(Gateway):
    """A gateway that decides about each request whether it is traced, and does nothing else for those that are not.

    What is sampled runs through the same code on the same object as the rest: the interpreter specialises code for
    the types that it meets, and a class of its own for one request in a hundred would slow all others down.

    Args:
        tracer: makes spans.
        max_record_bytes: bound on a record.
        router: the route table.
        parts: the others of a ``Gateway``.
    """

    def __init__(self, tracer: Tracer, max_record_bytes: int, router: Router, *parts: Any) -> None:
        super().__init__(router, *parts)
        self._tracer = tracer
        self._left = tracer.sampler.gap()
        self._beginnings = Beginnings(tracer, _REQUEST)
        self._untraced = super().handle
        self._publishing: dict[Handler, Route] = {
            route.handler: route._replace(
                handler=route.handler.through(TracedSink(route.handler.sink, tracer, max_record_bytes))
            )
            for route in router.routes
            if isinstance(route.handler, Publish)
        }

    def handle(self, request: Request, match: Match | None = None) -> Coroutine[Any, Any, Answer]:
        """See ``Gateway.handle``."""
        if b"traceparent" in request.headers:
            headers = dict(trace_headers(request.headers, request.repeated))
            parent = context(headers.get("traceparent"), headers.get("tracestate"))
            if parent is not None:
                if not self._tracer.sampler.goes_on(parent):
                    return self._untraced(request, match)
                span = self._tracer.below(_REQUEST, parent)
                request.log_fields = trace_fields(span)
                return self._traced(span, request, match)
        if self._left:
            self._left -= 1
            return self._untraced(request, match)
        if not self._tracer.sampler.may_begin():
            self._left = self._tracer.sampler.gap()
            return self._untraced(request, match)
        span, request.log_fields, self._left = self._beginnings.take()
        self._tracer.begin(span)
        return self._traced(span, request, match)

    async def _traced(self, span: Span, request: Request, match: Match | None) -> Answer:
        # Nobody takes it out again: the context is the request's own, and a span that has ended is nothing to others.
        working_on.set(span)
        error: str | None = "cancelled"
        try:
            if match is None:
                # Not found: the gateway finds that, too, and answers so.
                with contextlib.suppress(GatewayError):
                    match = self.router.match(request.method, request.path)
            answer = await self._untraced(request, match and self._traced_match(match))
            error = str(answer.status) if answer.status >= 500 else None
            template = None if match is None else match.route.template
            span.later = partial(_tell, request.method, template, answer.status)
            if template == _RECEIVE and answer.status == 200:
                span.links = causes(answer.body, self._tracer.max_links)
            return answer
        finally:
            self._tracer.end(span, error)

    def _traced_match(self, match: Match) -> Match:
        """The same, with publishes whose records name their trace."""
        route = self._publishing.get(match.route.handler)
        return match if route is None else Match(route, match.params)


def _tell(method: str, template: str | None, status: int, span: Span) -> None:
    """Say what a request was about."""
    span.about = _served(method if method in _METHODS else _OTHER, template, status)


@lru_cache(maxsize=_KEPT)
def _served(method: str, template: str | None, status: int) -> About:
    attributes: dict[str, Value] = {"http.request.method": method, "http.response.status_code": status}
    name = "HTTP" if method == _OTHER else method
    if template is None:
        return About(name, Kind.SERVER, attributes)
    return About(f"{name} {template}", Kind.SERVER, {**attributes, "http.route": template})


@lru_cache(maxsize=_KEPT)
def _sending(topic: str) -> About:
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
    }
    return About(f"send {topic}", Kind.PRODUCER, attributes)


def causes(body: bytes, most: int) -> Sequence[Context]:
    """The traces that the events of an answer come from; at most so many, and of large answers none."""
    if len(body) > _MAX_LINKED_BYTES:
        return ()
    try:
        events = orjson.loads(body)["events"]
    except orjson.JSONDecodeError:
        return ()  # an event may be nested as deeply as the parser goes, and stands deeper in an answer
    found = [_cause(event) for event in events]
    return [one for one in found if one is not None][:most]


def _cause(event: dict[str, Any]) -> Context | None:
    parent, state = event.get("traceparent"), event.get("tracestate")
    return context(
        parent.encode(errors="replace") if isinstance(parent, str) else None,
        state.encode(errors="replace") if isinstance(state, str) else None,
    )


class TracedSink:
    """A ``RecordSink`` for what is sampled: its sends are spans, which the records name in their headers.

    Args:
        sink: takes the records.
        tracer: makes spans.
        max_record_bytes: bound on a record; one that has no room for a trace goes without, since tracing must not
            change what is taken.
    """

    def __init__(self, sink: RecordSink, tracer: Tracer, max_record_bytes: int) -> None:
        self._send = sink.send
        self._tracer = tracer
        self._max_record_bytes = max_record_bytes

    def send(self, topic: str, records: Sequence[Record]) -> "asyncio.Future[list[Outcome]]":
        """See ``RecordSink.send``."""
        above = working_on.get()
        if not isinstance(above, Span) or above.ids is None:
            return self._send(topic, records)
        tracer = self._tracer
        span = tracer.caused(above, _sending(topic))
        if len(records) > 1:
            span.attributes = {"messaging.batch.message_count": len(records)}
        header = ("traceparent", span.traceparent.encode())
        try:
            future = self._send(topic, [self._named(record, header) for record in records])
        except GatewayError as error:
            tracer.end(span, error.code)
            raise
        if future.done() or len(records) > 1 or above.before_end is not None:
            self._end(span, future)
        else:
            # The request goes on in the same turn of the loop, and nearly always there is nothing left of it to do.
            above.before_end = partial(self._end, span, future)
        return future

    def _end(self, span: Span, future: "asyncio.Future[list[Outcome]]") -> None:
        if future.done():
            self._ended(span, future)
        else:
            future.add_done_callback(partial(self._ended, span))

    def _named(self, record: Record, header: tuple[str, bytes]) -> Record:
        key, value, headers, size = record
        others = [one for one in headers if one[0] != "traceparent"]
        if len(others) < len(headers):
            return Record(key, value, [*others, header], size)  # in the place of the caller's, which is as long
        more = len(header[0]) + len(header[1]) + _PER_HEADER
        total = size or len(value) + len(key or b"") + sum(len(name) + len(text) for name, text in headers)
        if total + more > self._max_record_bytes:
            return record
        return Record(key, value, [*headers, header], size + more if size else 0)

    def _ended(self, span: Span, future: "asyncio.Future[list[Outcome]]") -> None:
        if future.cancelled():
            self._tracer.end(span, "cancelled")
            return
        outcomes = future.result()
        first = outcomes[0]
        if len(outcomes) == 1 and isinstance(first, Stored):
            span.later = partial(_place, first)
            self._tracer.end(span)
            return
        errors = (outcome.error.code for outcome in outcomes if not isinstance(outcome, Stored))
        self._tracer.end(span, next(errors, None))


def _place(stored: Stored, span: Span) -> None:
    """Say where a record is."""
    partition = {"messaging.destination.partition.id": str(stored.partition)}
    span.attributes = partition if stored.offset < 0 else {**partition, "messaging.kafka.offset": stored.offset}
