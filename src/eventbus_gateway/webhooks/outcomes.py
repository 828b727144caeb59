"""What the sender says about an attempt, in the words of the decisions."""

from eventbus_gateway.webhooks.decisions import Failure, Outcome
from eventbus_gateway.webhooks.outbound import Attempted

_FAILURES = {
    "forbidden_url": Failure.BLOCKED,
    "forbidden_address": Failure.BLOCKED,
    "invalid_header": Failure.BLOCKED,
    "no_credential": Failure.AUTHORIZATION,
    "dns": Failure.DNS,
    "connect": Failure.CONNECT,
    "tls": Failure.TLS,
    "timeout": Failure.TIMEOUT,
    "reset": Failure.BROKEN,
    "truncated": Failure.BROKEN,
    "protocol": Failure.BROKEN,
}


def is_unsent(attempted: Attempted) -> bool:
    """Whether the gateway itself kept the request back, so that it was no attempt."""
    return attempted.failure == "busy"


def outcome_of(attempted: Attempted) -> Outcome:
    """How an attempt ended; a status whose answer did not come whole counts for nothing.

    Args:
        attempted: not ``is_unsent``.
    """
    if attempted.failure is not None:
        return Outcome(None, _FAILURES[attempted.failure])
    return Outcome(attempted.status, None, attempted.retry_after)
