"""The traces of one process, put together, started, and stopped again; nothing of them where they are off."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from eventbus_gateway import __version__
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.telemetry import Counter, Metrics
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.webhooks.dispatcher import Deliver

if TYPE_CHECKING:
    from eventbus_gateway.tracing.exporter import Exporter

_LIBRARIES = frozenset({"google", "opentelemetry"})


class _Parts(NamedTuple):
    """What there is where traces are on.

    Args:
        exporter: sends spans.
        gateway: makes a gateway of the parts of one.
        deliver: makes attempts at webhooks.
    """

    exporter: "Exporter"
    gateway: Callable[..., Gateway]
    deliver: Deliver


class Traces:
    """Decides once, at the start, which kind of gateway and delivery a process has.

    Args:
        settings: the section.
        metrics: where spans are counted.
        max_record_bytes: bound on a record.

    Raises:
        ValueError: traces are on, and what they need is not installed or cannot be used.
    """

    def __init__(self, settings: TracingSettings, metrics: Metrics, max_record_bytes: int) -> None:
        self._parts = _parts(settings, metrics, max_record_bytes) if settings.enabled else None
        self.deliver: Deliver | None = None if self._parts is None else self._parts.deliver
        """Makes attempts at webhooks in place of the sender alone; None where nobody traces."""

    def gateway(self, *parts: Any) -> Gateway:
        """A ``Gateway`` of these parts."""
        return Gateway(*parts) if self._parts is None else self._parts.gateway(*parts)

    def start(self) -> None:
        """Begin to send spans; needs the running loop."""
        if self._parts is not None:
            self._parts.exporter.start()

    async def close(self) -> None:
        """Send what is left, within ``tracing.timeout_seconds``."""
        if self._parts is not None:
            await self._parts.exporter.close()


def _parts(settings: TracingSettings, metrics: Metrics, max_record_bytes: int) -> _Parts:
    """The library is optional, and takes memory that who does not trace need not pay: it is imported here."""
    try:
        from eventbus_gateway.tracing.exporter import Exporter  # noqa: PLC0415
        from eventbus_gateway.tracing.otlp import Otlp  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        sentence = 'tracing.enabled needs the extra "telemetry": install eventbus-gateway[telemetry]'
        raise ValueError(sentence) from None
    from eventbus_gateway.api.traced import TracedGateway  # noqa: PLC0415
    from eventbus_gateway.tracing.sampling import Sampler  # noqa: PLC0415
    from eventbus_gateway.tracing.tracer import Tracer  # noqa: PLC0415
    from eventbus_gateway.webhooks.traced import TracedDeliveries  # noqa: PLC0415

    spans = Counter("eventbus_trace_spans", "Spans of traces, by what became of them.", ("outcome",))
    exporter = Exporter(settings, Otlp(_resource(settings), __version__), spans)
    tracer = Tracer(Sampler(settings), exporter, settings.max_links)
    metrics.counter(spans)
    metrics.gauge("eventbus_trace_queued_spans", "Spans that wait to be exported.", lambda: len(exporter))

    return _Parts(exporter, partial(TracedGateway, tracer, max_record_bytes), TracedDeliveries(tracer).attempt)


def _resource(settings: TracingSettings) -> dict[str, str]:
    """What OpenTelemetry's semantic conventions call a service."""
    resource = {
        "service.name": settings.service_name,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
    }
    if settings.environment is not None:
        resource["deployment.environment.name"] = settings.environment
    return resource
