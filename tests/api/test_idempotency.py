"""A request with an ``Idempotency-Key`` is stored once, however often it is sent."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from tests.api.publishing import NDJSON, lines, problem, publish
from tests.serving import Served, served

from eventbus_gateway.api.http import Answer
from eventbus_gateway.api.idempotency import IdempotencyWindow, idempotency_key
from eventbus_gateway.api.settings import PublishSettings, TopicSettings
from eventbus_gateway.errors import (
    GatewayError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidHeader,
    KafkaUnavailable,
    OutcomeUnknown,
    Overloaded,
)
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Unknown

_numbers = count()


@pytest.fixture
def key() -> str:
    """A key that no other test used on the shared gateways."""
    return f"key-{next(_numbers)}"


def test_the_same_request_is_stored_once_and_answered_with_the_same_receipt(gateway: Served, key: str) -> None:
    first = publish(gateway, "notes", {"a": 1}, idempotency_key=key)
    again = publish(gateway, "notes", {"a": 1}, idempotency_key=key)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len(gateway.kafka.records("notes")) == 1


def test_another_body_under_the_same_key_is_refused(gateway: Served, key: str) -> None:
    publish(gateway, "notes", {"a": 1}, idempotency_key=key)
    answer = publish(gateway, "notes", {"a": 2}, idempotency_key=key)
    assert problem(answer, 422, "idempotency_key_reused")["outcome"] == "not_stored"
    assert len(gateway.kafka.records("notes")) == 1


@pytest.mark.parametrize("header", ["ce_subject", "ce_partitionkey"])
def test_other_attributes_under_the_same_key_are_refused(gateway: Served, key: str, header: str) -> None:
    publish(gateway, "notes", {}, idempotency_key=key, **{header: "x"})
    problem(publish(gateway, "notes", {}, idempotency_key=key, **{header: "y"}), 422, "idempotency_key_reused")
    problem(publish(gateway, "notes", {}, idempotency_key=key), 422, "idempotency_key_reused")


def test_another_reading_of_the_same_body_under_the_same_key_is_refused(gateway: Served, key: str) -> None:
    event = {"id": "x", "count": 1}
    assert publish(gateway, "versioned", event, idempotency_key=key).status_code == 201
    for answer in (
        publish(gateway, "versioned", event, schema_version="2", idempotency_key=key),
        publish(gateway, "versioned", event, NDJSON, idempotency_key=key),
        publish(gateway, "versioned", event, content_encoding="identity", idempotency_key=key),
    ):
        problem(answer, 422, "idempotency_key_reused")


def test_headers_that_change_with_every_try_do_not_matter(gateway: Served, key: str) -> None:
    parents = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    for parent in parents:
        answer = publish(gateway, "notes", {}, idempotency_key=key, traceparent=parent, x_request_id=parent)
        assert answer.status_code == 201
    assert len(gateway.kafka.records("notes")) == 1


def test_a_key_belongs_to_its_topic(gateway: Served, key: str) -> None:
    assert publish(gateway, "notes", {}, idempotency_key=key).status_code == 201
    assert publish(gateway, "labelled", {"a": 1}, idempotency_key=key).status_code == 201


@pytest.mark.parametrize("value", ["", "two words", "é", "x" * 256])
def test_a_key_that_is_not_visible_ascii_is_refused(gateway: Served, value: str) -> None:
    headers = {b"content-type": b"application/json", b"idempotency-key": value.encode()}
    answer = gateway.client.post("/v1/topics/notes/events", content=b"{}", headers=headers)
    assert "Idempotency-Key" in problem(answer, 400, "invalid_header")["detail"]
    assert gateway.kafka.logs == {}


def test_a_refused_request_frees_its_key(gateway: Served, key: str) -> None:
    problem(publish(gateway, "loose", {"id": []}, idempotency_key=key), 422, "invalid_event")
    assert publish(gateway, "loose", {"id": "k"}, idempotency_key=key).status_code == 201


@pytest.mark.parametrize(
    "outcome", [NotStored(KafkaUnavailable()), Unknown(OutcomeUnknown())], ids=["not_stored", "unknown"]
)
def test_a_request_that_may_not_be_stored_frees_its_key(gateway: Served, key: str, outcome: Outcome) -> None:
    gateway.kafka.judge = lambda *_: outcome
    assert publish(gateway, "notes", {}, idempotency_key=key).status_code in {503, 504}
    gateway.kafka.judge = None
    answer = publish(gateway, "notes", {}, idempotency_key=key)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


def test_a_failure_of_the_gateway_frees_the_key(gateway: Served, key: str) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError

    gateway.kafka.judge = fail
    problem(publish(gateway, "notes", {}, idempotency_key=key), 500, "internal_error")
    gateway.kafka.judge = None
    assert publish(gateway, "notes", {}, idempotency_key=key).status_code == 201


def test_a_batch_that_failed_half_way_keeps_its_key_so_that_nothing_is_stored_twice(
    gateway: Served, key: str
) -> None:
    def judge(topic: str, index: int, record: Record) -> Outcome | None:
        return NotStored(KafkaUnavailable()) if index else None

    gateway.kafka.judge = judge
    first = publish(gateway, "notes", lines(1, 2), NDJSON, idempotency_key=key)
    gateway.kafka.judge = None
    again = publish(gateway, "notes", lines(1, 2), NDJSON, idempotency_key=key)
    assert first.status_code == again.status_code == 207
    assert first.content == again.content
    assert len(gateway.kafka.records("notes")) == 1


def test_a_key_whose_request_still_runs_is_in_use_until_that_ends(gateway: Served, key: str) -> None:
    asked = threading.Event()

    def judge(*_: object) -> None:
        asked.set()

    gateway.kafka.held = []
    gateway.kafka.judge = judge
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(publish, gateway, "notes", {}, idempotency_key=key)
        assert asked.wait(10)
        running = publish(gateway, "notes", {}, idempotency_key=key)
        assert problem(running, 409, "idempotency_key_in_use")["outcome"] == "not_stored"
        assert running.headers["retry-after"] == "1"
        other = publish(gateway, "notes", {"a": 1}, idempotency_key=key)
        problem(other, 422, "idempotency_key_reused")
        (gate,) = gateway.kafka.held
        gateway.call(lambda: gate.set_result(None))
        assert first.result(10).status_code == 201
    gateway.kafka.held = None
    again = publish(gateway, "notes", {}, idempotency_key=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.result().content
    assert len(gateway.kafka.records("notes")) == 1


def test_at_its_bound_the_window_refuses_new_keys_and_still_replays() -> None:
    bounds = PublishSettings(idempotency_max_keys=1)
    with served(publish=bounds, topics={"appointments": TopicSettings(format="json")}) as gateway:
        publish(gateway, "appointments", {}, idempotency_key="a")
        refused = publish(gateway, "appointments", {}, idempotency_key="b")
        assert problem(refused, 503, "overloaded")["outcome"] == "not_stored"
        assert 290 <= int(refused.headers["retry-after"]) <= 300
        assert publish(gateway, "appointments", {}, idempotency_key="a").headers["idempotency-replayed"] == "true"
        assert publish(gateway, "appointments", {}).status_code == 201


# The window by itself

SCOPE = ("principal", "topic", b"key")
ANSWER = Answer(201, b"x" * 100)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> IdempotencyWindow:
    return IdempotencyWindow(60.0, 3, 250, clock)


def _scope(number: int) -> tuple[str, str, bytes]:
    return ("principal", "topic", b"%d" % number)


def test_an_answer_is_found_until_the_window_has_passed(window: IdempotencyWindow, clock: Clock) -> None:
    assert window.begin(SCOPE, b"f") is None
    clock.now += 100
    window.end(SCOPE, ANSWER)
    clock.now += 59.9
    assert window.begin(SCOPE, b"f") is ANSWER
    clock.now += 0.1
    assert window.begin(SCOPE, b"g") is None


def test_a_replay_does_not_prolong_the_window(window: IdempotencyWindow, clock: Clock) -> None:
    window.begin(SCOPE, b"f")
    window.end(SCOPE, ANSWER)
    clock.now += 40
    assert window.begin(SCOPE, b"f") is ANSWER
    clock.now += 40
    assert window.begin(SCOPE, b"f") is None


def test_a_running_key_does_not_expire(window: IdempotencyWindow, clock: Clock) -> None:
    window.begin(SCOPE, b"f")
    clock.now += 1_000
    with pytest.raises(IdempotencyKeyInUse):
        window.begin(SCOPE, b"f")
    with pytest.raises(IdempotencyKeyReused):
        window.begin(SCOPE, b"g")


@pytest.mark.parametrize("other", [("someone", "topic", b"key"), ("principal", "other", b"key")])
def test_keys_of_others_are_other_keys(window: IdempotencyWindow, other: tuple[str, str, bytes]) -> None:
    window.begin(SCOPE, b"f")
    assert window.begin(other, b"g") is None


def test_running_and_finished_keys_count_towards_the_bound(window: IdempotencyWindow, clock: Clock) -> None:
    window.begin(_scope(0), b"f")
    window.end(_scope(0), ANSWER)
    clock.now += 10
    window.begin(_scope(1), b"f")
    window.begin(_scope(2), b"f")
    assert len(window) == 3
    with pytest.raises(Overloaded) as refused:
        window.begin(_scope(3), b"f")
    assert refused.value.retry_after == 50
    window.end(_scope(1), None)
    assert window.begin(_scope(3), b"f") is None


def test_a_bound_full_of_running_keys_says_to_come_back_soon(window: IdempotencyWindow) -> None:
    for number in range(3):
        window.begin(_scope(number), b"f")
    with pytest.raises(Overloaded) as refused:
        window.begin(_scope(3), b"f")
    assert refused.value.retry_after == 1


def test_answers_beyond_the_bytes_refuse_new_keys_until_some_expire(window: IdempotencyWindow, clock: Clock) -> None:
    large = IdempotencyWindow(60.0, 100, 250, clock)
    for number in range(3):
        large.begin(_scope(number), b"f")
        large.end(_scope(number), ANSWER)
        clock.now += 1
    with pytest.raises(Overloaded):
        large.begin(_scope(3), b"f")
    clock.now += 57.5
    assert large.begin(_scope(3), b"f") is None


def test_an_overloaded_window_remembers_nothing_of_the_refused(window: IdempotencyWindow) -> None:
    for number in range(3):
        window.begin(_scope(number), b"f")
    for number in range(3, 100):
        with pytest.raises(GatewayError):
            window.begin(_scope(number), b"f")
    assert len(window) == 3


@pytest.mark.parametrize("value", [b"", b" ", b"a b", b"\x7f", b"\xc3\xa9", b"x" * 256])
def test_a_key_is_visible_ascii(value: bytes) -> None:
    with pytest.raises(InvalidHeader):
        idempotency_key(value)
    assert idempotency_key(b"x" * 255)
