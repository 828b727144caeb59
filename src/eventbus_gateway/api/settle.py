"""``ack``, ``release``, ``extend`` and ``reject`` below ``/v1/subscriptions/{name}``: say what became of events."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.lease_bodies import AckBody, ExtendBody, RejectBody, ReleaseBody, settle_body
from eventbus_gateway.api.leasing import FindOwn, Shards
from eventbus_gateway.api.problems import problem
from eventbus_gateway.errors import Fault, GatewayError, InvalidAckToken, InvalidParameter, LeaseLost
from eventbus_gateway.subscriptions.calls import Settling, Verb
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.references import Understood, understood
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.tokens import token_of

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
        ack_token: of the one event that this is about, None where the token stands for no other.
    """

    place: int
    error: GatewayError
    ack_token: str | None = None


class Settled(NamedTuple):
    """What became of tokens.

    Args:
        events: how many the tokens stand for; a text that is no token counts as one.
        failures: where nothing became of them, in the order of the tokens.
    """

    events: int
    failures: Sequence[Failure]


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
            GatewayError: see ``settle_body``, ``FindOwn`` and ``settle``; so do the others.
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
        most = self._settings.max_ack_tokens
        return answered(await settle(self._shards, subscription, tokens, settling, most), request.path)


async def settle(
    shards: Shards, subscription: Subscription, tokens: Sequence[str], settling: Settling, most: int
) -> Settled:
    """Do what a caller says of events.

    Args:
        shards: where the events came from.
        subscription: the caller's own.
        tokens: what the caller was given with them.
        settling: what became of them; its references are filled in.
        most: how many events they may stand for.

    Raises:
        InvalidParameter: they stand for more; nothing was done.
    """
    named = understood(tokens, most)
    if named is None:
        fault = Fault("/ackTokens", f"expected tokens of at most {most} events")
        raise InvalidParameter("The tokens stand for too many events.", [fault])
    references, counts = named
    outcomes: Sequence[Outcome | GatewayError] = ()
    if references:
        outcomes = await shards.settle(subscription, settling._replace(references=references))
    count = len(references) + counts.count(0)
    return Settled(count, () if outcomes.count(_OK) == count else _failures(named, outcomes, settling.verb))


def _failures(named: Understood, outcomes: Iterable[Outcome | GatewayError], verb: Verb) -> Sequence[Failure]:
    failures: list[Failure] = []
    each = zip(named.references, outcomes, strict=True)
    for place, count in enumerate(named.counts):
        if not count:
            failures.append(Failure(place, _NO_TOKEN))
        for reference, outcome in islice(each, count):
            if (error := failed(verb, outcome)) is not None:
                failures.append(Failure(place, error, token_of(reference) if count > 1 else None))
    return failures


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


def answered(settled: Settled, instance: str) -> Answer:
    """The answer to a request with tokens: a problem where all of them failed and share the reason.

    Args:
        settled: what became of them.
        instance: path of the request.
    """
    count, failures = settled
    if len(failures) == count and len({failure.error.code for failure in failures}) == 1:
        members = {"failed": list(map(_detail, failures))} if count > 1 else {}
        return problem(_common([failure.error for failure in failures]), instance, members=members)
    return Answer(200, told(settled))


def told(settled: Settled) -> bytes:
    """What became of tokens, as JSON."""
    count, failures = settled
    return orjson.dumps({"succeeded": count - len(failures), "failed": list(map(_detail, failures))})


def _detail(failure: Failure) -> dict[str, Any]:
    place, error, ack_token = failure
    detail = {"index": place, "code": error.code, "detail": error.detail, "retryable": error.retryable}
    return detail if ack_token is None else {"index": place, "ackToken": ack_token, **detail}


def _common(errors: Sequence[GatewayError]) -> GatewayError:
    """One error for several of the same code; whoever waits as long as it says has waited long enough for all."""
    first = errors[0]
    if all(error.detail == first.detail for error in errors):
        return first
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    return type(first)(retry_after=max(waits, default=None))
