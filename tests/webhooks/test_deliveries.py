"""Deliveries of a shard: what is sent when, in which company, and what becomes of it."""

from random import Random
from typing import Any

import pytest

from eventbus_gateway.subscriptions.leases import Counts, Leases
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.breaker import BreakerSettings
from eventbus_gateway.webhooks.decisions import Cause, Disable, Done, Failure, GiveUp, Outcome, Retry
from eventbus_gateway.webhooks.deliveries import Deliveries, Request
from eventbus_gateway.webhooks.endpoint import Endpoint
from eventbus_gateway.webhooks.pacing import PaceSettings

OK, BROKEN, REFUSED, GONE = Outcome(200), Outcome(500), Outcome(400), Outcome(410)
EPOCH = 1_700_000_000.0


def delivery(**fields: Any) -> WebhookDelivery:
    return WebhookDelivery.model_validate({"type": "webhook", "url": "https://a/", **fields})


class Shard:
    """Deliveries of one partition, with a chance that is always a half and an endpoint that is warm."""

    def __init__(self, breaker: BreakerSettings | None = None, **fields: Any) -> None:
        wanted = delivery(**fields)
        self.supply: Supply[str] = Supply(0, 1, ["a"], Bounds(1_000, 10**6), wanted.order)
        self.supply.add("a", 0, 0, "")
        self.leases: Leases[str] = Leases(self.supply)
        never = BreakerSettings(failures_in_a_row=10**6, least_recent=10**6)
        self.endpoint = Endpoint(PaceSettings.of(wanted), breaker or never, 0.0, lambda: 0.5)
        self.deliveries: Deliveries[str] = Deliveries(self.leases, self.endpoint, wanted, lambda: 0.5)
        self.started: list[Request[str]] = []

    def offer(self, *keys: bytes | None) -> None:
        start = self.supply.position("a", 0)
        events = [Event(start + index, 0, key, 10, "") for index, key in enumerate(keys)]
        self.supply.offer("a", 0, events, start, start + len(events))

    def warm(self) -> None:
        """Let the pace allow all that the bounds do."""
        for number in range(12):
            permits = [self.endpoint.start(float(number)) for _ in range(self.endpoint.allowance(float(number)))]
            for permit in permits:
                self.endpoint.end(permit, float(number), OK)

    def start(self, now: float) -> list[list[int]]:
        """What starts, as offsets; ``started`` are the requests that started last."""
        requests = self.deliveries.start(now)
        self.started = requests or self.started
        return [offsets(request) for request in requests]


def offsets(request: Request[str]) -> list[int]:
    return [each.event.offset for each in request.events]


def test_a_request_that_is_taken_acks_its_event() -> None:
    shard = Shard()
    shard.offer(b"k", b"l")
    assert shard.start(0.0) == [[0]]
    assert shard.deliveries.end(shard.started[0], 1.0, EPOCH, OK) == [Done()]
    assert shard.supply.progress().__next__().watermark == 1
    assert shard.start(1.0) == [[1]]
    assert shard.start(1.0) == []


def test_a_failed_event_comes_again_at_its_time_and_holds_its_own_lane_alone() -> None:
    shard = Shard(maxInFlight=4)
    shard.warm()
    shard.offer(b"k", b"k", b"l", b"l")
    assert shard.start(20.0) == [[0], [2]]
    failed, other = shard.started
    assert shard.deliveries.end(failed, 20.5, EPOCH, BROKEN) == [Retry(2.5, 0.0)]
    shard.deliveries.end(other, 20.5, EPOCH, OK)
    assert shard.start(20.5) == [[3]]
    assert shard.deliveries.next_at(20.5) == 23.0
    assert shard.start(22.9) == []
    assert shard.start(23.0) == [[0]]
    (again,) = shard.started
    assert again.events[0].delivery_count == 2
    shard.deliveries.end(again, 23.5, EPOCH, OK)
    assert shard.start(23.5) == [[1]]


