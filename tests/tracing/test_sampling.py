"""Who is traced, and that nobody can have everything traced."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.tracing.context import Context, context
from eventbus_gateway.tracing.sampling import Rate, Sampler
from eventbus_gateway.tracing.settings import TracingSettings

TRACE, SPAN = "0af7651916cd43ddf448eb211c80319c", "b7ad6b7169203331"
LOW = TRACE[:16] + "0" * 15 + "1"
SAMPLED, UNSAMPLED = Context(TRACE, SPAN, True), Context(TRACE, SPAN, False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sampler(clock: Clock | None = None, **fields: Any) -> Sampler:
    found = TracingSettings.model_validate({"max_traces_per_second": 100_000, **fields})
    return Sampler(found, clock or Clock(), Random(7).getrandbits)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_a_share_of_what_begins_here_is_traced(ratio: float) -> None:
    one = sampler(sample_ratio=ratio)
    begun = sum(one.begins_by_chance() is not None for _ in range(20_000))
    assert begun == pytest.approx(20_000 * ratio, abs=200)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0])
def test_counting_down_gaps_samples_the_same_share_as_drawing_for_each(ratio: float) -> None:
    one = sampler(sample_ratio=ratio)
    gaps = [one.gap() for _ in range(20_000)]
    assert len(gaps) / (len(gaps) + sum(gaps)) == pytest.approx(ratio, rel=0.05)
    # As often as the first of independent draws is one: a regular gap would never meet what comes regularly, too.
    assert gaps.count(0) / len(gaps) == pytest.approx(ratio, rel=0.3)


def test_with_a_ratio_of_nothing_no_gap_ends() -> None:
    assert sampler(sample_ratio=0.0).gap() > 2**60


def test_ids_are_different_and_such_that_others_with_the_same_ratio_decide_the_same() -> None:
    one = sampler(sample_ratio=0.25)
    ids = [found for _ in range(4_000) if (found := one.begins()) is not None]
    assert len(set(ids)) == len(ids)
    assert all(len(found) == 32 and int(found[16:], 16) < 2**62 for found in ids)


def test_what_a_caller_samples_is_traced_within_its_bound_and_then_by_chance() -> None:
    clock = Clock()
    one = sampler(clock, sample_ratio=0.0, max_caller_traces_per_second=5)
    assert Counter(one.goes_on(SAMPLED) for _ in range(1_000)) == {True: 5, False: 995}
    clock.now += 1
    assert Counter(one.goes_on(SAMPLED) for _ in range(1_000))[True] == 5
    by_chance = sampler(sample_ratio=0.5, max_caller_traces_per_second=0)
    assert Counter(by_chance.goes_on(SAMPLED) for _ in range(4_000))[True] == pytest.approx(2_000, abs=200)


def test_what_a_caller_does_not_sample_is_not_traced() -> None:
    assert not any(sampler(sample_ratio=1.0).goes_on(UNSAMPLED) for _ in range(100))


@pytest.mark.parametrize("parent", [SAMPLED, UNSAMPLED])
def test_where_callers_are_ignored_only_chance_decides(parent: Context) -> None:
    one = sampler(sample_ratio=0.25, callers="ignored")
    # Not the id either: callers choose it.
    low = parent._replace(trace_id=LOW)
    assert Counter(one.goes_on(low) for _ in range(4_000))[True] == pytest.approx(1_000, abs=150)


def test_what_was_sampled_here_goes_on_and_what_a_caller_sampled_counts_as_its_wish() -> None:
    one = sampler(sample_ratio=0.01, max_caller_traces_per_second=3)
    assert all(one.follows([UNSAMPLED, Context(LOW, SPAN, True)]) for _ in range(100))
    assert Counter(one.follows([SAMPLED]) for _ in range(100))[True] == 3
    assert not one.follows([UNSAMPLED])
    assert not one.follows([])
    ignoring = sampler(sample_ratio=0.25, max_caller_traces_per_second=1_000, callers="ignored")
    assert Counter(ignoring.follows([SAMPLED]) for _ in range(4_000))[True] == pytest.approx(1_000, abs=150)


def test_whatever_the_reason_there_is_a_bound_on_all_traces() -> None:
    clock = Clock()
    one = sampler(clock, sample_ratio=1.0, max_traces_per_second=20, max_caller_traces_per_second=1_000)
    low = [Context(LOW, SPAN, True)]

    def tried() -> int:
        every = [(one.begins() is not None, one.goes_on(SAMPLED), one.follows(low)) for _ in range(500)]
        return sum(map(sum, every))

    assert tried() == 20
    clock.now += 0.5
    assert tried() == 10


@given(st.lists(st.floats(0, 5)), st.floats(0, 50))
def test_a_rate_is_never_exceeded(pauses: list[float], per_second: float) -> None:
    clock = Clock()
    rate = Rate(per_second, clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        while rate.take():
            taken += 1
    assert taken <= per_second * clock.now + max(1.0, per_second) + 1e-6


def test_both_headers_make_a_context() -> None:
    assert context(f"00-{TRACE}-{SPAN}-01".encode(), b"a=1") == Context(TRACE, SPAN, True, "a=1")
    assert context(f"00-{TRACE}-{SPAN}-02".encode(), b"\xff") == Context(TRACE, SPAN, False)
    assert context(f"00-{TRACE}-{SPAN}-02".encode(), b"a=1\n") == Context(TRACE, SPAN, False)
    assert context(f"00-{TRACE}-{SPAN}-ff".encode(), b"a" * 600) == Context(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "text", [None, b"", b"01" + b"-" * 53, f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode()]
)
def test_a_context_that_is_not_valid_is_none(text: bytes | None) -> None:
    assert context(text) is None


@given(st.binary(max_size=60), st.binary(max_size=600))
def test_no_header_breaks_it(parent: bytes, state: bytes) -> None:
    found = context(parent, state)
    assert found is None or len(found.state) <= 512
