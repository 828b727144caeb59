"""What the owner of a webhook does beside the resource: try it, look at its attempts, change its secret."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, Protocol

import orjson
from pydantic import Field

from eventbus_gateway.api.http import JSON, Answer, Request
from eventbus_gateway.api.json_body import json_body
from eventbus_gateway.api.own import Own
from eventbus_gateway.api.preconditions import etag, precondition
from eventbus_gateway.api.query import parameters
from eventbus_gateway.api.subscriptions import limit_in, no_parameters
from eventbus_gateway.errors import GatewayError, InvalidParameter
from eventbus_gateway.subscriptions.bodies import Body, parsed
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.lifecycle import Lifecycle
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.vault import legible
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.outbound import Attempted

DEFAULT_ATTEMPTS = 50
MAX_ATTEMPTS = 200
_MAX_BODY_BYTES = 4_096
_DAY_SECONDS = 86_400.0

Ping = Callable[[Subscription, str], Awaitable[Attempted]]
"""Sends one test event of an id to a subscription's receiver."""


class Shards(Protocol):
    """The shards of subscriptions, wherever they are; see ``subscriptions.routing.Routing``."""

    async def attempts(self, subscription: Subscription, limit: int) -> list[list[bytes] | GatewayError]: ...


class RotateBody(Body):
    """What an owner says about the change of a secret.

    Args:
        overlap_seconds: for how long the former secret signs beside the new one.
    """

    overlap_seconds: Annotated[float, Field(ge=0, le=30 * _DAY_SECONDS)] = _DAY_SECONDS


class Webhooks:
    """Answers for the webhooks of subscriptions.

    Args:
        own: finds the caller's subscription.
        lifecycle: carries out changes.
        shards: know the attempts.
        ping: sends a test event.
        new_id: makes ids of events.
    """

    def __init__(self, own: Own, lifecycle: Lifecycle, shards: Shards, ping: Ping, new_id: Callable[[], str]) -> None:
        self._own = own
        self._lifecycle = lifecycle
        self._shards = shards
        self._ping = ping
        self._new_id = new_id

    async def test(self, request: Request) -> Answer:
        """Send one event that says that it is a test, and tell what the receiver answered.

        Raises:
            InvalidParameter: the subscription has no webhook.
            GatewayError: see ``Own.allowed``.
        """
        no_parameters(request)
        subscription = await self._webhook(request)
        event_id = self._new_id()
        attempted = await self._ping(subscription, event_id)
        status, failure = attempted.status, attempted.failure
        document = {
            "delivered": failure is None and status is not None and 200 <= status < 300,
            "eventId": event_id,
            "status": status,
            "error": failure,
            "latencyMs": round(attempted.seconds * 1_000, 1),
        }
        return Answer(200, orjson.dumps(document))

    async def attempts(self, request: Request) -> Answer:
        """The latest attempts of all shards, the latest first.

        Raises:
            InvalidParameter: the subscription has no webhook, or the query cannot be used.
            GatewayError: see ``Own.allowed``, or no shard can be asked.
        """
        given = parameters(request.query, frozenset({"limit"}))
        limit = limit_in(given, DEFAULT_ATTEMPTS, MAX_ATTEMPTS)
        found = await self._shards.attempts(await self._webhook(request), limit)
        errors = [each for each in found if isinstance(each, GatewayError)]
        if len(errors) == len(found):
            raise errors[0]
        attempts = latest((each for each in found if not isinstance(each, GatewayError)), limit)
        troubles = [
            {"shard": number, "trouble": each.code}
            for number, each in enumerate(found)
            if isinstance(each, GatewayError)
        ]
        return Answer(200, orjson.dumps({"attempts": attempts, "missing": troubles}))

    async def rotate(self, request: Request) -> Answer:
        """Make a new signing secret, which is told this once.

        Raises:
            InvalidParameter: the subscription's requests are not signed, or the body is not understood.
            GatewayError: see ``Own.allowed`` and ``Lifecycle.rotate``.
        """
        no_parameters(request)
        condition = precondition(request)
        subscription = await self._webhook(request)
        if not subscription.signing:
            raise InvalidParameter("The requests of this subscription are not signed.")
        document: Any = json_body(request, _MAX_BODY_BYTES) if request.body else {}
        overlap = parsed(RotateBody, document, None, refusal=InvalidParameter).overlap_seconds
        kept = await self._lifecycle.rotate(subscription.owner, subscription.name, overlap, condition)
        until = kept.subscription.signing[1].until if len(kept.subscription.signing) > 1 else None
        body = {
            "signingSecret": signing_secret(kept.subscription),
            "formerSecretUntil": None if until is None else timestamp(until),
        }
        return Answer(200, orjson.dumps(body), JSON, ((b"etag", etag(kept.version)), (b"cache-control", b"no-store")))

    async def _webhook(self, request: Request) -> Subscription:
        subscription = await self._own.allowed(request)
        if not isinstance(subscription.spec.delivery, WebhookDelivery):
            raise InvalidParameter("The subscription has no webhook: its events are pulled.")
        return subscription


def signing_secret(subscription: Subscription) -> str | None:
    """The present signing secret, to be told to its owner when it was made."""
    return legible(subscription.signing[0].secret) if subscription.signing else None


def latest(shards: Iterable[Sequence[bytes]], limit: int) -> list[Any]:
    """The attempts of several shards that started last, the latest first.

    Args:
        shards: the attempts of each, as JSON objects.
        limit: number of attempts at the most.
    """
    attempts = [orjson.loads(each) for shard in shards for each in shard]
    # RFC 3339 in UTC with the same number of digits: texts sort as times do.
    return sorted(attempts, key=lambda attempt: str(attempt.get("at")), reverse=True)[:limit]