def test_a_lane_goes_on_when_the_event_that_was_given_up_is_stored_and_not_before() -> None:
    shard = Shard(retry={"maxAttempts": 2})
    shard.offer(b"k", b"k")
    shard.start(0.0)
    shard.deliveries.end(shard.started[0], 0.0, EPOCH, BROKEN)
    assert shard.start(10.0) == [[0]]
    assert shard.deliveries.end(shard.started[0], 11.0, EPOCH, BROKEN) == [GiveUp(Cause.MAX_ATTEMPTS)]
    assert shard.start(10_000.0) == []
    (dead,) = shard.leases.due_dead_letters(10_000.0, 10)
    assert (dead.leased.event.offset, dead.reason) == (0, "max_attempts: 500")
    assert shard.start(10_000.0) == []
    shard.leases.dead_lettered([dead.leased.reference])
    assert shard.start(10_000.0) == [[1]]


def test_an_age_is_that_since_the_first_attempt_began() -> None:
    shard = Shard(retry={"maxAgeSeconds": 10, "firstBackoffSeconds": 8})
    shard.offer(b"k")
    shard.start(100.0)
    assert shard.deliveries.end(shard.started[0], 101.0, EPOCH, BROKEN) == [Retry(4.0, 0.0)]
    shard.start(105.0)
    assert shard.deliveries.end(shard.started[0], 106.0, EPOCH, BROKEN) == [Retry(4.0, 0.0)]
    shard.start(110.0)
    assert shard.deliveries.end(shard.started[0], 110.0, EPOCH, BROKEN) == [GiveUp(Cause.MAX_AGE)]
    assert shard.leases.due_dead_letters(110.0, 1)[0].reason == "max_age: 500"


def test_what_was_settled_is_not_remembered() -> None:
    shard = Shard(format="batch", batch={"waitSeconds": 0}, retry={"maxAttempts": 3})
    shard.offer(*[b"k"] * 4)
    remembered = []
    for now, outcome in enumerate([REFUSED, BROKEN, OK, REFUSED, REFUSED, OK, OK]):
        for request in shard.deliveries.start(now * 100.0):
            shard.deliveries.end(request, now * 100.0, EPOCH, outcome)
        remembered.append(shard.deliveries.remembered)
        shard.leases.dead_lettered([dead.leased.reference for dead in shard.leases.due_dead_letters(now * 100.0, 10)])
    # All of the batch, then one after the other: acked, dead, acked, acked.
    assert remembered == [4, 4, 3, 3, 2, 1, 0]


def test_a_receiver_that_is_gone_gets_nothing_more_and_loses_nothing() -> None:
    shard = Shard()
    shard.offer(b"k")
    shard.start(0.0)
    assert shard.deliveries.end(shard.started[0], 0.0, EPOCH, GONE) == [Disable()]
    assert (shard.start(1e6), shard.deliveries.next_at(1e6)) == ([], None)
    assert shard.leases.counts() == Counts(ready=1, leased=0, delayed=0, blocked=0, dead_letters=0)
    shard.deliveries.update(delivery(maxInFlight=3))
    assert shard.start(1e6) == []
    shard.deliveries.update(delivery(url="https://b/"))
    assert shard.start(1e6) == [[0]]


@pytest.mark.parametrize("fields", [{}, {"format": "batch", "batch": {"waitSeconds": 0}}])
def test_a_probe_has_an_event_that_was_tried_least_so_that_one_that_always_fails_holds_nobody_else(
    fields: dict[str, Any],
) -> None:
    retry = {"firstBackoffSeconds": 0.1, "maxBackoffSeconds": 0.1}
    shard = Shard(BreakerSettings(failures_in_a_row=2), retry=retry, **fields)
    shard.offer(b"k")
    for now in (0.0, 1.0):
        assert shard.start(now) == [[0]]
        shard.deliveries.end(shard.started[0], now, EPOCH, BROKEN)
    shard.offer(b"l", b"l", b"m")
    assert shard.start(3.0) == []
    assert shard.start(4.0) == [[1]]
    assert shard.leases.counts().leased == 1
    shard.deliveries.end(shard.started[0], 4.0, EPOCH, OK)
    [first, *_] = shard.start(4.0)
    assert first[0] == 0
    assert shard.started[0].events[0].delivery_count == 3, "those that were not chosen were not tried"


