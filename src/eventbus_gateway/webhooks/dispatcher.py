"""Sends the events of one shard to their receiver: carries out what ``deliveries`` decides.

An event is done with when the receiver has answered 2xx, and only then.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from eventbus_gateway.errors import GatewayError, InternalError
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions.hand import EndpointStatus, Hand
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.timer import Timer
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.attempts import RecentAttempts, Tried
from eventbus_gateway.webhooks.breaker import BreakerSettings
from eventbus_gateway.webhooks.consent import Consent
from eventbus_gateway.webhooks.credentials import Credentials
from eventbus_gateway.webhooks.decisions import Decision, Disable, Done, Failure, GiveUp, Outcome, Retry
from eventbus_gateway.webhooks.deliveries import Deliveries, Request
from eventbus_gateway.webhooks.endpoint import Endpoint
from eventbus_gateway.webhooks.handshake import ORIGIN_HEADER, Permission
from eventbus_gateway.webhooks.heard import Heard
from eventbus_gateway.webhooks.outbound import Attempted, Outbound
from eventbus_gateway.webhooks.outcomes import is_unsent, outcome_of
from eventbus_gateway.webhooks.pacing import PaceSettings
from eventbus_gateway.webhooks.requests import Made, OutgoingOf, Requests
from eventbus_gateway.webhooks.rotating import RotatingSigner

_logger = logging.getLogger(__name__)

_TROUBLE_SECONDS = 1.0
"""After something of the gateway's own kept events from being sent."""
_LAST_SECONDS = 3.0
"""How long the end waits for answers that are under way; what is left comes again from the next owner."""

_BREAKER = BreakerSettings()
_BROKEN = Outcome(None, Failure.BROKEN)
_UNAUTHENTICATED = 401
_NO_SECRETS = "secrets_unusable"
_NO_CONSENT = "no_consent"
_OBSTACLES = frozenset({_NO_SECRETS, _NO_CONSENT})
# What became of an event, in the words that are used for events that are pulled.
_BECAME = {Done: "ack", GiveUp: "reject", Retry: "release", Disable: "release"}

Send = Callable[[Outbound], Awaitable[Attempted]]
Deliver = Callable[[Send, Outbound, str, Sequence[Leased[Consumed]]], Awaitable[Attempted]]
"""Makes an attempt for a subscription, by its full name, with these events."""


@dataclass(frozen=True, slots=True)
class Services:
    """What dispatchers work with, the same for all of one process.

    Args:
        send: makes one attempt.
        outgoing_of: what makes events of a topic's records.
        signer_of: signs for a subscription; None where its secrets cannot be used now.
        credentials_of: proves to a subscription's receiver who is calling.
        ask: asks a subscription's receiver whether it wants deliveries.
        origin: name of this system, which goes with deliveries to receivers that were asked.
        disable: told of a subscription whose receiver is gone for good.
        count: counts attempts for a subscription, by its full name, and by what came of them.
        took: notes how many seconds an attempt took.
        deliver: makes attempts in place of ``send`` alone, which it is given; None where nobody traces.
        breaker: when nothing is sent to an endpoint.
        clock: monotonic seconds, those of the leases.
        now: seconds since the epoch.
        random: a number of [0, 1) at each call.
    """

    send: Send
    outgoing_of: OutgoingOf
    signer_of: Callable[[Subscription], RotatingSigner | None]
    credentials_of: Callable[[Subscription], Credentials]
    ask: Callable[[Subscription, WebhookDelivery], Awaitable[Permission]]
    origin: str
    disable: Callable[[Subscription], None]
    count: Callable[[str, str], None]
    took: Callable[[float], None]
    deliver: Deliver | None = None
    breaker: BreakerSettings = _BREAKER
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


class _Sent(NamedTuple):
    """A request that came to its end.

    Args:
        request: what it carried.
        ids: the ids of its events.
        outcome: how it ended; None where the gateway kept it back.
    """

    request: Request[Consumed]
    ids: Sequence[str]
    outcome: Outcome | None


