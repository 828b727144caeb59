"""Errors that another replica has answered with, as if they had been raised here."""

import logging
from collections.abc import Iterator

import orjson

from eventbus_gateway.errors import (
    CorruptRecord,
    GatewayError,
    InternalError,
    OutcomeUnknown,
    OwnerUnavailable,
    Throttled,
    Unavailable,
)

logger = logging.getLogger(__name__)

_LONGEST_RETRY_SECONDS = 60.0


def _with_descendants(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    if "code" in vars(kind):
        yield kind
    for child in kind.__subclasses__():
        yield from _with_descendants(child)


# What a shard can raise. Anything else is between the replicas: a client has no part in it.
_OF_SHARDS = {
    kind.code: kind
    for root in (Unavailable, Throttled, OutcomeUnknown, CorruptRecord, InternalError)
    for kind in _with_descendants(root)
}


def answered_error(body: bytes, retry_after: str | None) -> GatewayError:
    """The error in a problem document of another replica.

    Args:
        body: the document.
        retry_after: its header of that name.
    """
    try:
        problem = orjson.loads(body)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        code, detail = "unknown", ""
    kind = _OF_SHARDS.get(code)
    if kind is not None:
        return kind(detail, retry_after=_seconds(retry_after))
    if code == "unauthenticated":
        logger.error("another replica refuses this one: subscriptions.peer_secret is not the same there")
    else:
        logger.error("another replica refuses what this one asks: %.50s", code)
    return OwnerUnavailable("The replica that serves a part of the subscription refuses this one.", retry_after=1.0)


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.isdigit():
        return None
    return min(float(retry_after[:9]), _LONGEST_RETRY_SECONDS)