def test_new_wishes_hold_for_what_starts_later() -> None:
    shard = Shard(maxInFlight=10, retry={"maxAttempts": 5})
    shard.warm()
    shard.offer(*[None] * 10)
    assert len(shard.start(20.0)) == 10
    shard.deliveries.update(delivery(maxInFlight=2, retry={"maxAttempts": 1}))
    for request in shard.started[:9]:
        assert shard.deliveries.end(request, 20.0, EPOCH, BROKEN) == [GiveUp(Cause.MAX_ATTEMPTS)]
    shard.offer(*[None] * 10)
    assert len(shard.start(20.0)) == 1


def test_an_endpoint_that_asks_for_time_gets_nothing_until_then() -> None:
    shard = Shard(maxInFlight=4)
    shard.warm()
    shard.offer(b"k", b"l")
    shard.start(20.0)
    shard.deliveries.end(shard.started[0], 20.0, EPOCH, Outcome(503, None, "60"))
    shard.deliveries.end(shard.started[1], 20.0, EPOCH, OK)
    shard.offer(b"m")
    assert (shard.start(79.9), shard.deliveries.next_at(79.9)) == ([], 80.0)
    assert shard.start(80.0) == [[2]]


def test_a_batch_takes_runs_of_keys_and_acks_them_together() -> None:
    shard = Shard(format="batch", batch={"maxEvents": 5, "waitSeconds": 0})
    shard.offer(b"k", b"l", b"k", b"k", b"l", b"m")
    assert shard.start(0.0) == [[0, 2, 3, 1, 4]]
    assert shard.start(0.0) == []
    assert shard.deliveries.end(shard.started[0], 0.0, EPOCH, OK) == [Done()] * 5
    assert shard.start(0.0) == [[5]]


def test_a_batch_waits_for_others_and_not_when_it_is_full() -> None:
    shard = Shard(format="batch", batch={"maxEvents": 3, "waitSeconds": 2}, maxInFlight=4)
    shard.warm()
    shard.offer(b"k")
    assert (shard.start(20.0), shard.deliveries.next_at(20.0)) == ([], 22.0)
    shard.offer(b"k")
    assert shard.start(21.9) == []
    assert shard.start(22.0) == [[0, 1]]
    shard.offer(b"l", b"m", b"l", b"n")
    assert shard.start(22.0) == [[2, 4, 3]]
    assert (shard.start(23.0), shard.deliveries.next_at(23.0)) == ([], 24.0)
    assert shard.start(24.0) == [[5]]


def test_what_does_not_fit_is_no_delivery() -> None:
    shard = Shard(format="batch", batch={"maxEvents": 4, "waitSeconds": 0})
    shard.offer(b"k", b"k", b"k", b"l")
    shard.start(0.0)
    shorter = shard.deliveries.shortened(shard.started[0], 2)
    assert offsets(shorter) == [0, 1]
    shard.deliveries.end(shorter, 0.0, EPOCH, OK)
    assert shard.start(0.0) == [[2, 3]]
    assert [each.delivery_count for each in shard.started[0].events] == [1, 1]
    assert offsets(shard.deliveries.shortened(shard.started[0], 0)) == [2]


def test_a_request_of_which_nothing_was_sent_never_was() -> None:
    shard = Shard()
    shard.offer(b"k")
    shard.start(0.0)
    shard.deliveries.abandon(shard.started[0])
    assert shard.start(0.0) == [[0]]
    assert shard.started[0].events[0].delivery_count == 1


@pytest.mark.parametrize("outcome", [REFUSED, BROKEN])
def test_events_of_a_batch_that_one_of_them_may_have_spoilt_are_sent_alone(outcome: Outcome) -> None:
    shard = Shard(
        format="batch",
        batch={"maxEvents": 5, "waitSeconds": 0},
        retry={"onClientError": "dead_letter", "maxAttempts": 2},
        maxInFlight=9,
    )
    shard.warm()
    shard.offer(b"k", b"k", b"l")
    assert shard.start(20.0) == [[0, 1, 2]]
    decisions = shard.deliveries.end(shard.started[0], 20.0, EPOCH, outcome)
    assert decisions == [Retry(2.5, 0.0)] * 3
    shard.offer(b"m", b"n")
    assert shard.start(22.5) == [[0], [2], [3, 4]]
    shard.deliveries.end(shard.started[0], 23.0, EPOCH, outcome)
    assert len(shard.leases.due_dead_letters(23.0, 10)) == 1
    shard.deliveries.end(shard.started[1], 23.0, EPOCH, OK)


