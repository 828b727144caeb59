"""The secrets that sign a subscription's webhooks: shown once when they are made, and changed with an overlap."""

import secrets
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr

from eventbus_gateway.base64_text import base64_text
from eventbus_gateway.subscriptions.bodies import Body
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.vault import legible
from eventbus_gateway.subscriptions.webhook_auth import Secret

_BYTES = 32
_MOST = 4
"""Of one subscription; a rotation beyond that forgets the one that would have ended first."""


class SigningSecret(Body):
    """One secret.

    Args:
        secret: ``whsec_`` and base64.
        until: milliseconds since the epoch from which on it does not sign any more; None for the present one.
    """

    secret: Secret = None
    until: int | None = None


def fresh() -> SigningSecret:
    """A new one of 256 bits, in the form of Standard Webhooks."""
    text = f"whsec_{base64_text(secrets.token_bytes(_BYTES))}"
    return SigningSecret.model_construct(secret=SecretStr(text), until=None)


def rotated(before: Sequence[SigningSecret], now: int, overlap: int) -> tuple[SigningSecret, ...]:
    """A new secret in front of those that still sign for a while; one that cannot be had does not sign any more.

    Args:
        before: the present ones, the newest first.
        now: milliseconds since the epoch.
        overlap: milliseconds for which the former one signs beside the new one.
    """
    end = now + overlap
    kept = [
        each.model_copy(update={"until": end if each.until is None else min(each.until, end)})
        for each in before
        if legible(each.secret) is not None and (each.until is None or each.until > now)
    ]
    return (fresh(), *(kept if overlap > 0 else ()))[:_MOST]


def shown(signing: Sequence[SigningSecret], now: int) -> list[dict[str, Any]]:
    """What the owner is told of secrets: how many sign, and until when; never what they are."""
    return [
        {"until": None if each.until is None else timestamp(each.until)}
        for each in signing
        if each.until is None or each.until > now
    ]
