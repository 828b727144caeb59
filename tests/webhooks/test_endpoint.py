"""Breaker and pace of an endpoint together."""

import pytest

from eventbus_gateway.webhooks.breaker import BreakerSettings
from eventbus_gateway.webhooks.decisions import Failure, Outcome
from eventbus_gateway.webhooks.endpoint import Endpoint, Permit
from eventbus_gateway.webhooks.pacing import PaceSettings

OK, BROKEN, REFUSED = Outcome(200), Outcome(500), Outcome(400)
BUSY, TIMEOUT = Outcome(429), Outcome(None, Failure.TIMEOUT)
BREAKER = BreakerSettings(failures_in_a_row=3, first_open_seconds=8.0)


def endpoint(bound: int = 16) -> Endpoint:
    """One that is warm at time 0: it takes as many attempts as its bound allows."""
    one = Endpoint(PaceSettings(bound, None, 5.0), BREAKER, -100.0, lambda: 0.5)
    for number in range(8):
        for permit in burst(one, -100.0 + number):
            one.end(permit, -100.0 + number, OK)
    return one


def burst(one: Endpoint, now: float) -> list[Permit]:
    return [one.start(now) for _ in range(one.allowance(now))]


def test_an_endpoint_that_is_there_again_begins_with_one_attempt() -> None:
    one = endpoint()
    permits = burst(one, 0.0)
    assert len(permits) == 16
    for permit in permits:
        one.end(permit, 0.0, BROKEN)
    assert (one.allowance(3.9), one.next_at(3.9)) == (0, 4.0)
    (probe,) = burst(one, 4.0)
    assert (one.allowance(5.0), one.next_at(5.0)) == (0, None)
    one.end(probe, 5.0, OK)
    started = []
    for now in (6.0, 7.0, 8.0):
        permits = burst(one, now)
        started.append(len(permits))
        for permit in permits:
            one.end(permit, now, OK)
    assert started == [1, 2, 4]


def test_probes_that_meet_overload_do_not_slow_what_comes_after_them() -> None:
    one = endpoint()
    for permit in burst(one, 0.0):
        one.end(permit, 1.0, TIMEOUT)
    limit, now = one.pace.limit, 1.0
    for _ in range(20):
        at = one.next_at(now)
        assert at is not None
        (probe,) = burst(one, at)
        now = at + 15
        one.end(probe, now, TIMEOUT)
    assert one.pace.limit == limit


def test_a_burst_that_was_refused_is_one_failure_and_refusals_in_a_row_are_many() -> None:
    one = endpoint()
    for permit in burst(one, 0.0):
        one.end(permit, 1.0, BUSY)
    assert one.breaker.allowance(1.0) is None
    for now in (2.0, 3.0):
        one.end(one.start(now), now + 0.5, BUSY)
    assert one.breaker.allowance(4.0) == 0


@pytest.mark.parametrize("outcome", [OK, REFUSED])
def test_an_event_that_was_refused_shows_that_the_endpoint_is_there(outcome: Outcome) -> None:
    one = endpoint()
    for each in (BROKEN, BROKEN, outcome, BROKEN, BROKEN):
        one.end(one.start(0.0), 0.0, each)
    assert one.breaker.allowance(0.0) is None
    one.end(one.start(0.0), 0.0, BROKEN)
    assert one.breaker.allowance(0.0) == 0
    one.end(one.start(4.0), 4.0, outcome)
    assert one.breaker.allowance(4.0) is None


def test_a_pause_and_an_open_breaker_both_have_to_be_over() -> None:
    one = endpoint()
    for permit in burst(one, 0.0):
        one.end(permit, 0.0, BROKEN, pause_seconds=2.0)
    assert (one.next_at(0.0), one.allowance(2.0)) == (4.0, 0)
    one.pace.pause(9.0)
    assert (one.next_at(0.0), one.allowance(4.0), one.allowance(9.0)) == (9.0, 0, 1)


def test_beginning_anew_closes_the_breaker_and_starts_slowly() -> None:
    one = endpoint()
    for permit in burst(one, 0.0):
        one.end(permit, 0.0, BROKEN)
    one.begin_anew()
    assert one.allowance(0.0) == 1
