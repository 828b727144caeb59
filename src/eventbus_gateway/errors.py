"""Every error that the gateway raises on purpose.

::

    GatewayError
    ├── RequestError                 the request has to change before it can succeed
    │   ├── MalformedRequest         HTTP framing, request line or header block
    │   ├── InvalidHeader
    │   ├── InvalidCursor            malformed, or of another topic
    │   ├── InvalidJson
    │   ├── InvalidContentEncoding   the gzip stream is damaged
    │   ├── EmptyBatch
    │   ├── RouteNotFound
    │   ├── MethodNotAllowed
    │   ├── NotAcceptable            none of the media types that the caller takes
    │   ├── UnknownTopic
    │   ├── UnknownSchemaVersion
    │   ├── RequestTimeout           head or body did not arrive in time
    │   ├── BodyTooLarge
    │   ├── BatchTooLarge            too many events in one request
    │   ├── EventTooLarge            the encoded record exceeds what the topic takes
    │   ├── HeadersTooLarge
    │   ├── UnsupportedMediaType
    │   ├── UnsupportedEncoding
    │   ├── EventError               events, a filter or a resource with faults; each is listed
    │   │   ├── InvalidParameter     query parameter, path segment, or member of a body that is no resource
    │   │   ├── InvalidSubscription  the resource, or what shall be done with it
    │   │   ├── InvalidAttribute     CloudEvents attribute or envelope
    │   │   ├── InvalidEvent         the data does not fit the schema
    │   │   └── InvalidFilter        the filter is not an event pattern
    │   ├── IdempotencyKeyReused     same key, another body
    │   ├── UnknownSubscription
    │   ├── TooManySubscriptions     as many as the gateway takes
    │   ├── SubscriptionActive       it has to be paused for this
    │   ├── InvalidAckToken          no token of this gateway
    │   ├── LeaseLost                the events of these tokens are not the caller's any more
    │   └── PreconditionFailed       it was changed since the caller read it
    ├── IdempotencyKeyInUse          the first request with this key is still running
    ├── AccessError
    │   ├── Unauthenticated
    │   └── Forbidden
    ├── Throttled
    │   ├── RateLimited              the principal's own limit
    │   └── QuotaExceeded            Kafka's quota
    ├── Unavailable                  nothing was stored; trying again later can help
    │   ├── Overloaded               a bound of this process is reached
    │   ├── ShuttingDown
    │   ├── KafkaUnavailable
    │   ├── TopicUnavailable         this topic cannot be written now (authorization, leader, in-sync replicas)
    │   ├── TopicUnreadable          this topic cannot be read now (authorization, leader)
    │   ├── PositionsUnavailable     the positions of a subscription cannot be read or moved now
    │   ├── OwnerUnavailable         the replica that serves a subscription is not known or does not answer
    │   │   └── NotOwner             between replicas: it is another one
    │   ├── RecordRefused            the broker refused this record
    │   ├── NotAttempted             held back because of another event of the same request
    │   ├── IssuerUnavailable        the keys to judge a token with cannot be had now
    │   ├── RegistryUnavailable
    │   ├── SchemaMissing            nothing is registered under the subject
    │   └── SchemaUnusable           registered, but it cannot be compiled
    ├── CorruptRecord                a stored record does not decode with its schema
    ├── OutcomeUnknown               the record may or may not be stored
    └── InternalError                a fault of the gateway itself

``code`` is stable and documented, ``retryable`` says whether the very same request can succeed later.
Messages name places and expectations, never a value that the caller sent.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Fault(NamedTuple):
    """One reason why an event was refused.

    Args:
        pointer: RFC 6901 JSON pointer to the place in the data (in a batch, below the event's index).
        detail: what was expected there and which kind of thing came, never the value.
    """

    pointer: str
    detail: str


class GatewayError(Exception):
    """Base of every error that has a stable code.

    Args:
        detail: a sentence for people.
        retry_after: seconds after which trying again makes sense, where that is known.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after = retry_after


class RequestError(GatewayError):
    """The request has to change before it can succeed."""


class MalformedRequest(RequestError):
    code = "malformed_request"
    title = "The HTTP request is malformed"


class InvalidHeader(RequestError):
    code = "invalid_header"
    title = "A header is not valid"


class InvalidCursor(RequestError):
    code = "invalid_cursor"
    title = "The cursor is not valid"


class InvalidJson(RequestError):
    code = "invalid_json"
    title = "The body is not valid JSON"


class InvalidContentEncoding(RequestError):
    code = "invalid_content_encoding"
    title = "The body does not decompress"


class EmptyBatch(RequestError):
    code = "empty_batch"
    title = "The batch has no events"


class RouteNotFound(RequestError):
    code = "route_not_found"
    title = "There is nothing at this path"


class MethodNotAllowed(RequestError):
    """The path exists, but not for this method; ``allowed`` are those that it has."""

    code = "method_not_allowed"
    title = "The method is not allowed here"

    def __init__(self, detail: str, allowed: Sequence[str]) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class NotAcceptable(RequestError):
    code = "not_acceptable"
    title = "None of the accepted media types can be given"


class UnknownTopic(RequestError):
    code = "unknown_topic"
    title = "The topic does not exist"


class UnknownSchemaVersion(RequestError):
    code = "unknown_schema_version"
    title = "The schema version does not exist"


class RequestTimeout(RequestError):
    code = "request_timeout"
    title = "The request did not arrive in time"
    retryable = True


class BodyTooLarge(RequestError):
    code = "body_too_large"
    title = "The body is too large"


class BatchTooLarge(RequestError):
    code = "batch_too_large"
    title = "The batch has too many events"


class EventTooLarge(RequestError):
    code = "event_too_large"
    title = "The event is too large for the topic"


class HeadersTooLarge(RequestError):
    code = "headers_too_large"
    title = "The request headers are too large"


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"
    title = "The media type is not supported"


class UnsupportedEncoding(RequestError):
    code = "unsupported_encoding"
    title = "The content encoding is not supported"


class EventError(RequestError):
    """What was sent has faults: events, a filter or a resource; whoever looked for ``faults`` bounds them."""

    def __init__(self, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class InvalidParameter(EventError):
    code = "invalid_parameter"
    title = "A parameter is not valid"


class InvalidAttribute(EventError):
    code = "invalid_attribute"
    title = "A CloudEvents attribute is not valid"


class InvalidSubscription(EventError):
    code = "invalid_subscription"
    title = "The subscription is not valid"


class InvalidEvent(EventError):
    code = "invalid_event"
    title = "The event does not fit its schema"


class InvalidFilter(EventError):
    code = "invalid_filter"
    title = "The filter is not an event pattern"


class IdempotencyKeyReused(RequestError):
    code = "idempotency_key_reused"
    title = "The idempotency key was used with another request"


class UnknownSubscription(RequestError):
    code = "unknown_subscription"
    title = "The subscription does not exist"


class TooManySubscriptions(RequestError):
    code = "too_many_subscriptions"
    title = "There are as many subscriptions as the gateway takes"


class SubscriptionActive(RequestError):
    code = "subscription_active"
    title = "The subscription has to be paused for this"


class InvalidAckToken(RequestError):
    code = "invalid_ack_token"
    title = "The ack token is not valid"


class LeaseLost(RequestError):
    code = "lease_lost"
    title = "The lease is over"


class PreconditionFailed(RequestError):
    code = "precondition_failed"
    title = "It has changed since it was read"


class IdempotencyKeyInUse(GatewayError):
    code = "idempotency_key_in_use"
    title = "A request with this idempotency key is still running"
    retryable = True


class AccessError(GatewayError):
    """The caller may not do this."""


class Unauthenticated(AccessError):
    code = "unauthenticated"
    title = "Credentials are missing or not valid"
    error: str | None = "invalid_token"
    """RFC 6750 section 3.1; None where nothing was presented that could be judged."""


class Forbidden(AccessError):
    code = "forbidden"
    title = "The principal is not allowed to do this"


class Throttled(GatewayError):
    """A limit on the rate is reached."""

    retryable = True


class RateLimited(Throttled):
    code = "rate_limited"
    title = "The rate limit of the principal is reached"


class QuotaExceeded(Throttled):
    code = "quota_exceeded"
    title = "A Kafka quota is exceeded"


class Unavailable(GatewayError):
    """Nothing was stored and the same request can succeed later."""

    retryable = True


class Overloaded(Unavailable):
    code = "overloaded"
    title = "The gateway is at its limit"


class ShuttingDown(Unavailable):
    code = "shutting_down"
    title = "The gateway is shutting down"


class KafkaUnavailable(Unavailable):
    code = "kafka_unavailable"
    title = "Kafka cannot be reached"


class TopicUnavailable(Unavailable):
    code = "topic_unavailable"
    title = "The topic cannot be written now"


class TopicUnreadable(Unavailable):
    code = "topic_unreadable"
    title = "The topic cannot be read now"


class PositionsUnavailable(Unavailable):
    code = "positions_unavailable"
    title = "The positions of the subscription cannot be read or moved now"


class OwnerUnavailable(Unavailable):
    code = "owner_unavailable"
    title = "The replica that serves the subscription cannot be reached"


class NotOwner(OwnerUnavailable):
    code = "not_owner"
    title = "Another replica serves the subscription"


class RecordRefused(Unavailable):
    code = "record_refused"
    title = "The broker refused the record"
    retryable = False


class NotAttempted(Unavailable):
    code = "not_attempted"
    title = "The event was held back because of another event of the request"


class IssuerUnavailable(Unavailable):
    code = "issuer_unavailable"
    title = "The keys of the token's issuer cannot be had now"


class RegistryUnavailable(Unavailable):
    code = "registry_unavailable"
    title = "The schema registry cannot be reached"


class SchemaMissing(Unavailable):
    code = "schema_missing"
    title = "No schema is registered for the topic"


class SchemaUnusable(Unavailable):
    code = "schema_unusable"
    title = "The registered schema cannot be used"


class CorruptRecord(GatewayError):
    code = "corrupt_record"
    title = "The record does not decode with its schema"


class OutcomeUnknown(GatewayError):
    code = "outcome_unknown"
    title = "The record may or may not be stored"
    retryable = True


class InternalError(GatewayError):
    code = "internal_error"
    title = "The gateway failed"
    retryable = True
