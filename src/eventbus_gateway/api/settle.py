"""``ack``, ``release``, ``extend`` and ``reject`` below ``/v1/subscriptions/{name}``: say what became of events."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.lease_bodies import AckBody, ExtendBody, RejectBody, ReleaseBody, settle_body
from eventbus_gateway.api.leasing import FindOwn, Shards
from eventbus_gateway.api.problems import problem
from eventbus_gateway.errors import GatewayError, InvalidAckToken, LeaseLost
from eventbus_gateway.subscriptions.calls import Settling, Verb
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.tokens import parse_all

_OK = Outcome.OK
_NO_TOKEN = InvalidAckToken("This is no ack token.")
_REASONS: Mapping[Outcome, GatewayError] = {
    Outcome.STALE: LeaseLost("The event was handed out again, or the subscription has changed or moved since."),
    Outcome.EXPIRED: LeaseLost("The lease has ended."),
    Outcome.SETTLED: LeaseLost("The event was acked or rejected before."),
    Outcome.UNKNOWN: InvalidAckToken("The subscription has handed out no event with this token."),
}
# A client whose answer was lost asks the same again. Giving back or extending what is settled is something else.
_MAY_BE_SETTLED = frozenset({Verb.ACK, Verb.REJECT})


class Failure(NamedTuple):
    """Why nothing became of a token.

    Args:
        place: its index in the request.
        error: the reason.
    """

    place: int
    error: GatewayError


class Settle:
    """Takes back what callers say of the events that they were handed.

    Args:
        own: finds the caller's subscription.
        shards: where the events came from.
        settings: bounds.
    """

    def __init__(self, own: FindOwn, shards: Shards, settings: SubscriptionSettings) -> None:
        self._own = own
        self._shards = shards
        self._settings = settings

    async def ack(self, request: Request) -> Answer:
        """The caller is done with events.

        Raises:
            GatewayError: see ``settle_body`` and ``FindOwn``; so do the others.
        """
        body = settle_body(AckBody, request, self._settings)
        return await self._settle(request, body.ack_tokens, Settling(Verb.ACK, ()))

    async def release(self, request: Request) -> Answer:
        """Others shall get events."""
        body = settle_body(ReleaseBody, request, self._settings)
        return await self._settle(request, body.ack_tokens, Settling(Verb.RELEASE, (), body.delay_seconds))

    async def extend(self, request: Request) -> Answer:
        """The caller needs another time for events."""
        body = settle_body(ExtendBody, request, self._settings)
        return await self._settle(request, body.ack_tokens, Settling(Verb.EXTEND, (), body.lease_seconds))

    async def reject(self, request: Request) -> Answer:
        """Events shall be dead letters."""
        body = settle_body(RejectBody, request, self._settings)
        return await self._settle(request, body.ack_tokens, Settling(Verb.REJECT, (), reason=body.reason))

    async def _settle(self, request: Request, tokens: Sequence[str], settling: Settling) -> Answer:
        subscription = await self._own(request)
        failed = await failures(self._shards, subscription, tokens, settling)
        return settled(len(tokens), failed, request.path)


async def failures(
    shards: Shards, subscription: Subscription, tokens: Sequence[str], settling: Settling
) -> Sequence[Failure]:
    """Do what a caller says of events; gives the tokens of which nothing became, in their order.

    Args:
        shards: where the events came from.
        subscription: the caller's own.
        tokens: what the caller was given with them.
        settling: what became of them; its references are filled in.
    """
    parsed = parse_all(tokens)
    references = list(filter(None, parsed))
    outcomes: Sequence[Outcome | GatewayError] = ()
    if references:
        outcomes = await shards.settle(subscription, settling._replace(references=references))
    if outcomes.count(_OK) == len(tokens):
        return ()
    found = [Failure(index, _NO_TOKEN) for index, reference in enumerate(parsed) if reference is None]
    known = [index for index, reference in enumerate(parsed) if reference is not None]
    for index, outcome in zip(known, outcomes, strict=True):
        if outcome is not _OK and (error := failed(settling.verb, outcome)) is not None:
            found.append(Failure(index, error))
    return sorted(found, key=lambda failure: failure.place)


def failed(verb: Verb, outcome: Outcome | GatewayError) -> GatewayError | None:
    """Why nothing became of a reference, None where it is done as asked.

    Args:
        verb: what was asked for.
        outcome: what the shard says.
    """
    if isinstance(outcome, GatewayError):
        return outcome
    if outcome is Outcome.OK or (outcome is Outcome.SETTLED and verb in _MAY_BE_SETTLED):
        return None
    return _REASONS[outcome]


def settled(count: int, failures: Sequence[Failure], instance: str) -> Answer:
    """The answer to a request with tokens: a problem where all of them failed and share the reason.

    Args:
        count: how many tokens there were.
        failures: the failed ones in their order.
        instance: path of the request.
    """
    if len(failures) == count and len({failure.error.code for failure in failures}) == 1:
        members = {"failed": [_detail(failure) for failure in failures]} if count > 1 else {}
        return problem(_common([failure.error for failure in failures]), instance, members=members)
    return Answer(200, told(count, failures))


def told(count: int, failures: Sequence[Failure]) -> bytes:
    """What became of tokens, as JSON.

    Args:
        count, failures: see ``settled``.
    """
    return orjson.dumps({"succeeded": count - len(failures), "failed": [_detail(failure) for failure in failures]})


def _detail(failure: Failure) -> dict[str, Any]:
    error = failure.error
    return {"index": failure.place, "code": error.code, "detail": error.detail, "retryable": error.retryable}


def _common(errors: Sequence[GatewayError]) -> GatewayError:
    """One error for several of the same code; whoever waits as long as it says has waited long enough for all."""
    first = errors[0]
    if all(error.detail == first.detail for error in errors):
        return first
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    return type(first)(retry_after=max(waits, default=None))