@pytest.mark.parametrize("outcome", [Outcome(503), Outcome(429), Outcome(401), Outcome(None, Failure.TIMEOUT)])
def test_a_batch_that_an_endpoint_could_not_take_stays_together(outcome: Outcome) -> None:
    shard = Shard(format="batch", batch={"maxEvents": 5, "waitSeconds": 0})
    shard.offer(b"k", b"k", b"l")
    shard.start(0.0)
    shard.deliveries.end(shard.started[0], 0.0, EPOCH, outcome)
    assert shard.start(100.0) == [[0, 1, 2]]


class History:
    """Random histories of a shard against what each event has been through."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.most = self.random.choice([1, 2, 5])
        self.wanted = delivery(
            order=self.random.choice(["key", "key", "partition", "none"]),
            format=self.random.choice(["binary", "batch"]),
            maxInFlight=self.random.choice([1, 4, 16]),
            ratePerSecond=self.random.choice([None, None, 5]),
            retry={
                "maxAttempts": self.most,
                "maxAgeSeconds": self.random.choice([None, 20]),
                "maxBackoffSeconds": 30,
                "onClientError": self.random.choice(["retry", "dead_letter"]),
            },
        )
        if self.wanted.format == "batch":
            batch = {"maxEvents": 4, "waitSeconds": self.random.choice([0, 1])}
            self.wanted = delivery(
                **self.wanted.model_dump(by_alias=True, exclude={"batch", "type", "url"}), batch=batch
            )
        self.supply: Supply[str] = Supply(0, 1, ["a"], Bounds(40, 10**6), self.wanted.order)
        self.leases: Leases[str] = Leases(self.supply)
        self.breaker = BreakerSettings(
            failures_in_a_row=4, recent=10, least_recent=8, probes=self.random.choice([1, 2])
        )
        self.endpoint = Endpoint(PaceSettings.of(self.wanted), self.breaker, 0.0, self.random.random)
        self.deliveries = Deliveries(self.leases, self.endpoint, self.wanted, self.random.random)
        self.now = 0.0
        self.keys: dict[tuple[int, int], bytes | None] = {}
        self.attempts: dict[tuple[int, int], int] = {}
        self.not_before: dict[tuple[int, int], float] = {}
        self.ended: dict[tuple[int, int], str] = {}
        self.under_way: list[Request[str]] = []
        self.longest = 1
        for partition in range(2):
            self.supply.add("a", partition, 0, "")

    def place(self, leased: Any) -> tuple[int, int]:
        return leased.origin.partition, leased.event.offset

    def produce(self) -> None:
        for partition in range(2):
            start = self.supply.position("a", partition)
            keys = [self.random.choice([None, b"k", b"l", b"m"]) for _ in range(self.random.randint(0, 8))]
            events = [Event(start + index, 0, key, 10, "") for index, key in enumerate(keys)]
            end = self.supply.offer("a", partition, events, start, start + len(events))
            self.keys.update(((partition, event.offset), event.key) for event in events if event.offset < end)

    def lane(self, place: tuple[int, int]) -> object:
        if self.wanted.order == "none":
            return place
        if self.wanted.order == "partition":
            return place[0]
        return place if self.keys[place] is None else (place[0], self.keys[place])

    def start(self) -> None:
        for request in self.deliveries.start(self.now):
            self.under_way.append(request)
            self.was_started([self.place(each) for each in request.events])
            if len(request.events) > 1 and self.random.random() < 0.2:
                shorter = self.deliveries.shortened(request, self.random.randint(1, len(request.events)))
                self.under_way[-1] = shorter
            for each in self.under_way[-1].events:
                self.attempts[self.place(each)] = self.attempts.get(self.place(each), 0) + 1
                assert each.delivery_count == self.attempts[self.place(each)] <= self.most
        assert len(self.under_way) <= self.wanted.max_in_flight
        assert sum(request.permit.attempt.is_probe for request in self.under_way) <= self.breaker.probes

    def was_started(self, places: list[tuple[int, int]]) -> None:
        self.longest = max(self.longest, len(places))
        assert len(places) <= self.wanted.request.max_events
        before: set[tuple[int, int]] = set()
        elsewhere = {self.place(each) for request in self.under_way[:-1] for each in request.events}
        for place in places:
            assert place not in self.ended
            assert place not in elsewhere
            assert self.now >= self.not_before.get(place, 0.0)
            # All that is earlier in its lane is done with, or right before it in this request.
            for other in self.keys:
                if other < place and self.lane(other) == self.lane(place) and other not in self.ended:
                    assert other in before
            before.add(place)

    def end_some(self) -> None:
        for request in list(self.under_way):
            if self.now >= request.permit.started_at + self.wanted.timeout_seconds:
                self.end(request, Outcome(None, Failure.TIMEOUT))
        answers = [OK, OK, OK, BROKEN, REFUSED, Outcome(429, None, "3"), Outcome(None, Failure.TLS)]
        for _ in range(self.random.randint(0, 3)):
            if self.under_way:
                self.end(self.random.choice(self.under_way), self.random.choice(answers))

    def end(self, request: Request[str], outcome: Outcome) -> None:
        self.under_way.remove(request)
        if self.random.random() < 0.1:
            self.deliveries.abandon(request)
            for each in request.events:
                self.attempts[self.place(each)] -= 1
            return
        decisions = self.deliveries.end(request, self.now, EPOCH + self.now, outcome)
        for each, decision in zip(request.events, decisions, strict=True):
            place = self.place(each)
            assert isinstance(decision, Done) == outcome.is_success
            if isinstance(decision, Done):
                self.ended[place] = "acked"
            elif isinstance(decision, Retry):
                self.not_before[place] = self.now + decision.delay_seconds

    def store_dead_letters(self) -> None:
        for dead in self.leases.due_dead_letters(self.now, 3):
            if self.random.random() < 0.3:
                self.leases.dead_letter_failed(self.now, [dead.leased.reference], 2.0)
                continue
            assert self.ended.setdefault(self.place(dead.leased), "dead") == "dead"
            self.leases.dead_lettered([dead.leased.reference])

    def run(self) -> None:
        for _ in range(150):
            if self.random.random() < 0.3:
                self.produce()
            self.now += self.random.choice([0.0, 0.1, 1.0, 4.0])
            self.step()
        for _ in range(20_000):
            if len(self.ended) == len(self.keys):
                break
            # As whoever sends would do it: nothing but the time that it was told.
            at = self.deliveries.next_at(self.now)
            if not self.under_way and not self.leases.counts().dead_letters:
                assert at is not None, "stuck"
            self.now = self.now + 0.5 if self.under_way or at is None else max(self.now, at)
            self.step()
        assert set(self.ended) == set(self.keys)
        assert self.leases.counts() == Counts(0, 0, 0, 0, 0)
        assert [progress.watermark for progress in self.supply.progress()] == [
            self.supply.position("a", partition) for partition in range(2)
        ]

    def step(self) -> None:
        self.end_some()
        self.start()
        self.store_dead_letters()


@pytest.mark.parametrize("first_seed", range(0, 120, 20))
def test_any_history_keeps_the_order_loses_nothing_and_sends_nothing_early_or_too_often(first_seed: int) -> None:
    ends: set[str] = set()
    longest = 1
    for seed in range(first_seed, first_seed + 20):
        history = History(seed)
        try:
            history.run()
        except AssertionError as failure:
            failure.add_note(f"seed {seed}")
            raise
        ends |= set(history.ended.values())
        longest = max(longest, history.longest)
    assert (ends, longest) == ({"acked", "dead"}, 4)
