"""The books of a load test miss nothing: what is lost, out of order, untrue or unsigned fails it."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtests.books import Books
from loadtests.traffic import Summary, Traffic, summary_text

IDS = [f"a-{number}" for number in range(6)]


def books(*came: str, keys: int = 2) -> Books:
    """Six stored events of some keys, and a subscriber to whom some came."""
    made = Books()
    for number, event in enumerate(IDS):
        made.publishing(event, f"key-{number % keys}", 100.0)
        made.answered(event, "stored")
    for event in came:
        made.subscriber("pull").take(event, 101.5)
    return made


def test_everything_that_came_in_its_order_is_good() -> None:
    made = books(*IDS)
    assert made.is_settled
    assert made.verdict().faults == []
    assert made.verdict().accounts[0].came == 6


def test_keys_may_overtake_each_other() -> None:
    assert books(*IDS[1::2], *IDS[0::2]).verdict().faults == []


def test_one_event_that_never_came_is_told() -> None:
    made = books(*IDS[:-1])
    assert not made.is_settled
    assert made.verdict().accounts[0].lost == 1
    assert made.verdict().faults == ["pull: 1 lost, 0 out of order, 0 untrue, 0 not signed"]


def test_a_subscription_to_which_nothing_came_has_lost_everything() -> None:
    made = books()
    made.subscriber("webhook")
    assert made.verdict().accounts[0].lost == 6


def test_an_event_behind_a_later_one_of_its_key_is_told() -> None:
    assert books(*IDS[:3], IDS[5], IDS[4], IDS[3]).verdict().accounts[0].disordered == 1


def test_an_event_that_came_again_is_counted_and_allowed() -> None:
    made = books(*IDS, IDS[0], IDS[0])
    assert made.verdict().accounts[0].repeated == 2
    assert made.verdict().faults == []


def test_what_nobody_published_and_what_was_refused_must_not_come() -> None:
    made = books(*IDS, "from-nowhere")
    made.publishing("refused", "key-0", 100.0)
    made.answered("refused", "not_stored")
    made.subscriber("pull").take("refused", 101.0)
    assert made.verdict().accounts[0].untrue == 2
    assert len(made.verdict().faults) == 1


def test_what_nobody_knows_may_come_at_any_time_or_never() -> None:
    made = books(*IDS)
    for event in ("asked", "told"):
        made.publishing(event, "key-0", 100.0)
    made.answered("told", "unknown")
    made.subscriber("pull").take("asked", 102.0)
    verdict = made.verdict()
    assert verdict.faults == []
    assert (verdict.stored, verdict.unknown, verdict.not_stored) == (6, 2, 0)


def test_a_request_without_the_right_signature_is_told() -> None:
    made = books(*IDS)
    made.subscriber("pull").unsigned = 1
    assert made.verdict().faults == ["pull: 0 lost, 0 out of order, 0 untrue, 1 not signed"]


def test_a_run_that_stored_nothing_has_shown_nothing() -> None:
    assert Books().verdict().faults == ["nothing was stored"]


def test_the_time_on_the_way_is_told_for_the_first_time_only() -> None:
    made = books()
    subscriber = made.subscriber("pull")
    assert subscriber.take(IDS[0], 101.5) == 1.5
    assert subscriber.take(IDS[0], 102.5) is None
    assert subscriber.take("from-nowhere", 102.5) is None


@given(st.permutations(IDS), st.integers(1, 4))
def test_the_order_is_that_of_publishing_for_each_key(came: list[str], keys: int) -> None:
    per_key = [[IDS.index(event) for event in came if IDS.index(event) % keys == key] for key in range(keys)]
    is_ordered = all(numbers == sorted(numbers) for numbers in per_key)
    assert (books(*came, keys=keys).verdict().accounts[0].disordered == 0) is is_ordered


def test_figures_count_every_request_and_those_that_failed() -> None:
    clock = [0.0]
    traffic = Traffic(lambda: clock[0])
    chance = Random(1)
    times = [chance.uniform(1, 100) for _ in range(200)]
    for milliseconds in times:
        traffic.note("publish", milliseconds, None)
    for number in range(9):
        traffic.note("publish", None, RuntimeError(f"refused {number}"))
    clock[0] = 10.0
    traffic.close()
    traffic.note("publish", 5.0, None)
    clock[0] = 60.0
    [line] = traffic.lines()
    assert (line.ended, line.errors, line.per_second, traffic.seconds) == (210, 9, 20.9, 10.0)
    assert line.milliseconds[0] == pytest.approx(sorted(times)[100], rel=0.03)
    assert line.milliseconds[-1] == pytest.approx(max(times), rel=0.02)
    assert len(traffic.errors) == 5


def test_a_summary_says_what_failed_and_comes_back_from_its_file() -> None:
    traffic = Traffic(lambda: 1.0)
    traffic.note("publish", 1.0, None)
    good = Summary(books(*IDS).verdict(), traffic.lines(), 2.0, 0)
    assert good.faults == []
    assert "FAILED" not in summary_text(good)
    traffic.note("publish", None, RuntimeError("503"))
    bad = Summary(books(*IDS[1:]).verdict(), traffic.lines(), 2.0, 1, tuple(traffic.errors))
    assert len(bad.faults) == 3
    assert summary_text(bad).count("FAILED") == 3
    for summary in (good, bad):
        assert Summary.of_json(summary.as_json()) == summary
        json.loads(summary.as_json())
