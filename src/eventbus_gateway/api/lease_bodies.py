"""What clients say when they ask for events, and when they are done with some."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo

from eventbus_gateway.api.http import Request
from eventbus_gateway.api.json_body import json_body
from eventbus_gateway.errors import Fault, InvalidParameter
from eventbus_gateway.subscriptions.bodies import Body, expected, parsed
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

_MAX_TOKEN_BYTES = 64
"""Of a token with quotes, comma and some white space."""
_MAX_OTHER_BYTES = 16_384
_MAX_MEMBERS = 16
"""Enough for all that there are; each unknown one would make a fault of its own."""
_MAX_TOKENS = 100_000
"""The setting's own bound."""
_MAX_REASON = 1_000

B = TypeVar("B", bound=Body)


def _at_most(name: str) -> Callable[[float | None, ValidationInfo], float | None]:
    """A check against one of the settings."""

    def check(value: float | None, info: ValidationInfo) -> float | None:
        most = getattr(info.context, name)
        if value is not None and value > most:
            raise expected(f"expected at most {most:g}")
        return value

    return check


def _at_most_entries(name: str) -> Callable[[list[str] | None, ValidationInfo], list[str] | None]:
    """The same for a list."""

    def check(tokens: list[str] | None, info: ValidationInfo) -> list[str] | None:
        most = getattr(info.context, name)
        if tokens is not None and len(tokens) > most:
            raise expected(f"expected at most {most} entries")
        return tokens

    return check


LeaseSeconds = Annotated[float, AfterValidator(_at_most("max_lease_seconds")), Field(ge=1)]


class ReceiveBody(Body):
    """What a receive asks for.

    Args:
        max_events: events at the most; the default when empty.
        wait_seconds: how long to wait for the first one.
        lease_seconds: how long the client has for them; what the subscription says when empty.
        ack_tokens: events that the client is done with, as they came; no more than one receive hands out, since a
            receive is held while it waits, and its body with it.
    """

    max_events: Annotated[int | None, AfterValidator(_at_most("max_receive_events"))] = Field(None, ge=1)
    wait_seconds: Annotated[float, AfterValidator(_at_most("max_wait_seconds"))] = Field(0.0, ge=0)
    lease_seconds: LeaseSeconds | None = None
    ack_tokens: Annotated[
        Annotated[list[str], Field(max_length=_MAX_TOKENS, fail_fast=True)] | None,
        AfterValidator(_at_most_entries("max_receive_events")),
    ] = None


class AckBody(Body):
    """Which events a client is done with.

    Args:
        ack_tokens: as they came with the events.
    """

    ack_tokens: Annotated[
        list[str],
        Field(min_length=1, max_length=_MAX_TOKENS, fail_fast=True),
        AfterValidator(_at_most_entries("max_ack_tokens")),
    ]


class ReleaseBody(AckBody):
    """Which events others shall get.

    Args:
        delay_seconds: not before so many seconds.
    """

    delay_seconds: Annotated[float, AfterValidator(_at_most("max_lease_seconds"))] = Field(0.0, ge=0)


class ExtendBody(AckBody):
    """Which leases shall end so many seconds from now.

    Args:
        lease_seconds: sooner or later than they would.
    """

    lease_seconds: LeaseSeconds


class RejectBody(AckBody):
    """Which events shall be dead letters.

    Args:
        reason: what is told there about it.
    """

    reason: str = Field("", max_length=_MAX_REASON)


def receive_body(request: Request, settings: SubscriptionSettings) -> ReceiveBody:
    """What a receive asks for; an empty body leaves everything open.

    Raises:
        RequestError: see ``json_body``.
        InvalidParameter: with every fault; of several wrong tokens, the first.
    """
    document = json_body(request, _bytes_for(settings.max_receive_events)) if request.body else {}
    return _understood(ReceiveBody, document, settings)


def settle_body(kind: type[B], request: Request, settings: SubscriptionSettings) -> B:
    """What a client says of events.

    Args:
        kind: what the body must be.
        request: a whole request.
        settings: bounds.

    Raises:
        RequestError: see ``json_body``.
        InvalidParameter: with every fault; of several wrong tokens, the first.
    """
    return _understood(kind, json_body(request, _bytes_for(settings.max_ack_tokens)), settings)


def _bytes_for(tokens: int) -> int:
    return tokens * _MAX_TOKEN_BYTES + _MAX_OTHER_BYTES


def _understood(kind: type[B], document: object, settings: SubscriptionSettings) -> B:
    if isinstance(document, dict) and len(document) > _MAX_MEMBERS:
        sentence = f"expected at most {_MAX_MEMBERS} members"
        raise InvalidParameter("The body has too many members.", [Fault("", sentence)])
    return parsed(kind, document, settings, refusal=InvalidParameter)
