"""The one place where errors become HTTP: RFC 9457 problem documents."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from eventbus_gateway import errors
from eventbus_gateway.api.http import PROBLEM, Answer

# Looked up along the class hierarchy, so that a family needs one line.
STATUS: Mapping[type[errors.GatewayError], int] = {
    errors.RequestError: 400,
    errors.RouteNotFound: 404,
    errors.UnknownTopic: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.RequestTimeout: 408,
    errors.BodyTooLarge: 413,
    errors.BatchTooLarge: 413,
    errors.EventTooLarge: 413,
    errors.HeadersTooLarge: 431,
    errors.UnsupportedMediaType: 415,
    errors.UnsupportedEncoding: 415,
    errors.InvalidEvent: 422,
    errors.InvalidFilter: 422,
    errors.IdempotencyKeyReused: 422,
    errors.InvalidSubscription: 422,
    errors.UnknownSubscription: 404,
    errors.TooManySubscriptions: 409,
    errors.SubscriptionActive: 409,
    errors.LeaseLost: 410,
    errors.PreconditionFailed: 412,
    errors.IdempotencyKeyInUse: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Throttled: 429,
    errors.Unavailable: 503,
    errors.OutcomeUnknown: 504,
    errors.CorruptRecord: 500,
    errors.InternalError: 500,
}

_DEFAULT_RETRY_AFTER = 1.0
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def status_of(error: errors.GatewayError) -> int:
    """The HTTP status that stands for an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(
    error: errors.GatewayError, instance: str, outcome: str | None = None, members: Mapping[str, Any] = _NOTHING
) -> Answer:
    """The answer that tells a caller about an error.

    Args:
        error: what went wrong.
        instance: path of the request.
        outcome: ``stored``, ``not_stored`` or ``unknown`` where the request was a publish.
        members: what the document says beyond that (RFC 9457 section 3.2).
    """
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:eventbus:error:{error.code}",
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "instance": instance,
    }
    if isinstance(error, errors.EventError) and error.faults:
        document["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    if outcome is not None:
        document["outcome"] = outcome
    document.update(members)
    return Answer(status, orjson.dumps(document), PROBLEM, _headers(error, status))


def _headers(error: errors.GatewayError, status: int) -> tuple[tuple[bytes, bytes], ...]:
    headers: list[tuple[bytes, bytes]] = []
    if error.retryable and (status in {429, 503} or error.retry_after is not None):
        seconds = error.retry_after if error.retry_after is not None else _DEFAULT_RETRY_AFTER
        # Rounded up: who comes back too early is refused again.
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(seconds))))
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, errors.UnsupportedEncoding):
        headers.append((b"accept-encoding", b"gzip"))
    if isinstance(error, errors.Unauthenticated):
        reason = "" if error.error is None else f', error="{error.error}"'
        headers.append((b"www-authenticate", f'Bearer realm="eventbus"{reason}'.encode()))
    return tuple(headers)
