"""What callers with limits are told of them (draft-ietf-httpapi-ratelimit-headers-09)."""

import math

from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.auth.settings import LimitSettings

_POLICY, _LEFT = b"ratelimit-policy", b"ratelimit"
# Section 3.1.2: requests are what is counted where no unit is said. Events have no registered one.
_UNITS = {"requests": "", "events": ';qu="events"', "bytes": ';qu="content-bytes"'}


def rate_limit_fields(account: Account) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer: each limit as a quota per time, and what is left of each.

    Args:
        account: of the caller, with at least one bucket.
    """
    forms = account.memo
    if forms is None:
        forms = account.memo = _forms(account.terms)
    policy, left = forms
    # Filled up when the request began, at the latest.
    tokens = tuple(max(0, int(bucket.tokens)) for bucket in account.buckets)
    return (_POLICY, policy), (_LEFT, left % tokens)


def _forms(terms: LimitSettings) -> tuple[bytes, bytes]:
    """The policy, and a form for what is left with one place per bucket, in the order of the account's."""
    rates = (
        ("requests", terms.requests_per_second, terms.burst_requests),
        ("events", terms.events_per_second, terms.burst_events),
        ("bytes", terms.bytes_per_second, terms.burst_bytes),
    )
    limited = [(name, rate, burst) for name, rate, burst in rates if rate is not None]
    # A bucket is a quota of what it holds, in the time in which it fills.
    policies = [
        f'"{name}";q={burst};w={max(1, math.ceil(burst / rate))}{_UNITS[name]}' for name, rate, burst in limited
    ]
    if terms.max_polls is not None:
        policies.append(f'"polls";q={terms.max_polls};qu="concurrent-requests"')
    return ", ".join(policies).encode(), ", ".join(f'"{name}";r=%d' for name, _, _ in limited).encode()
