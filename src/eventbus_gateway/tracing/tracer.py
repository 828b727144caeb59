"""Begins and ends spans."""

import time
from collections.abc import Callable
from random import getrandbits
from typing import Protocol

from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.sampling import Sampler
from eventbus_gateway.tracing.span import About, Span


class SpanSink(Protocol):
    """Takes spans that are over without ever waiting."""

    def add(self, span: Span) -> None: ...


class Tracer:
    """Makes the spans of one process.

    Args:
        sampler: decides what is traced.
        sink: takes the spans.
        max_links: links of one span at the most.
        now_ns: nanoseconds since the epoch.
    """

    def __init__(
        self, sampler: Sampler, sink: SpanSink, max_links: int, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.sampler = sampler
        self.max_links = max_links
        self._sink = sink
        self._now_ns = now_ns

    def first(self, about: About, trace_id: str) -> Span:
        """The first span of a trace."""
        return Span(about, Context(trace_id, _span_id(), True), "", self._now_ns())

    def below(self, about: About, parent: Context) -> Span:
        """A span that another one has caused, here or elsewhere."""
        trace_id, parent_id, _, state = parent
        return Span(about, Context(trace_id, _span_id(), True, state), parent_id, self._now_ns())

    def prepared(self, about: About) -> Span:
        """The first span of a trace with one that it causes, to begin at any time."""
        span = self.first(about, self.sampler.trace_id())
        span.child = self.below(about, span.context)
        return span

    def begin(self, span: Span) -> None:
        """Have a span begin that was made before."""
        span.began = self._now_ns()

    def caused(self, above: Span, about: About) -> Span:
        """A span that another one causes here: the one that was made with it, or another one."""
        span, above.child = above.child, None
        if span is None:
            return self.below(about, above.context)
        span.about = about
        self.begin(span)
        return span

    def end(self, span: Span, error: str | None = None) -> None:
        """Have a span recorded as it is now.

        Args:
            span: not ended before.
            error: why it failed, in a word of a closed set.
        """
        before_end, span.before_end = span.before_end, None
        if before_end is not None:
            before_end()
        span.ended = self._now_ns()
        span.error = error
        span.ids = None
        self._sink.add(span)


def _span_id() -> str:
    return f"{getrandbits(64) or 1:016x}"
