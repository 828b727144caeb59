"""The pace at an endpoint: how many attempts may start, and when to ask again."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.breaker import BreakerSettings
from eventbus_gateway.webhooks.decisions import Failure, Outcome
from eventbus_gateway.webhooks.endpoint import Endpoint, Permit
from eventbus_gateway.webhooks.pacing import Pace, PaceSettings

OK, BUSY, BROKEN = Outcome(200), Outcome(429), Outcome(500)


def pace(max_in_flight: int = 64, rate: float | None = None, slow: float = 5.0) -> Pace:
    return Pace(PaceSettings(max_in_flight, rate, slow), 0.0)


def start(one: Pace, now: float) -> int:
    """Start all that may start."""
    count = one.allowance(now)
    for _ in range(count):
        one.started(now)
    return count


def rounds(one: Pace, number: int, now: float = 0.0) -> list[int]:
    """How many attempts started in each of several rounds, all of which succeed."""
    started = []
    for _ in range(number):
        started.append(start(one, now))
        for _ in range(started[-1]):
            one.succeeded(now, now + 1)
        now += 1
    return started


def test_it_begins_with_one_attempt_and_doubles_with_each_round_up_to_the_bound() -> None:
    assert rounds(pace(20), 7) == [1, 2, 4, 8, 16, 20, 20]


def test_overload_lowers_the_limit_once_per_round_and_it_grows_slowly_from_there() -> None:
    one = pace(64)
    rounds(one, 6)
    assert start(one, 10.0) == 64
    assert [one.overloaded(10.0, 11.0) for _ in range(64)] == [True, *[False] * 63]
    assert one.limit == pytest.approx(44.8)
    assert rounds(one, 4, 12.0) == [44, 45, 46, 47]


def test_an_answer_that_takes_too_long_is_overload() -> None:
    one = pace(slow=5.0)
    rounds(one, 4)
    limit = one.limit
    one.started(10.0)
    one.succeeded(10.0, 15.0)
    assert one.limit == limit
    one.started(16.0)
    one.succeeded(16.0, 21.1)
    assert one.limit == pytest.approx(limit * 0.7)


def test_a_failure_without_overload_changes_nothing() -> None:
    one = pace()
    rounds(one, 4)
    limit = one.limit
    one.started(10.0)
    one.ended(11.0)
    assert (one.limit, one.in_flight) == (limit, 0)


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    one = pace()
    rounds(one, 4)
    limit = one.limit
    for now in range(10, 100):
        one.started(float(now))
        one.succeeded(float(now), now + 0.5)
    assert one.limit == limit


def test_below_one_attempt_the_gaps_grow_and_shrink_again() -> None:
    one = pace()
    gaps = []
    now = 0.0
    for overloads in range(16):
        one.started(now)
        one.overloaded(now, now + 0.01)
        now += 0.01
        assert one.allowance(now) == 0
        at = one.next_at(now)
        assert at is not None
        gaps.append(at - now)
        assert one.allowance(at) == 1, overloads
        now = at
    assert gaps[:4] == pytest.approx([0.1 * (1 / 0.7**power - 1) for power in (1, 2, 3, 4)])
    assert gaps[-1] == pytest.approx(25.5)
    attempts = 0
    while one.limit < 1:
        one.started(now)
        one.succeeded(now, now + 0.01)
        attempts += 1
        now = one.next_at(now + 0.01) or now
    assert attempts < 120


def test_nothing_starts_in_a_pause_and_a_shorter_one_does_not_end_it() -> None:
    one = pace()
    one.pause(60.0)
    one.pause(30.0)
    assert (one.allowance(59.9), one.next_at(59.9)) == (0, 60.0)
    assert (one.allowance(60.0), one.next_at(60.0)) == (1, None)


def test_with_all_attempts_under_way_only_an_end_helps() -> None:
    one = pace(1, rate=1.0)
    one.started(0.0)
    assert (one.allowance(0.5), one.next_at(0.5)) == (0, None)
    one.abandoned()
    assert (one.allowance(0.5), one.next_at(0.5)) == (0, 1.0)
    assert one.allowance(1.0) == 1


def test_a_slow_start_begins_with_one_and_doubles() -> None:
    one = pace(16)
    rounds(one, 6)
    one.slow_start()
    assert rounds(one, 6, 100.0) == [1, 2, 4, 8, 16, 16]


def test_new_bounds_hold_at_once() -> None:
    one = pace(64)
    rounds(one, 8)
    one.settings = PaceSettings(5, None, 5.0)
    assert one.allowance(100.0) == 5
    one.settings = PaceSettings(64, 2.0, 5.0)
    assert one.allowance(100.0) == 1


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0, 7.0, 10.0, 333.0, 10_000.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_fixed_rate_is_kept_over_any_time_and_used_up(rate: float, seed: int) -> None:
    random = Random(seed)
    one = pace(1_000, rate)
    rounds_to_limit(one)
    now = begin = 1_000.0
    starts: list[float] = []
    while len(starts) < 1_500:
        for _ in range(start(one, now)):
            starts.append(now)
            one.succeeded(now, now)
        now = max(now, one.next_at(now) or now) + random.choice([0.0, 0.0, 0.2 / rate, 20 / rate])
    burst = max(1.0, rate / 10)
    for low in range(0, len(starts), 7):
        for high in range(low, len(starts), 31):
            assert high - low + 1 <= rate * (starts[high] - starts[low]) + burst + 1e-6
    assert begin <= starts[0]
    # Nobody who asks in time gets less than the rate.
    now, count = starts[-1], 0
    while count < 200:
        now = max(now, one.next_at(now) or now)
        got = start(one, now)
        assert got > 0
        count += got
        for _ in range(got):
            one.succeeded(now, now)
    assert now - starts[-1] <= 201 / rate


def rounds_to_limit(one: Pace) -> None:
    """Let the limit be as high as it may be, whatever the rate."""
    rate = one.settings.rate_per_second
    one.settings = one.settings._replace(rate_per_second=None)
    rounds(one, 12)
    one.settings = one.settings._replace(rate_per_second=rate)


@given(
    st.integers(0, 2**32),
    st.one_of(st.none(), st.floats(0.01, 10_000)),
    st.integers(1, 20),
    st.floats(1e-3, 1e9),
)
def test_whoever_asks_again_when_told_may_start(seed: int, rate: float | None, bound: int, begin: float) -> None:
    random = Random(seed)
    endpoint = Endpoint(PaceSettings(bound, rate, 1.0), BreakerSettings(), begin, random.random)
    now, under_way = begin, list[Permit]()
    for _ in range(100):
        allowance = endpoint.allowance(now)
        at = endpoint.next_at(now)
        assert allowance + len(under_way) <= bound
        if allowance:
            assert at is None
            under_way += [endpoint.start(now) for _ in range(random.randint(1, allowance))]
        elif at is not None:
            assert at > now
            assert endpoint.allowance(at) > 0 or endpoint.next_at(at) is not None or under_way
            now = at
        else:
            assert under_way
        while under_way and random.random() < 0.5:
            now += random.choice([0.0, 0.01, 2.0])
            outcome = random.choice([OK, OK, BUSY, BROKEN, Outcome(None, Failure.TIMEOUT)])
            permit = under_way.pop(random.randrange(len(under_way)))
            if random.random() < 0.1:
                endpoint.abandon(permit)
            else:
                endpoint.end(permit, now, outcome, random.choice([0.0, 3.0]))


def simulated(
    answer: Callable[[float], tuple[float, Outcome]], seconds: float, bound: int = 64
) -> tuple[int, int, Endpoint]:
    """How many attempts of an endless backlog succeed and how many do not, in the second half of a time.

    Args:
        answer: latency and outcome of an attempt that starts at a time.
        seconds: how long.
        bound: attempts under way at the most.
    """
    random = Random(1)
    endpoint = Endpoint(PaceSettings(bound, None, 7.5), BreakerSettings(), 0.0, random.random)
    under_way: list[tuple[float, int, Permit, Outcome]] = []
    now, number, counts = 0.0, 0, [0, 0]
    while now < seconds:
        for _ in range(endpoint.allowance(now)):
            latency, outcome = answer(now)
            number += 1
            under_way.append((now + latency, number, endpoint.start(now), outcome))
        at = endpoint.next_at(now)
        under_way.sort()
        if under_way and (at is None or under_way[0][0] <= at):
            now, _, permit, outcome = under_way.pop(0)
            endpoint.end(permit, now, outcome)
            if now > seconds / 2:
                counts[outcome.is_success] += 1
        else:
            assert at is not None
            now = at
    return counts[1], counts[0], endpoint


class Limited:
    """A receiver that takes so many per second and refuses the others at once, without saying when to come again."""

    def __init__(self, rate: float, latency: float) -> None:
        self.rate = rate
        self.latency = latency
        self._tokens, self._at = 1.0, 0.0

    def __call__(self, now: float) -> tuple[float, Outcome]:
        self._tokens = min(max(1.0, self.rate / 10), self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return self.latency, BUSY
        self._tokens -= 1
        return self.latency, OK


@pytest.mark.parametrize(("rate", "latency"), [(2.0, 0.005), (10.0, 0.005), (10.0, 0.2), (100.0, 0.02), (300.0, 0.1)])
def test_a_receiver_that_refuses_what_is_too_much_gets_most_of_what_it_takes(rate: float, latency: float) -> None:
    taken, refused, endpoint = simulated(Limited(rate, latency), 600.0)
    assert taken / 300 > rate * 0.45
    assert refused < taken * 0.2
    assert endpoint.breaker.is_closed


def test_a_receiver_that_is_well_gets_as_much_as_it_may() -> None:
    taken, _, endpoint = simulated(lambda _: (0.1, OK), 20.0)
    assert taken >= 0.99 * 64 * 10 * 10
    assert endpoint.pace.limit == 64


def test_a_receiver_that_is_down_gets_few_attempts_and_all_again_when_it_is_back() -> None:
    def answer(now: float) -> tuple[float, Outcome]:
        return (15.0, Outcome(None, Failure.TIMEOUT)) if now < 3_600 else (0.1, OK)

    _, failed, _ = simulated(answer, 3_600.0, 8)
    assert failed < 60
    taken, _, endpoint = simulated(answer, 4_000.0, 8)
    assert endpoint.pace.limit == 8
    assert taken > 8 * 10 * 60


def test_a_pace_is_what_the_owner_has_said() -> None:
    said = WebhookDelivery.model_validate(
        {"type": "webhook", "url": "https://a/", "maxInFlight": 7, "ratePerSecond": 2, "timeoutSeconds": 10}
    )
    assert PaceSettings.of(said) == PaceSettings(7, 2.0, 5.0)
