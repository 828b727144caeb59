"""What is remembered of attempts."""

import orjson

from eventbus_gateway.api.webhooks import latest
from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed
from eventbus_gateway.subscriptions.leased import Leased, Origin
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.webhooks.attempts import Attempt, RecentAttempts, Tried
from eventbus_gateway.webhooks.decisions import Cause, Decision, Disable, Done, Failure, GiveUp, Outcome, Retry


def tried(*offsets: int, number: int = 2) -> Tried:
    return Tried([("notes", 3, offset) for offset in offsets], ["event-1"] * len(offsets), [number] * len(offsets))


def test_an_attempt_is_shown_with_what_happened_and_nothing_of_the_event() -> None:
    recent = RecentAttempts()
    recent.add(tried(17), 1_700_000_000_123, 12.3456, Outcome(503, None, "secret"), [Retry(1.0, 0.0)])
    recent.add(tried(17, number=3), 1_700_000_001_000, 15_000.0, Outcome(None, Failure.TIMEOUT), [Done()])
    second, first = [attempt.shown() for attempt in recent.latest(10)]
    assert first == {
        "at": "2023-11-14T22:13:20.123Z",
        "topic": "notes",
        "partition": 3,
        "offset": 17,
        "eventId": "event-1",
        "attempt": 2,
        "status": 503,
        "error": None,
        "latencyMs": 12.3,
        "decision": "retry",
    }
    assert (second["attempt"], second["status"], second["error"]) == (3, None, "timeout")
    assert b"secret" not in orjson.dumps([first, second])


def test_every_decision_has_its_word() -> None:
    recent = RecentAttempts()
    decisions: list[Decision] = [Done(), Retry(1.0, 0.0), Disable(), *(GiveUp(cause) for cause in Cause)]
    for decision in decisions:
        recent.add(tried(17), 1, 1.0, Outcome(500), [decision])
    words = [attempt.decision for attempt in recent.latest(10)]
    assert words == ["max_age", "max_attempts", "client_error", "disable", "retry", "done"]


def test_only_the_latest_are_remembered() -> None:
    recent = RecentAttempts(most=3)
    for number in range(10):
        recent.add(tried(17, number=number), number, 1.0, Outcome(200), [Done()])
    assert [attempt.number for attempt in recent.latest(10)] == [9, 8, 7]
    assert [attempt.number for attempt in recent.latest(2)] == [9, 8]
    assert recent.latest(0) == recent.latest(-1) == []


def test_of_requests_with_many_events_no_more_are_remembered() -> None:
    recent = RecentAttempts(most=5)

    def add(start: int, count: int) -> list[int]:
        decisions: list[Decision] = [*[Done()] * (count - 1), Retry(1.0, 0.0)]
        recent.add(tried(*range(start, start + count)), start, 1.0, Outcome(200), decisions)
        return [attempt.offset for attempt in recent.latest(10)]

    assert add(0, 2) == [1, 0]
    assert add(2, 2) == [3, 2, 1, 0]
    assert add(4, 3) == [6, 5, 4, 3, 2]
    assert [attempt.decision for attempt in recent.latest(4)] == ["retry", "done", "done", "retry"]
    assert add(10, 9) == [18, 17, 16, 15, 14]
    assert recent.latest(1)[0].decision == "retry"


def test_an_id_without_end_is_cut() -> None:
    record = Consumed.of("notes", 3, 17, 0, None, b"{}", NO_HEADERS)
    origin = Origin.of(0, 1, 0, "notes", 3)
    leased = Leased(origin, Event(17, 0, None, 2, record), 2)
    assert Tried.of([leased], ["event-1"]) == tried(17)
    assert Tried.of([leased, leased], ["event-1", "x" * 100_000]).event_ids == ["event-1", "x" * 256]


def test_the_latest_of_all_shards_come_first() -> None:
    def attempt(at: int) -> Attempt:
        return Attempt(at, "notes", 0, at, "", 1, 200, None, 1.0, "done")

    shards = [[attempt(at) for at in (5, 1, 9)], [], [attempt(at) for at in (2, 8)]]
    told = [[orjson.dumps(each.shown()) for each in attempts] for attempts in shards]
    assert [each["offset"] for each in latest(told, 4)] == [9, 8, 5, 2]
