"""The ``[tracing]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from eventbus_gateway.section import Section


class TracingHeaderSettings(Section):
    """One header that goes with every export."""

    name: str = Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
    """Name of the header."""
    value: SecretStr
    """Its value; often a credential, so it is never shown."""


class TracingSettings(Section):
    """OpenTelemetry traces of requests, publishes and deliveries. Needs the extra ``telemetry``."""

    enabled: bool = False
    """Trace. While this is off, nothing of it is loaded."""
    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    """Where spans are sent to: a collector's whole URL for OTLP over HTTP."""
    headers: tuple[TracingHeaderSettings, ...] = Field((), max_length=20)
    """Headers that the collector wants to see."""
    ca_file: str | None = None
    """PEM file with the authorities that the collector's certificate may come from; the system's when empty."""
    service_name: str = Field("eventbus-gateway", min_length=1, max_length=255)
    """``service.name`` of all spans."""
    environment: str | None = Field(None, min_length=1, max_length=255)
    """``deployment.environment.name`` of all spans."""
    sample_ratio: float = Field(0.01, ge=0, le=1)
    """Share of what begins here that is traced."""
    callers: Literal["limited", "ignored"] = "limited"
    """What follows from a ``traceparent`` of a caller. ``limited``: what it samples is traced within
    ``max_caller_traces_per_second``, and what it does not is not. ``ignored``: the trace goes on, but only
    ``sample_ratio`` decides whether its part here is traced."""
    max_caller_traces_per_second: float = Field(10.0, ge=0, le=10_000)
    """Traces per second that are there because a caller wants them; further ones are left to ``sample_ratio``."""
    max_traces_per_second: float = Field(500.0, gt=0, le=100_000)
    """Traces per second at the most, whatever is the reason."""
    max_links: int = Field(32, ge=0, le=128)
    """Links of one span to the events that it is about; further ones are left out."""
    max_queued_spans: int = Field(4_096, ge=64, le=65_536)
    """Spans that wait to be sent; beyond it spans are dropped and counted."""
    max_batch_spans: int = Field(512, ge=1, le=1_024)
    """Spans in one export; not more than may wait."""
    export_seconds: float = Field(5.0, ge=0.1, le=300)
    """How often spans are sent; earlier where there are enough for an export."""
    timeout_seconds: float = Field(5.0, ge=0.1, le=60)
    """How long an export may take; the last one, at the end of the process, 3 s at the most."""
