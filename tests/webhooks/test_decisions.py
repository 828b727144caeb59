"""What becomes of an event after an attempt."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.webhook_spec import Retry as RetrySpec
from eventbus_gateway.webhooks.decisions import (
    Cause,
    Decision,
    Disable,
    Done,
    Failure,
    GiveUp,
    Outcome,
    Policy,
    Retry,
    backoff,
    decide,
    exponential,
)

NOW = 1_700_000_000.0
ENDLESS = Policy(max_attempts=None, max_age_seconds=None)
POLICY = Policy(3, 100.0, first_backoff_seconds=2.0, max_backoff_seconds=10.0)


def almost_one() -> float:
    return 1 - 2**-53


def answered(status: int, retry_after: str | None = None) -> Outcome:
    return Outcome(status, None, retry_after)


def failed(failure: Failure) -> Outcome:
    return Outcome(None, failure)


def decided(outcome: Outcome, attempt: int = 1, age: float = 0.0, policy: Policy = POLICY) -> Decision:
    return decide(outcome, attempt, age, policy, NOW, lambda: 0.5)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
def test_any_2xx_is_done_also_at_the_last_moment(status: int) -> None:
    assert decided(answered(status), attempt=3, age=1e9) == Done()


def test_a_receiver_that_is_gone_disables_also_at_the_last_moment() -> None:
    assert decided(answered(410)) == decided(answered(410), attempt=3, age=1e9) == Disable()
    assert decided(answered(410), policy=Policy(on_client_error="dead_letter")) == Disable()


@pytest.mark.parametrize("failure", Failure)
def test_every_error_without_an_answer_is_tried_again(failure: Failure) -> None:
    for policy in (POLICY, POLICY._replace(on_client_error="dead_letter")):
        assert decided(failed(failure), policy=policy) == Retry(1.0, 0.0)


@pytest.mark.parametrize("status", [100, 301, 304, 500, 501, 502, 503, 504, 599, 700])
def test_every_other_answer_is_tried_again(status: int) -> None:
    for policy in (POLICY, POLICY._replace(on_client_error="dead_letter")):
        assert decided(answered(status), policy=policy) == Retry(1.0, 0.0)


@pytest.mark.parametrize("status", [400, 402, 403, 404, 406, 409, 411, 412, 413, 414, 415, 418, 422, 423, 431, 499])
def test_the_policy_says_what_becomes_of_an_event_that_was_refused_itself(status: int) -> None:
    assert decided(answered(status)) == Retry(1.0, 0.0)
    assert decided(answered(status), policy=Policy(on_client_error="dead_letter")) == GiveUp(Cause.CLIENT_ERROR)
    assert not answered(status).is_of_the_endpoint


@pytest.mark.parametrize("status", [401, 405, 407, 408, 421, 425, 429])
def test_a_4xx_about_the_endpoint_gives_no_event_up(status: int) -> None:
    assert decided(answered(status), policy=Policy(on_client_error="dead_letter")) == Retry(2.5, 0.0)
    assert answered(status).is_of_the_endpoint


def test_the_breaker_hears_of_what_every_event_would_have_met() -> None:
    of_the_endpoint = [status for status in range(100, 600) if answered(status).is_of_the_endpoint]
    clients = {401, 405, 407, 408, 421, 425, 429}
    assert set(of_the_endpoint) == {*range(100, 200), *range(300, 400), *clients, *range(500, 600)}
    assert all(failed(failure).is_of_the_endpoint for failure in Failure)


def test_the_pace_hears_of_overload() -> None:
    assert [status for status in range(100, 600) if answered(status).is_overload] == [408, 429, 502, 503, 504]
    assert [failure for failure in Failure if failed(failure).is_overload] == [Failure.TIMEOUT]


def test_the_last_attempt_is_the_last() -> None:
    assert isinstance(decided(answered(500), attempt=2), Retry)
    assert decided(answered(500), attempt=3) == GiveUp(Cause.MAX_ATTEMPTS)
    assert isinstance(decided(answered(500), attempt=1_000_000, policy=ENDLESS), Retry)


def test_no_attempt_begins_later_than_the_policy_allows() -> None:
    assert decided(answered(500), age=99.5) == Retry(0.5, 0.0)
    assert decided(answered(500), age=100.0) == GiveUp(Cause.MAX_AGE)
    assert decided(answered(503, "11"), age=90.0) == GiveUp(Cause.MAX_AGE)
    assert decided(answered(503, "10"), age=90.0) == Retry(10.0, 10.0)
    assert isinstance(decided(answered(500), age=1e12, policy=ENDLESS), Retry)


@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_asks_for_time_gets_it_for_all_of_its_events(status: int) -> None:
    assert decided(answered(status, "60")) == Retry(61.0, 60.0)
    assert decided(answered(status, "Tue, 14 Nov 2023 22:14:20 GMT")) == Retry(61.0, 60.0)
    assert decided(answered(status, "in a minute")) == Retry(1.0, 0.0)
    assert decided(answered(status, "999999"), policy=ENDLESS) == Retry(3_602.5, 3_600.0)


@pytest.mark.parametrize("status", [404, 500, 502])
def test_retry_after_of_any_other_answer_is_for_its_event_alone(status: int) -> None:
    assert decided(answered(status, "60")) == Retry(61.0, 0.0)


def test_the_bound_of_the_wait_doubles_up_to_its_own_bound() -> None:
    policy = ENDLESS._replace(first_backoff_seconds=2.0, max_backoff_seconds=10.0)
    assert [backoff(attempt, policy, lambda: 0.5) for attempt in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 5, 5, 5]
    assert backoff(10_000, policy, lambda: 0.0) == 0.0
    assert backoff(10_000, policy, almost_one) < 10.0


def test_every_wait_up_to_the_bound_is_as_likely_as_any_other() -> None:
    random = Random(1)
    waits = [backoff(3, POLICY, random.random) for _ in range(4_000)]
    for quarter in range(4):
        assert sum(quarter * 2 <= wait < quarter * 2 + 2 for wait in waits) == pytest.approx(1_000, rel=0.1)


@given(st.integers(1, 10**9), st.floats(0.1, 1e4), st.floats(1.0, 10.0), st.floats(0.1, 1e5))
def test_no_step_breaks_the_exponential(step: int, first: float, factor: float, cap: float) -> None:
    value = exponential(step, first, factor, cap)
    assert min(first, cap) <= value <= cap * (1 + 1e-9)
    assert value <= exponential(step + 1, first, factor, cap) * (1 + 1e-9)


@given(
    st.one_of(
        st.builds(answered, st.integers(100, 599), st.sampled_from([None, "0", "30", "x"])),
        st.builds(failed, st.sampled_from(Failure)),
    ),
    st.integers(1, 40),
    st.floats(0, 200),
    st.sampled_from([None, 1, 3, 12]),
    st.sampled_from([None, 1.0, 100.0]),
    st.floats(0, 1, exclude_max=True),
)
def test_a_retry_is_within_the_policy_whatever_happened(
    outcome: Outcome, attempt: int, age: float, most: int | None, oldest: float | None, chance: float
) -> None:
    policy = Policy(most, oldest)
    decision = decide(outcome, attempt, age, policy, NOW, lambda: chance)
    if isinstance(decision, Retry):
        asked = 30.0 if outcome.retry_after == "30" else 0.0
        assert most is None or attempt < most
        assert oldest is None or age + decision.delay_seconds <= oldest + 1e-9
        assert asked <= decision.delay_seconds <= asked + policy.max_backoff_seconds
        assert decision.pause_seconds in {0.0, asked}
    elif isinstance(decision, GiveUp):
        assert not outcome.is_success
        assert decision.cause is Cause.MAX_ATTEMPTS or oldest is not None
    else:
        assert decision == (Done() if outcome.is_success else Disable())


def test_the_policy_is_what_the_owner_has_said() -> None:
    said = RetrySpec.model_validate(
        {
            "maxAttempts": 7,
            "maxAgeSeconds": 70,
            "firstBackoffSeconds": 3,
            "maxBackoffSeconds": 30,
            "onClientError": "dead_letter",
        }
    )
    assert Policy.of(said) == Policy(7, 70.0, 3.0, 2.0, 30.0, "dead_letter")
    assert Policy.of(RetrySpec()) == Policy()
