"""What a publish asks for, as far as its head says it."""

from eventbus_gateway.api.attributes import Attributes, from_headers, trace_headers
from eventbus_gateway.api.body import Media, media_type
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.idempotency import idempotency_key
from eventbus_gateway.api.query import flag
from eventbus_gateway.errors import InvalidHeader

_SAYS_MORE = frozenset({b"content-encoding", b"idempotency-key", b"schema-version", b"traceparent"})


class Command:
    """What a request asks for, before its body is read.

    Args:
        media: how the body carries its events.
        attributes: CloudEvents attributes from the headers.
        schema_version: version to encode with, None for the topic's own choice.
        dry_run: validate only.
        encoding: the ``Content-Encoding``, None where the body came as it is.
        idempotency_key: the caller's key, None where there is none.
        trace: W3C trace context as Kafka headers.
    """

    __slots__ = (
        "attributes",
        "dry_run",
        "encoding",
        "idempotency_key",
        "is_batch",
        "is_plain",
        "media",
        "schema_version",
        "trace",
    )

    def __init__(
        self,
        media: Media,
        attributes: Attributes,
        schema_version: int | None = None,
        dry_run: bool = False,
        encoding: bytes | None = None,
        idempotency_key: bytes | None = None,
        trace: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self.media = media
        self.attributes = attributes
        self.schema_version = schema_version
        self.dry_run = dry_run
        self.encoding = encoding
        self.idempotency_key = idempotency_key
        self.trace = trace or []
        self.is_batch = media.is_batch
        self.is_plain = not attributes and not self.trace
        """Whether nothing but the gateway's own headers goes with the events."""


# What most requests ask for; made once, by media type.
_USUAL = {media: Command(media, {}) for media in Media}


def command_of(request: Request, max_attribute_bytes: int) -> Command:
    """What a request asks for.

    Args:
        request: its head.
        max_attribute_bytes: bound on all CloudEvents attributes together.

    Raises:
        UnsupportedMediaType: not one that carries events.
        InvalidAttribute: with every fault of the ``ce-`` headers.
        InvalidHeader: another header is not usable.
        InvalidParameter: the query is not usable.
    """
    memo = request.memo
    if memo is not None and memo.found is not None:
        found: Command = memo.found
        return found
    command = _read(request, max_attribute_bytes)
    if memo is not None:
        memo.found = command
    return command


def _read(request: Request, max_attribute_bytes: int) -> Command:
    headers = request.headers
    media = media_type(headers.get(b"content-type"))
    attributes = from_headers(headers, max_attribute_bytes)
    if not attributes and not request.query and _SAYS_MORE.isdisjoint(headers):
        return _USUAL[media]
    version, key = headers.get(b"schema-version"), headers.get(b"idempotency-key")
    return Command(
        media,
        attributes,
        _schema_version(version) if version is not None else None,
        flag(request.query, "dryRun") if request.query else False,
        headers.get(b"content-encoding"),
        idempotency_key(key) if key is not None else None,
        trace_headers(headers, request.repeated),
    )


def _schema_version(value: bytes) -> int:
    if value.isdigit() and len(value) <= 9 and (version := int(value)) > 0:
        return version
    raise InvalidHeader("Schema-Version is a positive whole number.")
