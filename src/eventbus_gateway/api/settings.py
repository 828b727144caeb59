"""The ``[http]``, ``[audit]``, ``[publish]`` and ``[topics.<name>]`` sections of the configuration."""

from typing import Literal

from pydantic import Field

from eventbus_gateway.section import Section


class HttpSettings(Section):
    """The listening sockets and the bounds on what callers may send."""

    host: str = "127.0.0.1"
    """Address that callers reach."""
    port: int = Field(8080, ge=0, le=65_535)
    """Port that callers reach; 0 takes a free one."""
    internal_host: str = "127.0.0.1"
    """Address of the internal port: probes and metrics."""
    internal_port: int = Field(8081, ge=0, le=65_535)
    """Internal port: probes and metrics; 0 takes a free one."""
    reuse_port: bool = False
    """Share ``port`` with other processes of the same user; ``eventbus serve --workers`` sets it."""
    max_connections: int = Field(4_096, ge=1, le=1_000_000)
    """Open connections; further ones are answered with 503 and closed."""
    max_header_bytes: int = Field(16_384, ge=1_024, le=1_048_576)
    """Bytes of a request's line and headers."""
    max_headers: int = Field(64, ge=8, le=1_000)
    """Headers of one request."""
    header_timeout_seconds: float = Field(10.0, gt=0, le=300)
    """Time from a request's first byte to the end of its headers."""
    body_timeout_seconds: float = Field(30.0, gt=0, le=3_600)
    """Time from the end of the headers to the end of the body."""
    idle_timeout_seconds: float = Field(75.0, gt=0, le=3_600)
    """Time that a connection may stay open between two requests."""
    linger_seconds: float = Field(5.0, gt=0, le=60)
    """Time that a refused caller has to read the answer while the rest of its request is dropped."""
    max_pipelined_requests: int = Field(32, ge=1, le=1_000)
    """Requests of one connection that wait for an earlier one's answer; further ones are refused."""
    hot_path: Literal["protocol", "asgi"] = "protocol"
    """``protocol`` answers publishes straight from the HTTP parser, ``asgi`` takes them the way of all others."""
    max_in_flight_requests: int = Field(2_000, ge=1, le=1_000_000)
    """Requests that are worked on at the same time."""
    max_in_flight_bytes: int = Field(134_217_728, ge=1_048_576, le=17_179_869_184)
    """Bytes of request bodies held at the same time."""
    drain_seconds: float = Field(30.0, ge=1, le=600)
    """Time that requests have to end after SIGTERM."""
    contract: bool = True
    """Answer ``GET /openapi.json`` and ``GET /docs``, to anybody."""
    access_log: bool = True
    """Write one JSON line per request to standard output."""
    access_log_max_bytes: int = Field(8_388_608, ge=65_536, le=1_073_741_824)
    """Log lines that wait to be written; beyond it lines are dropped and counted."""


class AuditSettings(Section):
    """Who changed what, and who was refused: one JSON line each."""

    enabled: bool = True
    """Whether lines are written."""
    file: str | None = Field(None, min_length=1)
    """File that they are appended to; standard output, between the lines of requests, when empty."""
    max_waiting_bytes: int = Field(8_388_608, ge=65_536, le=1_073_741_824)
    """Lines that wait to be written to the file; beyond it lines are dropped and counted."""


class PublishSettings(Section):
    """Bounds and defaults of publishing."""

    max_event_bytes: int = Field(1_048_576, ge=1_024, le=16_777_216)
    """Body of a request with one event, after decompression."""
    max_batch_bytes: int = Field(5_242_880, ge=1_024, le=67_108_864)
    """Body of a request with many events, after decompression."""
    max_batch_events: int = Field(10_000, ge=1, le=100_000)
    """Events in one request."""
    max_gzip_ratio: int = Field(100, ge=2, le=1_000)
    """How many times larger a body may become when it is decompressed."""
    max_json_values: int = Field(500_000, ge=1_000, le=100_000_000)
    """Values in one JSON document, counted roughly before it is parsed: small values need many times their text."""
    max_attributes: int = Field(64, ge=8, le=1_000)
    """CloudEvents attributes of one event."""
    max_attribute_bytes: int = Field(4_096, ge=64, le=65_536)
    """Length of one CloudEvents attribute."""
    idempotency_window_seconds: float = Field(300.0, ge=1, le=86_400)
    """How long the answer to an ``Idempotency-Key`` is kept."""
    idempotency_max_keys: int = Field(100_000, ge=1, le=10_000_000)
    """Idempotency keys that are remembered; at this bound requests with a new key are refused."""
    idempotency_max_bytes: int = Field(67_108_864, ge=1_048_576, le=4_294_967_296)
    """Bytes of remembered answers; at this bound requests with a new key are refused."""


class ReadSettings(Section):
    """Bounds of reading topics without a subscription."""

    default_limit: int = Field(100, ge=1, le=10_000)
    """Events in one answer when the caller does not say."""
    max_limit: int = Field(1_000, ge=1, le=10_000)
    """Events in one answer at the most."""
    max_answer_bytes: int = Field(8_388_608, ge=65_536, le=268_435_456)
    """Bytes of events in one answer; a single larger event is given all the same."""
    max_wait_seconds: float = Field(60.0, ge=0, le=300)
    """How long a caller may wait for the first event."""
    max_scanned_records: int = Field(10_000, ge=100, le=1_000_000)
    """Records that one answer passes over for a filter; the cursor then tells where to go on."""
    max_concurrent_polls: int = Field(64, ge=1, le=10_000)
    """Reads at the same time, streams included; further ones are refused."""
    max_streams: int = Field(32, ge=1, le=10_000)
    """Streams of Server-Sent Events at the same time; further ones are refused."""
    stream_seconds: float = Field(3_600.0, ge=1, le=86_400)
    """After this time a stream ends; its reader comes back with the last cursor."""
    heartbeat_seconds: float = Field(15.0, ge=0.05, le=300)
    """A stream without events says so often that it is alive."""
    max_readers: int = Field(64, ge=1, le=1_000)
    """Kafka consumers for reads; a read needs one while it runs."""
    reader_idle_seconds: float = Field(60.0, ge=1, le=3_600)
    """A consumer that was not used for so long is closed."""


class TopicSettings(Section):
    """What is particular to one topic."""

    format: Literal["avro", "json"] = "avro"
    """``avro`` encodes against the schema registry, ``json`` stores the data as it came."""
    key: str | None = Field(None, pattern=r"^(/([^~]|~[01])*)?$")
    """RFC 6901 pointer to the key inside the data, for events without ``partitionkey``."""
    key_required: bool | None = None
    """Refuse events without a key; when empty, exactly where ``key`` is set."""
    key_format: Literal["string", "avro"] = "string"
    """``avro`` encodes keys with the schema of subject ``{topic}-key``."""
    schema_version: int | None = Field(None, ge=1)
    """Version of the schema to encode with; the latest when empty."""
    unknown_fields: Literal["refuse", "ignore"] = "refuse"
    """What happens to data fields that the schema does not have."""
    dialect: Literal["plain", "avro"] = "plain"
    """``plain`` takes natural JSON, ``avro`` takes exactly the JSON encoding of the Avro specification."""
    type: str | None = Field(None, min_length=1, max_length=256)
    """CloudEvents ``type`` of events that come without one."""
    source: str | None = Field(None, min_length=1, max_length=256)
    """CloudEvents ``source`` of events that come without one."""
