"""What principals share: everything while there is plenty, by weight once there is not."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.accounts import Account, Stay
from eventbus_gateway.auth.limits import Limits
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import LimitSettings
from eventbus_gateway.auth.shares import Bounds, Holding, Shared
from eventbus_gateway.errors import Overloaded, RateLimited, Throttled, Unavailable


def holding(weight: int = 1) -> Holding:
    made = Holding()
    made.weight = weight
    return made


def filled(shared: Shared, mine: Holding) -> int:
    """How much one gets who asks for one more until there is no more."""
    with contextlib.suppress(RateLimited, Overloaded):
        while True:
            shared.take(mine, 1)
    return mine.amount


def test_who_is_alone_gets_all_but_the_reserve() -> None:
    assert filled(Shared("requests", 90, 100), holding()) == 90


def test_who_comes_later_finds_the_reserve_and_then_its_share_as_the_first_gives_back() -> None:
    shared, greedy, modest = Shared("requests", 90, 100), holding(), holding()
    filled(shared, greedy)
    for _ in range(10):
        shared.take(modest, 1)
    with pytest.raises(Overloaded):
        shared.take(modest, 1)
    for _ in range(45):
        shared.give_back(greedy, 1)
        with pytest.raises(RateLimited):
            shared.take(greedy, 1)
        filled(shared, modest)
    assert (greedy.amount, modest.amount) == (45, 45)


def test_who_has_given_everything_back_counts_no_more() -> None:
    shared, greedy, modest = Shared("requests", 90, 100), holding(), holding()
    for passing in [holding() for _ in range(20)]:
        shared.take(passing, 1)
        shared.give_back(passing, 1)
    for _ in range(10):
        shared.take(modest, 1)
    filled(shared, greedy)
    assert filled(shared, modest) == 20, "up to the bound, which is still within its half"


def test_shares_go_by_weight() -> None:
    shared, light, heavy = Shared("requests", 90, 100), holding(1), holding(8)
    filled(shared, light)
    for _ in range(100):
        filled(shared, heavy)
        if light.amount > 10:
            shared.give_back(light, 1)
    assert (light.amount, heavy.amount) == (10, 80)


def test_something_larger_than_a_share_passes_for_who_holds_nothing_but_not_beyond_the_bound() -> None:
    shared, large, other = Shared("bytes", 90, 100), holding(), holding()
    shared.take(other, 10)
    shared.take(large, 90)
    shared.give_back(other, 10)
    with pytest.raises(Overloaded):
        shared.take(other, 11)
    with pytest.raises(RateLimited):
        shared.take(large, 1)


@given(
    st.integers(1, 50),
    st.floats(0, 0.9),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 8)), max_size=80),
)
def test_the_bound_holds_and_who_is_within_its_share_is_only_refused_at_the_bound(
    most: int, reserve: float, weights: list[int], steps: list[tuple[int, int]]
) -> None:
    shared, holdings = Shared("requests", most * (1 - reserve), most), [holding(weight) for weight in weights]
    for who, amount in steps:
        mine = holdings[who % len(holdings)]
        before = [each.amount for each in holdings]
        if amount <= 0:
            shared.give_back(mine, back) if (back := min(-amount, mine.amount)) else None
            continue
        all_weights = sum(each.weight for each in holdings if each.amount or each is mine)
        try:
            shared.take(mine, amount)
        except RateLimited:
            assert mine.amount + amount > most * (1 - reserve) * mine.weight / all_weights
            assert before == [each.amount for each in holdings]
        except Overloaded:
            assert sum(before) + amount > most
            assert before == [each.amount for each in holdings]
        assert shared.used == sum(each.amount for each in holdings) <= most
    for mine in holdings:
        if mine.amount:
            shared.give_back(mine, mine.amount)
    filled(shared, holdings[0])
    assert shared.used == max(1, int(most * (1 - reserve))), "nothing of the others' weights is left behind"


# All of it together


SMALL = Bounds(10, 1_000, 100, 5_000, 10, 5)


def _limits() -> Limits:
    return Limits([LimitSettings(principal="*")], SMALL, 0.2)


def _under_way(account: Account, size: int, events: int, event_size: int) -> Stay:
    stay = account.enter(size)
    try:
        stay.publish(events, event_size)
    except Throttled:
        stay.end()
        raise
    return stay


@pytest.mark.parametrize(
    ("size", "events", "event_size", "passes"), [(1, 1, 1, 8), (200, 1, 1, 4), (1, 20, 1, 4), (1, 1, 1_000, 4)]
)
def test_requests_bytes_events_and_their_bytes_are_shared_each(
    size: int, events: int, event_size: int, passes: int
) -> None:
    shared = _limits()
    account = shared.account(Principal("greedy"))
    stays = [_under_way(account, size, events, event_size) for _ in range(passes)]
    with pytest.raises(RateLimited):
        _under_way(account, size, events, event_size)
    modest = shared.account(Principal("modest")).enter(size)
    modest.publish(events, event_size)
    for stay in [*stays, modest]:
        stay.end()
    pools = shared.pools
    assert [pools.requests.used, pools.bytes.used, pools.events.used, pools.event_bytes.used] == [0, 0, 0, 0]


@pytest.mark.parametrize(("is_stream", "passes"), [(False, 8), (True, 4)])
def test_reads_and_streams_are_shared(is_stream: bool, passes: int) -> None:
    shared = _limits()
    account = shared.account(Principal("greedy"))
    ends = [account.begin_read(is_stream=is_stream) for _ in range(passes)]
    with pytest.raises(RateLimited):
        account.begin_read(is_stream=is_stream)
    ends.append(shared.account(Principal("modest")).begin_read(is_stream=is_stream))
    for end in ends:
        end()
    assert (shared.pools.reads.used, shared.pools.streams.used, account.polls) == (0, 0, 0)


def test_who_changes_between_two_credentials_gets_one_share() -> None:
    shared = Limits(
        [LimitSettings(role="heavy", weight=9), LimitSettings(principal="*")], Bounds(20, 99, 99, 99, 99, 99), 0.5
    )
    other = shared.account(Principal("other")).enter(0)
    passed = 0
    for number in range(40):
        roles = frozenset({"heavy"}) if number % 2 else frozenset[str]()
        with contextlib.suppress(Throttled, Unavailable):
            shared.account(Principal("both", roles)).enter(0)
            passed += 1
    assert passed == 9, "what is free goes to anybody, and the reserve to nobody who has a share"
    other.end()
