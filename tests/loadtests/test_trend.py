"""A soak tells a leak from noise."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtests.soak import COUNTED, Sample, judge, table
from loadtests.trend import trend

FLAT = 1.0


def samples(**growing: float) -> list[Sample]:
    """Ten minutes: noise of some size in everything, and what grows by so much per minute."""
    chance = Random(7)
    names = ["memory", *(name.replace(" ", "_") for name in COUNTED)]
    noise = (0.8, 0.0, 2.0, 5.0, 0.5)
    return [
        Sample(
            float(second),
            tuple(
                100 + chance.gauss(0, 1) * width + growing.get(name, 0.0) * second / 60
                for name, width in zip(names, noise, strict=True)
            ),
        )
        for second in range(600)
    ]


def test_noise_is_no_leak() -> None:
    found = judge(samples(), 150, FLAT)
    assert found.faults == ()
    assert [one.samples for one in found.trends] == [450] * 5
    assert len(table(found.trends).splitlines()) == 6


def test_memory_that_grows_is_told() -> None:
    [fault] = judge(samples(memory=1.5), 150, FLAT).faults
    assert fault.startswith("memory grows by 1.")


@pytest.mark.parametrize("name", COUNTED)
def test_whatever_else_grows_is_told(name: str) -> None:
    [fault] = judge(samples(**{name.replace(" ", "_"): 4.0}), 150, FLAT).faults
    assert fault.startswith(f"{name} grow by ")


def test_one_thread_in_ten_minutes_is_no_growth_but_three_are() -> None:
    for per_minute, faults in ((0.1, 0), (0.4, 1)):
        assert len(judge(samples(threads=per_minute), 150, FLAT).faults) == faults


def test_what_grows_only_while_it_warms_up_is_no_leak() -> None:
    warming = [sample._replace(values=(100 + min(sample.at, 100.0), *sample.values[1:])) for sample in samples()]
    assert judge(warming, 150, FLAT).faults == ()
    assert len(judge(warming, 0, FLAT).faults) == 1


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="memory"):
        judge(samples()[:151], 150, FLAT)


@given(st.integers(2, 50), st.floats(-50, 50), st.floats(-1_000, 1_000))
def test_a_straight_line_is_found(count: int, per_minute: float, start: float) -> None:
    times = [float(second) for second in range(count)]
    found = trend("x", times, [start + per_minute * second / 60 for second in times])
    assert found.slope == pytest.approx(per_minute, abs=1e-6)
    assert found.growth == pytest.approx(per_minute * (count - 1) / 60, abs=1e-6)
    assert found.rises_by_more_than(1) is (found.growth > 1)
