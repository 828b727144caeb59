"""Attempts to deliver to webhooks as spans, linked to the traces that their events come from."""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.logs import working_on
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.tracing.context import Context, context
from eventbus_gateway.tracing.span import About, Kind
from eventbus_gateway.tracing.tracer import Tracer
from eventbus_gateway.webhooks.outbound import Attempted, Outbound

_PARENT, _STATE = "traceparent", "tracestate"
_LEAST_CLIENT_ERROR = 400
_KEPT = 1_024


class TracedDeliveries:
    """Makes attempts, and spans of those that are sampled.

    Args:
        tracer: makes spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def attempt(
        self,
        send: Callable[[Outbound], Awaitable[Attempted]],
        outbound: Outbound,
        subscription: str,
        leased: Sequence[Leased[Consumed]],
    ) -> Attempted:
        """One attempt.

        Args:
            send: makes it.
            outbound: what is sent.
            subscription: full name of the subscription.
            leased: the events in it.

        Raises what ``send`` raises.
        """
        tracer = self._tracer
        looked_at = leased[: max(1, tracer.max_links)]
        causes = [found for one in looked_at if (found := _context(one.event.payload.headers))]
        if causes:
            trace_id = None
            if not tracer.sampler.follows(causes):
                return await send(outbound)
        elif (trace_id := tracer.sampler.begins_by_chance()) is None:
            return await send(outbound)
        about = _delivering(subscription)
        if trace_id is not None:
            span = tracer.first(about, trace_id)
        else:
            # One event's trace goes on; of several the first one that is recorded, and the links tell the others.
            span = tracer.below(about, next(cause for cause in causes if cause.sampled))
        span.links = causes[: tracer.max_links]
        attributes = span.attributes = {"messaging.batch.message_count": len(leased)}
        headers = {**outbound.headers, _PARENT: span.traceparent}
        if span.context.state:
            headers[_STATE] = span.context.state
        token = working_on.set(span)
        error: str | None = "cancelled"
        try:
            attempted = await send(outbound._replace(headers=headers))
            error = attempted.failure
            if attempted.status is not None:
                attributes["http.response.status_code"] = attempted.status
                if error is None and attempted.status >= _LEAST_CLIENT_ERROR:
                    error = str(attempted.status)
            return attempted
        finally:
            working_on.reset(token)
            tracer.end(span, error)


@lru_cache(maxsize=_KEPT)
def _delivering(subscription: str) -> About:
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.subscription.name": subscription,
        "http.request.method": "POST",
    }
    return About(f"deliver {subscription}", Kind.CLIENT, attributes)


def _context(headers: Headers) -> Context | None:
    names, values = headers
    if _PARENT not in names:
        return None
    state = values[names.index(_STATE)] if _STATE in names else None
    return context(values[names.index(_PARENT)], state)
