"""Asks a receiver whether it wants deliveries (CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, section 4)."""

import re
from typing import NamedTuple

from eventbus_gateway.webhooks.outbound import Attempted, Outbound
from eventbus_gateway.webhooks.sender import Exchanges, Kept

_RATE = re.compile(r"[1-9][0-9]{0,8}")
_BODY_BYTES = 16_384

ORIGIN_HEADER = "webhook-request-origin"


class Permission(NamedTuple):
    """What a receiver has answered.

    Args:
        granted: whether it wants deliveries from this system.
        requests_per_minute: the rate that it allows; None where it sets no limit.
        attempted: what became of the request.
    """

    granted: bool
    requests_per_minute: int | None
    attempted: Attempted


async def handshake(
    sender: Exchanges,
    endpoint: str,
    url: str,
    origin: str,
    *,
    requests_per_minute: int | None,
    timeout_seconds: float,
) -> Permission:
    """Ask for permission to deliver; afterwards each delivery has to carry ``WebHook-Request-Origin`` as well.

    Args:
        sender: sends the request.
        endpoint: whose connections it takes.
        url: the very URL that deliveries go to.
        origin: DNS name of this system.
        requests_per_minute: the rate that is wished for, if any.
        timeout_seconds: how long it may take.
    """
    headers = {ORIGIN_HEADER: origin}
    if requests_per_minute is not None:
        headers["webhook-request-rate"] = str(requests_per_minute)
    answer = await sender.exchange("OPTIONS", Outbound(url, headers, b"", timeout_seconds, endpoint), _BODY_BYTES)
    attempted = answer.attempted
    # Consent is in the headers alone (4.2), but not in those of an answer that reports an error.
    if attempted.failure is not None or not 200 <= (attempted.status or 0) < 300:
        return Permission(False, None, attempted)
    return _permission(answer, origin, requests_per_minute)


def _permission(answer: Kept, origin: str, wished: int | None) -> Permission:
    attempted = answer.attempted
    allowed = answer.answered.values(b"webhook-allowed-origin")
    rates = answer.answered.values(b"webhook-allowed-rate")
    refused = Permission(False, None, attempted)
    if len(allowed) != 1 or len(rates) > 1 or allowed[0].strip().lower() not in {origin.lower(), "*"}:
        return refused
    # A receiver should name a rate and often does not; then it gets no more than what it was asked for.
    rate = rates[0].strip() if rates else str(wished or "*")
    if rate == "*":
        return Permission(True, None, attempted)
    return Permission(True, int(rate), attempted) if _RATE.fullmatch(rate) else refused
