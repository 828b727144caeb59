"""What is reported of intervals."""

import random

import pytest
from loadtests.histogram import Histogram
from loadtests.results import Interval, result_of_turns


def turn(what: str, us: float) -> Interval:
    """A turn of a thousand requests that take so many microseconds each."""
    return Interval(what, 1_000, 0.1, us / 1_000, Histogram({10: 1}))


def turns(number: int, ratio: float, slow: float) -> list[Interval]:
    """Turns on a machine that gets slower all the time, and at times is much slower for a moment."""
    chance = random.Random(1)
    found = []
    for at in range(number):
        us = (40 + at * 0.1) * (slow if chance.random() < 0.1 else 1.0)
        found.append(turn("gateway", us * ratio) if at % 2 else turn("floor", us))
    return found


@pytest.mark.parametrize("slow", [1.0, 2.0])
@pytest.mark.parametrize("ratio", [0.99, 1.0, 1.02])
def test_turns_tell_a_small_difference_whatever_the_machine_does_meanwhile(ratio: float, slow: float) -> None:
    line = result_of_turns("one", turns(201, ratio, slow), Histogram({10: 1}), 80.0)
    assert line.ratio == pytest.approx(ratio, abs=0.002)
    assert line.floor_us == pytest.approx(50, abs=2)
    assert line.events_per_second == 10_000


def test_a_first_and_a_last_turn_that_were_short_do_not_count() -> None:
    whole = turns(9, 1.0, 1.0)
    line = result_of_turns("one", [turn("gateway", 500), *whole, turn("gateway", 5)], Histogram({10: 1}), 80.0)
    assert line.ratio == pytest.approx(1.0, abs=0.001)
