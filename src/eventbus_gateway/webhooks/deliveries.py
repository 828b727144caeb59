"""The deliveries of one shard to its endpoint: which requests start when, and what becomes of their events.

Events come from the same leases as those of clients that pull: a request leases its events, and its end acks,
releases or rejects them. So order, bounds, positions and dead letters are those of ``Leases`` and ``Supply``; nothing
here holds an event. The number of an attempt is the number of its hand-out in this state of the shard.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple

from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.subscriptions.window import P
from eventbus_gateway.webhooks.ages import Ages, Place
from eventbus_gateway.webhooks.batches import Filling
from eventbus_gateway.webhooks.decisions import Decision, Disable, Done, GiveUp, Outcome, Policy, Retry, decide
from eventbus_gateway.webhooks.endpoint import Endpoint, Permit
from eventbus_gateway.webhooks.pacing import PaceSettings

_DONE = Done()
_PROBE_CHOICE = 100
"""Ready events among which a probe is chosen."""


class Request(NamedTuple, Generic[P]):
    """One request under way; given back exactly once, by ``end`` or ``abandon``.

    Args:
        events: what it carries, those of one lane in their order.
        permit: the endpoint's.
    """

    events: tuple[Leased[P], ...]
    permit: Permit


class Deliveries(Generic[P]):
    """Starts requests and settles their events.

    Times are seconds on the clock of the leases, save where they are said to be of the epoch.

    Args:
        leases: of the shard; without a limit of deliveries, since the policy decides.
        endpoint: how many requests may start.
        delivery: what the subscription's owner wants.
        random: a number of [0, 1) at each call.
    """

    def __init__(
        self, leases: Leases[P], endpoint: Endpoint, delivery: WebhookDelivery, random: Callable[[], float]
    ) -> None:
        self.disabled = False
        """The receiver is gone for good; nothing starts until somebody says otherwise."""
        self._leases = leases
        self._endpoint = endpoint
        self._random = random
        self._take_in(delivery)
        self._ages = Ages()
        # A batch of several failed, perhaps because of one of them. There are never more than unacked events.
        self._alone: set[Place] = set()

    @property
    def remembered(self) -> int:
        """Events of which something is known since they were tried and are not settled."""
        return max(len(self._ages), len(self._alone))

    def update(self, delivery: WebhookDelivery) -> None:
        """Go on as the subscription's owner wants it now; what is under way ends as it was begun."""
        if delivery.url != self._delivery.url:
            self.disabled = False
            self._endpoint.begin_anew()
        self._endpoint.pace.settings = PaceSettings.of(delivery)
        self._take_in(delivery)

    def start(self, now: float) -> list[Request[P]]:
        """Start all requests that may start now."""
        self._leases.advance(now)
        if self._filling.max_events == 1 and self._endpoint.breaker.is_closed:
            return self._singles(now)
        started: list[Request[P]] = []
        while not self.disabled and self._endpoint.allowance(now) > 0:
            at = self._filled_at(now)
            events = self._taken(now) if at is not None and at <= now else ()
            if not events:
                break
            self._filling.sent()
            started.append(Request(events, self._endpoint.start(now)))
        return started

    def next_at(self, now: float) -> float | None:
        """When ``start`` can have more to start if nothing arrives and nothing ends before; None if it cannot."""
        times = [self._leases.next_deadline()]
        filled = None if self.disabled else self._filled_at(now)
        if filled is not None:
            free = now if self._endpoint.allowance(now) else self._endpoint.next_at(now)
            times.append(None if free is None else max(free, filled))
        return min((at for at in times if at is not None), default=None)

    def shortened(self, request: Request[P], count: int) -> Request[P]:
        """The request with its first events only, before it is sent; the others are no deliveries of anything.

        Args:
            request: the request.
            count: how many events it keeps, at least one.
        """
        self._leases.take_back(request.events[max(1, count) :])
        return request._replace(events=request.events[: max(1, count)])

    def abandon(self, request: Request[P]) -> None:
        """Undo a request of which nothing was sent."""
        self._leases.take_back(request.events)
        self._endpoint.abandon(request.permit)

    def end(self, request: Request[P], now: float, epoch_now: float, outcome: Outcome) -> list[Decision]:
        """Settle the events of a request.

        Args:
            request: the request.
            now: the time.
            epoch_now: seconds since the epoch, for dates that the endpoint gave.
            outcome: how it ended.

        Returns:
            What was decided on each event.
        """
        if outcome.is_success:
            return self._all_done(request, now, outcome)
        events, begun = request.events, request.permit.started_at
        policy, chance = self._policy, self._random()
        if len(events) > 1:
            # Who of them was refused is not known before each was sent alone.
            policy = policy._replace(on_client_error="retry")
            if outcome.may_be_of_one_event:
                self._alone.update(Place.of(each.reference) for each in events)
        decisions: list[Decision] = []
        for each in events:
            age = now - self._ages.tried(Place.of(each.reference), begun)
            # One chance for all: what was sent together comes again together.
            decisions.append(decide(outcome, each.delivery_count, age, policy, epoch_now, lambda: chance))
        pauses = [decision.pause_seconds for decision in decisions if isinstance(decision, Retry)]
        self._endpoint.end(request.permit, now, outcome, max(pauses, default=0.0))
        for each, decision in zip(events, decisions, strict=True):
            self._settle(each, decision, now, outcome)
        return decisions

    def _take_in(self, delivery: WebhookDelivery) -> None:
        self._delivery = delivery
        self._policy = Policy.of(delivery.retry)
        self._filling = Filling(delivery.request.max_events, delivery.request.wait_seconds)

    def _singles(self, now: float) -> list[Request[P]]:
        """Start all requests of one event each, leased in one go: it takes half the time of one by one."""
        room = 0 if self.disabled else self._endpoint.allowance(now)
        if not room:
            return []
        delivery, start = self._delivery, self._endpoint.start
        leased = self._leases.receive(now, room, delivery.lease_seconds, delivery.request.max_bytes * room)
        return [Request((each,), start(now)) for each in leased]

    def _all_done(self, request: Request[P], now: float, outcome: Outcome) -> list[Decision]:
        events = request.events
        self._endpoint.end(request.permit, now, outcome)
        self._leases.done(events)
        if self.remembered:
            places = [Place.of(each.reference) for each in events]
            self._ages.settled(places)
            self._alone.difference_update(places)
        return [_DONE] * len(events)

    def _settle(self, leased: Leased[P], decision: Decision, now: float, outcome: Outcome) -> None:
        reference = leased.reference
        if isinstance(decision, Retry):
            self._leases.release(now, (reference,), decision.delay_seconds)
            return
        if isinstance(decision, Disable):
            self.disabled = True
            self._leases.release(now, (reference,), 0.0)
            return
        if isinstance(decision, Done):
            self._leases.ack((reference,))
        elif isinstance(decision, GiveUp):
            self._leases.reject((reference,), _reason(decision, outcome))
        self._ages.settled((Place.of(reference),))
        self._alone.discard(Place.of(reference))

    def _filled_at(self, now: float) -> float | None:
        most = self._filling.max_events
        if most == 1:
            return now if self._leases.supply.has_ready() else None
        return self._filling.due_at(self._leases.supply.at_hand(most, most), now)

    def _taken(self, now: float) -> tuple[Leased[P], ...]:
        if not self._endpoint.breaker.is_closed:
            return self._probe(now)
        request = self._delivery.request
        most = request.max_events
        events = self._leases.receive(now, most, self._delivery.lease_seconds, request.max_bytes, most)
        count = len(events)
        if self._alone:
            alone = (index for index, each in enumerate(events) if Place.of(each.reference) in self._alone)
            count = max(1, next(alone, count))
        self._leases.take_back(events[count:])
        return tuple(events[:count])

    def _probe(self, now: float) -> tuple[Leased[P], ...]:
        """An event that was tried least.

        One that fails whatever happens, with the lowest offset, would be every probe and keep all others waiting.
        """
        most_bytes = self._delivery.request.max_bytes * _PROBE_CHOICE
        events = self._leases.receive(now, _PROBE_CHOICE, self._delivery.lease_seconds, most_bytes)
        chosen = min(events, key=lambda each: each.delivery_count, default=None)
        self._leases.take_back(each for each in events if each is not chosen)
        return () if chosen is None else (chosen,)


def _reason(decision: GiveUp, outcome: Outcome) -> str:
    """What a dead letter says about its last attempt; nothing that the receiver wrote."""
    last = outcome.status if outcome.failure is None else outcome.failure.value
    return f"{decision.cause.value}: {last}"
