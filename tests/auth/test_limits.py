"""How much a principal may do, with a clock that moves when a test says so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.auth.buckets import Bucket
from eventbus_gateway.auth.limits import Limits, limits
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings, LimitSettings
from eventbus_gateway.auth.shares import Bounds
from eventbus_gateway.errors import RateLimited

A, B = Principal("a"), Principal("b")
WIDE = Bounds(10**9, 10**9, 10**9, 10**9, 10**9, 10**9)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limit(principal: str | None = "*", role: str | None = None, **terms: object) -> LimitSettings:
    return LimitSettings.model_validate({"principal": principal, "role": role, **terms})


def made(clock: Clock, *terms: LimitSettings, most: int = 100) -> Limits:
    return Limits(terms, WIDE, 0.0, most, clock)


def take(bucket: Bucket, amount: int, clock: Clock) -> None:
    bucket.require(amount, clock.now)
    bucket.tokens -= amount


def wait_of(bucket: Bucket, amount: int, clock: Clock) -> float:
    with pytest.raises(RateLimited) as refused:
        bucket.require(amount, clock.now)
    assert refused.value.retry_after is not None
    return refused.value.retry_after


def publish(account: Account, events: int, size: int = 1) -> None:
    """A request from its beginning to its end."""
    stay = account.enter(size)
    try:
        stay.publish(events, events)
    finally:
        stay.end()


# Buckets


def test_a_bucket_empties_by_what_is_taken_and_fills_with_time(clock: Clock) -> None:
    bucket = Bucket("events", 2.0, 10, clock.now)
    take(bucket, 10, clock)
    assert wait_of(bucket, 1, clock) == 0.5
    clock.now += 0.5
    take(bucket, 1, clock)
    assert wait_of(bucket, 4, clock) == 2.0


def test_a_bucket_never_holds_more_than_its_burst(clock: Clock) -> None:
    bucket = Bucket("events", 2.0, 10, clock.now)
    take(bucket, 1, clock)
    clock.now += 1_000
    take(bucket, 10, clock)
    assert wait_of(bucket, 1, clock) == 0.5


def test_what_is_beyond_the_burst_passes_a_full_bucket_and_leaves_a_debt(clock: Clock) -> None:
    bucket = Bucket("events", 10.0, 10, clock.now)
    take(bucket, 100, clock)
    assert wait_of(bucket, 1, clock) == pytest.approx(9.1)
    assert bucket.debt_seconds(clock.now) == pytest.approx(9.0)
    clock.now += 9.1
    assert bucket.debt_seconds(clock.now) == 0.0
    take(bucket, 1, clock)
    assert wait_of(bucket, 100, clock) == pytest.approx(1.0)


def test_the_message_says_the_rate_and_the_wait(clock: Clock) -> None:
    bucket = Bucket("events", 2.0, 4, clock.now)
    take(bucket, 4, clock)
    with pytest.raises(RateLimited) as refused:
        bucket.require(3, clock.now)
    assert "2 events a second" in str(refused.value)
    assert "1.5 s" in str(refused.value)


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), min_size=1, max_size=50),
)
def test_nobody_gets_more_than_a_burst_and_the_rate_allow(
    rate: float, burst: int, requests: list[tuple[float, int]]
) -> None:
    clock = Clock()
    bucket = Bucket("events", rate, burst, clock.now)
    started, passed, largest = clock.now, 0, 0
    for pause, events in requests:
        clock.now += pause
        try:
            take(bucket, events, clock)
        except RateLimited:
            continue
        passed += events
        largest = max(largest, events)
    # A request that is larger than the bucket is paid for afterwards, so at the most one of them is open.
    assert passed <= burst + (clock.now - started) * rate + max(0, largest - burst) + 1e-6


@given(st.floats(0.1, 1_000), st.integers(1, 100), st.integers(1, 300), st.integers(1, 300))
def test_who_waits_as_told_is_let_in(rate: float, burst: int, first: int, second: int) -> None:
    clock = Clock()
    bucket = Bucket("events", rate, burst, clock.now)
    take(bucket, first, clock)
    try:
        take(bucket, second, clock)
    except RateLimited as refused:
        clock.now += (refused.retry_after or 0.0) + 1e-6
        take(bucket, second, clock)


# Accounts


@pytest.mark.parametrize(
    ("terms", "events", "size"),
    [
        ({"requests_per_second": 1, "burst_requests": 3}, 1, 1),
        ({"events_per_second": 5, "burst_events": 15}, 5, 1),
        ({"bytes_per_second": 1024, "burst_bytes": 3072}, 1, 1024),
    ],
)
def test_each_limit_stops_a_principal_and_lets_it_go_on_later(
    clock: Clock, terms: dict[str, Any], events: int, size: int
) -> None:
    account = made(clock, limit(**terms)).account(A)
    for _ in range(3):
        publish(account, events, size)
    with pytest.raises(RateLimited) as refused:
        publish(account, events, size)
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.now += 1.0
    publish(account, events, size)


def test_a_request_that_one_limit_refuses_takes_nothing_of_the_others(clock: Clock) -> None:
    account = made(
        clock, limit(requests_per_second=1, burst_requests=2, bytes_per_second=10, burst_bytes=1_024)
    ).account(A)
    account.enter(1_000).end()
    for _ in range(10):
        with pytest.raises(RateLimited, match="bytes"):
            account.enter(1_000)
    account.enter(1).end()
    with pytest.raises(RateLimited, match="requests"):
        account.enter(1)


def test_answers_count_as_bytes_and_are_paid_for_by_what_comes_next(clock: Clock) -> None:
    account = made(clock, limit(bytes_per_second=1_000, burst_bytes=2_000)).account(A)
    account.enter(0).end()
    account.spend(5_000)
    assert account.pause_seconds() == pytest.approx(3.0)
    with pytest.raises(RateLimited) as refused:
        account.enter(0)
    assert refused.value.retry_after == pytest.approx(3.0)
    clock.now += 3.0
    account.enter(0).end()


def test_polls_are_counted_as_long_as_they_last(clock: Clock) -> None:
    account = made(clock, limit(max_polls=2)).account(A)
    account.begin_poll()
    end = account.begin_read(is_stream=True)
    for begin in (account.begin_poll, lambda: account.begin_read(is_stream=False)):
        with pytest.raises(RateLimited):
            begin()
    end()
    account.begin_poll()
    assert account.polls == 2


def test_every_principal_has_buckets_of_its_own(clock: Clock) -> None:
    both = made(clock, limit(events_per_second=1.0, burst_events=1))
    publish(both.account(A), 1)
    publish(both.account(B), 1)
    with pytest.raises(RateLimited):
        publish(both.account(B), 1)


# Whose limits hold


def test_the_first_limits_that_fit_a_principal_hold_and_no_others(clock: Clock) -> None:
    terms = (
        limit("a", weight=2),
        limit(None, "ward", weight=3, max_polls=1),
        limit("b", weight=4),
        limit("*", weight=5),
    )
    found = made(clock, *terms)
    ward = frozenset({"x", "ward"})
    weights = [
        found.account(principal).terms.weight
        for principal in (Principal("a", ward), Principal("b", ward), Principal("c", ward), B, Principal("d"))
    ]
    assert weights == [2, 3, 3, 4, 5]
    assert found.account(Principal("a", ward)).terms.max_polls is None


def test_who_has_two_credentials_with_other_limits_gets_no_tokens_by_changing_between_them(clock: Clock) -> None:
    found = made(
        clock,
        limit(None, "slow", requests_per_second=1, burst_requests=5),
        limit("*", requests_per_second=1, burst_requests=10),
    )
    slow, plain = Principal("a", frozenset({"slow"})), Principal("a")
    passed = 0
    for _ in range(50):
        for principal in (slow, plain):
            try:
                found.account(principal).enter(0).end()
                passed += 1
            except RateLimited:
                pass
    assert passed == 5


def test_the_events_of_the_section_are_the_limit_of_those_whom_no_other_one_fits(clock: Clock) -> None:
    auth = AuthSettings(events_per_second=1, burst_events=2, limits=(limit("a"),))
    found = limits(auth, WIDE, clock)
    assert found is not None
    publish(found.account(A), 1_000)
    publish(found.account(B), 2)
    with pytest.raises(RateLimited):
        publish(found.account(B), 1)


def test_anonymous_callers_without_limits_cost_nothing() -> None:
    assert limits(AuthSettings(mode="anonymous"), WIDE) is None
    assert limits(AuthSettings(mode="anonymous", events_per_second=1), WIDE) is not None
    assert limits(AuthSettings(), WIDE) is not None


# What is remembered is bounded


def test_who_has_not_called_for_the_longest_time_is_forgotten_first(clock: Clock) -> None:
    found = made(clock, limit(requests_per_second=0.001, burst_requests=1), most=3)
    for name in ("a", "b", "c"):
        found.account(Principal(name)).enter(0).end()
    with pytest.raises(RateLimited):
        found.account(A).enter(0)
    found.account(Principal("d"))
    with pytest.raises(RateLimited):
        found.account(A).enter(0)
    found.account(B).enter(0).end()


def test_who_has_something_under_way_is_not_forgotten(clock: Clock) -> None:
    found = made(clock, limit(), most=2)
    first = found.account(A)
    stay = first.enter(0)
    for name in "bcdef":
        found.account(Principal(name))
    assert found.account(A) is first
    stay.end()
    second = found.account(B)
    second.begin_poll()
    for name in "cdefg":
        found.account(Principal(name))
    assert found.account(B) is second
    assert found.account(A) is not first


def test_limits_hold_for_who_comes_while_all_who_are_remembered_have_something_under_way(clock: Clock) -> None:
    found = made(clock, limit(requests_per_second=0.001, burst_requests=1), most=2)
    for one in (A, B):
        found.account(one).enter(0)
    found.account(Principal("c")).enter(0)
    with pytest.raises(RateLimited):
        found.account(Principal("c")).enter(0)
