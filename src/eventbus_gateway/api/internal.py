"""The internal port: probes and metrics."""

from collections.abc import Callable

import orjson

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.telemetry import Metrics

_EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class Internal:
    """Answers what the platform asks of a process.

    Readiness does not depend on Kafka: an outage would take every replica out of the load balancer, and callers would
    see connection errors where they now see a 503 that says what happens.

    Args:
        metrics: what ``/metrics`` shows.
        state: word for the process's stage: ``starting``, ``ready`` or ``draining``.
    """

    def __init__(self, metrics: Metrics, state: Callable[[], str]) -> None:
        self._metrics = metrics
        self._state = state

    async def livez(self, request: Request) -> Answer:
        """The event loop runs, or nobody would answer."""
        return Answer(200, b'{"status":"alive"}')

    async def readyz(self, request: Request) -> Answer:
        """Whether callers should be sent here."""
        state = self._state()
        return Answer(200 if state == "ready" else 503, orjson.dumps({"status": state}))

    async def metrics(self, request: Request) -> Answer:
        """Everything measured, in Prometheus' text format."""
        return Answer(200, self._metrics.exposition(), _EXPOSITION)
