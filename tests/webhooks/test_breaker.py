"""The breaker of an endpoint: when nothing is sent, and what opens and closes it."""

from random import Random

import pytest

from eventbus_gateway.webhooks.breaker import Breaker, BreakerSettings, Pass

SETTINGS = BreakerSettings(
    failures_in_a_row=3,
    recent=10,
    failure_share=0.5,
    least_recent=6,
    first_open_seconds=8.0,
    max_open_seconds=60.0,
    least_open_seconds=1.0,
    probes=2,
)


def breaker(chance: float = 0.5, settings: BreakerSettings = SETTINGS) -> Breaker:
    return Breaker(settings, lambda: chance)


def fail(one: Breaker, times: int = 1, now: float = 0.0) -> None:
    for _ in range(times):
        one.failed(one.start(), now)


def succeed(one: Breaker, times: int = 1) -> None:
    for _ in range(times):
        assert not one.succeeded(one.start())


def test_failures_in_a_row_open_it() -> None:
    one = breaker()
    fail(one, 2)
    succeed(one)
    fail(one, 2)
    assert (one.is_closed, one.allowance(0.0), one.next_at(0.0)) == (True, None, None)
    fail(one, now=10.0)
    assert (one.allowance(10.0), one.next_at(10.0)) == (0, 14.0)


def test_a_share_of_failures_opens_it_once_there_are_enough_attempts() -> None:
    one = breaker()
    for _ in range(2):
        fail(one)
        succeed(one)
    fail(one)
    assert one.allowance(0.0) is None
    fail(one)
    assert one.allowance(0.0) == 0


def test_attempts_long_ago_do_not_count() -> None:
    one = breaker()
    succeed(one, 100)
    for _ in range(2):
        fail(one, 2)
        succeed(one)
    assert one.allowance(0.0) is None
    fail(one)
    assert one.allowance(0.0) == 0


def test_open_it_lets_nothing_through_until_its_time_and_then_a_few_probes() -> None:
    one = breaker()
    fail(one, 3)
    assert one.allowance(3.999) == 0
    assert (one.allowance(4.0), one.next_at(4.0)) == (2, None)
    one.start()
    assert one.allowance(4.0) == 1
    one.start()
    assert (one.allowance(1_000.0), one.next_at(1_000.0)) == (0, None)


def test_a_probe_that_succeeds_closes_it() -> None:
    one = breaker()
    fail(one, 3)
    first, second = one.start(), one.start()
    assert one.succeeded(first)
    assert one.is_closed
    # What the other one says is about the time before.
    one.failed(second, 5.0)
    fail(one, 2)
    assert one.is_closed


def test_a_probe_that_fails_opens_it_for_longer_up_to_the_bound() -> None:
    one, now, waits = breaker(chance=1 - 2**-53), 0.0, []
    fail(one, 3)
    for _ in range(5):
        at = one.next_at(now)
        assert at is not None
        waits.append(at - now)
        now = at
        fail(one, now=now)
    assert waits == pytest.approx([8.0, 16.0, 32.0, 60.0, 60.0])


def test_the_open_time_is_anything_up_to_its_bound_but_never_nothing() -> None:
    one = breaker(chance=0.0)
    fail(one, 3)
    assert one.next_at(0.0) == 1.0


def test_an_endpoint_that_was_well_for_a_while_begins_with_short_open_times() -> None:
    one = breaker()
    fail(one, 3)
    fail(one, now=4.0)
    assert one.next_at(4.0) == 12.0
    assert one.succeeded(one.start())
    succeed(one, 4)
    fail(one, 3, now=20.0)
    assert one.next_at(20.0) == 36.0
    assert one.succeeded(one.start())
    succeed(one, 5)
    fail(one, 3, now=40.0)
    assert one.next_at(40.0) == 44.0


def test_attempts_from_before_it_opened_say_nothing() -> None:
    one = breaker()
    before = [one.start() for _ in range(6)]
    fail(one, 3)
    assert not one.succeeded(before[0])
    one.failed(before[1], 100.0)
    one.abandoned(before[2])
    assert not one.is_closed
    assert one.next_at(0.0) == 4.0
    assert one.allowance(4.0) == 2


def test_probes_that_hang_count_on_after_it_has_opened_again() -> None:
    one = breaker()
    fail(one, 3)
    hanging, failing = one.start(), one.start()
    one.failed(failing, 4.0)
    assert one.allowance(100.0) == 1
    one.failed(hanging, 100.0)
    assert one.allowance(100.0) == 2


def test_a_probe_of_which_nothing_was_sent_makes_room_for_another() -> None:
    one = breaker()
    fail(one, 3)
    one.start()
    one.abandoned(one.start())
    assert one.allowance(4.0) == 1


def test_somebody_can_close_it() -> None:
    one = breaker()
    fail(one, 3)
    fail(one, now=4.0)
    one.reset()
    assert one.allowance(4.0) is None
    fail(one, 3, now=4.0)
    assert one.next_at(4.0) == 8.0


@pytest.mark.parametrize("seed", range(20))
def test_no_history_lets_more_probes_through_or_any_attempt_while_it_is_open(seed: int) -> None:
    random = Random(seed)
    settings = SETTINGS._replace(probes=random.randint(1, 3))
    one = Breaker(settings, random.random)
    now, under_way, open_until, opened = 0.0, list[Pass](), None, 0
    for _ in range(2_000):
        now += random.choice([0.0, 0.1, 1.0, 5.0])
        was_closed = one.is_closed
        step = random.random()
        if step < 0.6:
            allowance = one.allowance(now)
            assert (allowance is None) == was_closed
            if allowance is None or allowance > 0:
                assert open_until is None or now >= open_until
                under_way.append(one.start())
                assert under_way[-1].is_probe == (not was_closed)
        elif under_way:
            ended = under_way.pop(random.randrange(len(under_way)))
            if step < 0.75:
                one.failed(ended, now)
            elif step < 0.95:
                closes = one.succeeded(ended)
                assert closes == (one.is_closed and not was_closed)
            else:
                one.abandoned(ended)
        assert sum(each.is_probe for each in under_way) <= settings.probes
        if one.is_closed:
            open_until = None
        elif (at := one.next_at(now)) is not None and at != open_until:
            assert settings.least_open_seconds <= at - now <= settings.max_open_seconds
            open_until, opened = at, opened + 1
    assert opened > 20