class Dispatcher:
    """The deliveries of one shard; see ``subscriptions.hand.Push``.

    To be made on the event loop.

    Args:
        subscription: whose shard.
        hand: its events.
        services: what it works with.
    """

    def __init__(self, subscription: Subscription, hand: Hand, services: Services) -> None:
        self._hand = hand
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._requests = Requests(subscription.id, services.outgoing_of, services.now)
        self._attempts = RecentAttempts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = Timer(services.clock, self.look)
        self._looking = False
        self._settled = False
        self._closed = False
        self._troubled_until = 0.0
        self._heard = Heard()
        self._consent = Consent(lambda delivery: services.ask(subscription, delivery), services.clock, self._answered)
        self.trouble: str | None = None
        """See ``Push.trouble``."""
        self._delivery = self._take_in(subscription)
        pace = PaceSettings.of(self._delivery)
        self._endpoint = Endpoint(pace, services.breaker, services.clock(), services.random)
        self._deliveries = Deliveries(hand.leases, self._endpoint, self._delivery, services.random)

    # What the shard tells and asks.

    def look(self) -> None:
        """See ``Push.look``."""
        if not self._looking and not self._closed:
            self._looking = True
            # Once for all that changes in this turn of the loop.
            self._loop.call_soon(self._go)

    def update(self, subscription: Subscription) -> None:
        """See ``Push.update``."""
        was_paused = self._subscription.control.paused
        self._delivery = self._take_in(subscription)
        self._deliveries.update(self._delivery)
        self._pace()
        if not subscription.control.paused:
            # Also where nothing was resumed: who changes a subscription at this moment keeps it from being paused.
            self._deliveries.disabled = False
            if was_paused:
                self._endpoint.begin_anew()
        self.look()

    def status(self) -> EndpointStatus:
        """See ``Push.status``."""
        services = self._services
        return self._heard.status(self._endpoint, self._deliveries.disabled, services.clock(), services.now())

    def attempts(self, limit: int) -> list[bytes]:
        """See ``Push.attempts``."""
        return [orjson.dumps(attempt.shown()) for attempt in self._attempts.latest(limit)]

    async def close(self) -> None:
        """See ``Push.close``."""
        self._end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
        self._cancel()

    def drop(self) -> None:
        """See ``Push.drop``."""
        self._end()
        self._cancel()

    # How requests begin.

    def _take_in(self, subscription: Subscription) -> WebhookDelivery:
        delivery = subscription.spec.delivery
        if not isinstance(delivery, WebhookDelivery):
            raise TypeError("only webhooks are dispatched")
        self._subscription = subscription
        # Made once: for owners with dots it takes a hash.
        self._name = subscription.full_name
        self._signer = self._services.signer_of(subscription) if delivery.signing != "none" else None
        self._credentials = self._services.credentials_of(subscription)
        return delivery

    def _go(self) -> None:
        if self._settled:
            # Once for all requests that have ended in this turn of the loop. It has us look, as we do.
            self._settled = False
            self._hand.changed()
        self._looking = False
        # Whoever resumes it, or becomes the owner, has it look again.
        if self._closed or self._subscription.control.paused or not self._hand.may():
            return
        now = self._services.clock()
        obstacle = self._obstacle()
        if obstacle is not None:
            self.trouble = obstacle
            self._timer.set(self._consent.seek(self._delivery) if obstacle == _NO_CONSENT else None)
            return
        if self.trouble in _OBSTACLES:
            self.trouble = None
        if now < self._troubled_until:
            self._timer.set(self._troubled_until)
            return
        for request in self._deliveries.start(now):
            self._begin(request)
        self._timer.set(self._deliveries.next_at(now))

    def _obstacle(self) -> str | None:
        """What has to be there before anything is sent, and is not."""
        if not self._credentials.is_usable or (self._delivery.signing != "none" and self._signer is None):
            return _NO_SECRETS
        return None if self._consent.is_given(self._delivery) else _NO_CONSENT

    def _answered(self) -> None:
        """The receiver has said whether it wants deliveries."""
        self._pace()
        self.look()

    def _pace(self) -> None:
        """Keep to the rate that the receiver allows, where it is lower than what the owner wants."""
        allowed, wanted = self._consent.rate_per_second, PaceSettings.of(self._delivery)
        if allowed is not None and self._delivery.handshake != "none":
            rate = min(allowed, wanted.rate_per_second or allowed)
            self._endpoint.pace.settings = wanted._replace(rate_per_second=rate)

    def _begin(self, request: Request[Consumed]) -> None:
        self._hand.counted("handed_out", len(request.events))
        task = self._loop.create_task(self._attempt(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One request.

    async def _attempt(self, request: Request[Consumed]) -> None:
        at, delivery = self._services.now(), self._delivery
        try:
            made = await self._requests.make(request.events, delivery)
            # From here on there is no other request: what did not fit can be under way in the next one at once.
            request = self._fitted(request, len(made.ids))
            sent = await self._sent(request, made, delivery)
        except GatewayError as error:
            # A schema that cannot be fetched now: no attempt, and nothing that the receiver has a part in.
            self._keep_back(request, error.code)
        # The rim of the task: an event that this code cannot cope with must not keep its place for ever, and what
        # fails again and again becomes a dead letter.
        except Exception:
            _logger.exception("a request of subscription %s could not be made", self._subscription.id)
            self._ended(_Sent(request, [""] * len(request.events), _BROKEN), at)
            self.trouble = InternalError.code
        else:
            if sent.outcome is None:
                self._keep_back(sent.request, "overloaded")
            else:
                self._ended(sent, at)

    def _fitted(self, request: Request[Consumed], count: int) -> Request[Consumed]:
        is_cut = self._hand.may() and count < len(request.events)
        return self._deliveries.shortened(request, count) if is_cut else request

    async def _sent(self, request: Request[Consumed], made: Made, delivery: WebhookDelivery) -> "_Sent":
        if not self._hand.may():
            return _Sent(request, made.ids, None)
        proof = self._credentials.fixed
        if proof is None and (proof := await self._credentials.headers()) is None:
            return _Sent(request, made.ids, Outcome(None, Failure.AUTHORIZATION))
        if delivery.handshake != "none":
            proof = {**proof, ORIGIN_HEADER: self._services.origin}
        outbound = self._requests.outbound(request.events, made.message, delivery, self._signer, proof)
        send, deliver = self._services.send, self._services.deliver
        attempt = send(outbound) if deliver is None else deliver(send, outbound, self._name, request.events)
        attempted = await attempt
        if is_unsent(attempted):
            return _Sent(request, made.ids, None)
        if attempted.status == _UNAUTHENTICATED:
            self._credentials.refused()
        self._services.took(attempted.seconds)
        return _Sent(request, made.ids, outcome_of(attempted))

    def _keep_back(self, request: Request[Consumed], code: str) -> None:
        """Nothing was sent, and the receiver has no part in it."""
        self.trouble = code
        self._troubled_until = self._services.clock() + _TROUBLE_SECONDS
        if self._hand.may():
            self._deliveries.abandon(request)
            self._settled = True
        else:
            self._endpoint.abandon(request.permit)
        self.look()

    def _ended(self, sent: "_Sent", at: float) -> None:
        request, outcome = sent.request, _BROKEN if sent.outcome is None else sent.outcome
        self._heard.note(outcome, self._services.now())
        self.trouble = None
        word = "success" if outcome.is_success else _word(outcome)
        self._services.count(self._name, word)
        # Another owner may have the events by now, whatever the receiver has said.
        if not self._hand.may():
            self._endpoint.abandon(request.permit)
            return
        now = self._services.clock()
        decisions = self._deliveries.end(request, now, self._services.now(), outcome)
        self._remember(sent, decisions, at, (now - request.permit.started_at) * 1_000)
        if isinstance(decisions[0], Disable):
            self._services.disable(self._subscription)
        self._settled = True
        self.look()

    def _remember(self, sent: "_Sent", decisions: Sequence[Decision], at: float, took_ms: float) -> None:
        outcome = _BROKEN if sent.outcome is None else sent.outcome
        tried = Tried.of(sent.request.events, sent.ids)
        self._attempts.add(tried, _milliseconds(at), took_ms, outcome, decisions)
        kinds = list(map(type, decisions))
        for kind in set(kinds):
            self._hand.counted(_BECAME[kind], kinds.count(kind))

    # How it ends.

    def _end(self) -> None:
        self._closed = True
        self._consent.close()
        self._timer.close()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _word(outcome: Outcome) -> str:
    """An unsuccessful outcome as a label of a closed set."""
    return f"{(outcome.status or 0) // 100}xx" if outcome.failure is None else outcome.failure.value


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
