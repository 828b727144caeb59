"""How much a principal may publish, with a clock that moves when a test says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.limits import EventLimits
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import RateLimited

A, B = Principal("a"), Principal("b")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _wait(limits: EventLimits, events: int, principal: Principal = A) -> float:
    with pytest.raises(RateLimited) as refused:
        limits.take(principal, events)
    assert refused.value.retry_after is not None
    return refused.value.retry_after


def test_without_a_rate_there_is_no_limit(clock: Clock) -> None:
    limits = EventLimits(None, 1, clock)
    for _ in range(1_000):
        limits.take(A, 1_000)


def test_a_bucket_empties_by_events_and_fills_with_time(clock: Clock) -> None:
    limits = EventLimits(2.0, 10, clock)
    limits.take(A, 10)
    assert _wait(limits, 1) == 0.5
    clock.now += 0.5
    limits.take(A, 1)
    assert _wait(limits, 4) == 2.0


def test_a_bucket_never_holds_more_than_its_burst(clock: Clock) -> None:
    limits = EventLimits(2.0, 10, clock)
    limits.take(A, 1)
    clock.now += 1_000
    limits.take(A, 10)
    assert _wait(limits, 1) == 0.5


def test_a_refused_request_takes_nothing(clock: Clock) -> None:
    limits = EventLimits(1.0, 10, clock)
    limits.take(A, 8)
    for _ in range(100):
        assert _wait(limits, 3) == 1.0
    limits.take(A, 2)


def test_a_request_beyond_the_burst_passes_a_full_bucket_and_leaves_a_debt(clock: Clock) -> None:
    limits = EventLimits(10.0, 10, clock)
    limits.take(A, 100)
    assert _wait(limits, 1) == pytest.approx(9.1)
    clock.now += 9.1
    limits.take(A, 1)
    assert _wait(limits, 100) == pytest.approx(1.0)


def test_every_principal_has_a_bucket_of_its_own(clock: Clock) -> None:
    limits = EventLimits(1.0, 1, clock)
    limits.take(A, 1)
    limits.take(B, 1)
    assert _wait(limits, 1, B) == 1.0


def test_the_message_says_the_rate_and_the_wait(clock: Clock) -> None:
    limits = EventLimits(2.0, 4, clock)
    limits.take(A, 4)
    with pytest.raises(RateLimited) as refused:
        limits.take(A, 3)
    assert "2 events a second" in str(refused.value)
    assert "1.5 s" in str(refused.value)


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), min_size=1, max_size=50),
)
def test_nobody_publishes_more_than_a_burst_and_the_rate_allow(
    rate: float, burst: int, requests: list[tuple[float, int]]
) -> None:
    clock = Clock()
    limits = EventLimits(rate, burst, clock)
    started, passed, largest = clock.now, 0, 0
    for pause, events in requests:
        clock.now += pause
        try:
            limits.take(A, events)
        except RateLimited:
            continue
        passed += events
        largest = max(largest, events)
    # A request that is larger than the bucket is paid for afterwards, so at the most one of them is open.
    assert passed <= burst + (clock.now - started) * rate + max(0, largest - burst) + 1e-6


@given(st.floats(0.1, 1_000), st.integers(1, 100), st.integers(1, 300), st.integers(1, 300))
def test_who_waits_as_told_is_let_in(rate: float, burst: int, first: int, second: int) -> None:
    clock = Clock()
    limits = EventLimits(rate, burst, clock)
    limits.take(A, first)
    try:
        limits.take(A, second)
    except RateLimited as refused:
        clock.now += (refused.retry_after or 0.0) + 1e-6
        limits.take(A, second)
