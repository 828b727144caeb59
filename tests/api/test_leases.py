"""Leasing events over HTTP, and saying what became of them."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.api.guarded import ARCHIVE, AUTH, CLINIC, bearer
from tests.api.publishing import problem, publish
from tests.api.pulling import PATH, Desk, ask, receive, received, settle, tokens
from tests.api.wire import PATIENCE, Caller, calling, eventually, head
from tests.serving import Served, Way, served

from eventbus_gateway.api.settings import HttpSettings, TopicSettings
from eventbus_gateway.errors import KafkaUnavailable, RegistryUnavailable
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.subscriptions.calls import Verb
from eventbus_gateway.subscriptions.leased import Cause
from eventbus_gateway.subscriptions.tokens import Reference, parse, prefix, token

WAYS: tuple[Way, ...] = ("protocol", "uvicorn")
DAMAGED = "A" * 40


@pytest.fixture(scope="module", params=WAYS)
def running(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """One gateway per way."""
    desk = Desk()
    with served(way=request.param, further=desk.routes):
        yield desk


@pytest.fixture
def desk(running: Desk) -> Desk:
    """A subscription without events."""
    running.reset()
    return running


@pytest.fixture
def gateway(desk: Desk) -> Served:
    """What serves it."""
    return desk.gateway


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """A problem, perhaps with what became of each token; without the latter a look at everything all have."""
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"], document["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["instance"] == answer.request.url.path
    return document


def faults(answer: Any) -> dict[str, str]:
    """The faults of a refused body, by pointer."""
    document = problem(answer, 400, "invalid_parameter")
    return {fault["pointer"]: fault["detail"] for fault in document["errors"]}


# Receiving


def test_events_come_with_a_token_and_a_count_and_only_once(desk: Desk, gateway: Served) -> None:
    desk.put({"n": 1}, {"n": 2})
    events = receive(gateway)
    assert [event["data"] for event in events] == [{"n": 1}, {"n": 2}]
    assert [event["deliveryCount"] for event in events] == [1, 1]
    assert [parse(text) for text in tokens(events)] == [Reference(0, 7, 0, 0, 0, 1), Reference(0, 7, 0, 0, 1, 1)]
    assert receive(gateway) == []


def test_answers_are_not_to_be_cached(desk: Desk, gateway: Served) -> None:
    assert ask(gateway, "receive").headers["cache-control"] == "no-store"


def test_an_empty_body_leaves_everything_open(desk: Desk, gateway: Served) -> None:
    desk.put(*range(150))
    assert len(ask(gateway, "receive").json()["events"]) == 100
    assert len(receive(gateway)) == 50
    (first, *_) = desk.shard.asked
    assert (first.max_events, first.max_bytes, first.lease_seconds) == (100, 8_388_608, None)


def test_a_body_says_how_many_and_for_how_long(desk: Desk, gateway: Served) -> None:
    desk.put(*range(5))
    assert len(receive(gateway, maxEvents=2, leaseSeconds=5.5)) == 2
    assert desk.shard.asked[-1].lease_seconds == 5.5
    desk.now += 5.4
    assert [event["data"] for event in receive(gateway, maxEvents=2, waitSeconds=0)] == [2, 3]
    desk.now += 0.2
    assert [event["data"] for event in receive(gateway, maxEvents=1000)] == [0, 1, 4]


def test_an_event_that_was_not_acked_comes_again_after_its_lease(desk: Desk, gateway: Served) -> None:
    desk.put("x")
    (first,) = receive(gateway, leaseSeconds=10)
    desk.now += 10
    (again,) = receive(gateway)
    assert (again["data"], again["deliveryCount"]) == ("x", 2)
    assert again["ackToken"] != first["ackToken"]


def test_the_default_is_not_beyond_the_bound() -> None:
    desk = Desk(max_receive_events=10)
    with served(further=desk.routes) as gateway:
        desk.put(*range(20))
        assert len(receive(gateway)) == 10
        assert faults(ask(gateway, "receive", {"maxEvents": 11})) == {"/maxEvents": "expected at most 10"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"maxEvents": 0}, {"/maxEvents": "expected at least 1"}),
        ({"maxEvents": 1001}, {"/maxEvents": "expected at most 1000"}),
        ({"maxEvents": 1.5}, {"/maxEvents": "expected a whole number"}),
        ({"maxEvents": "1"}, {"/maxEvents": "expected a whole number"}),
        ({"maxEvents": True}, {"/maxEvents": "expected a whole number"}),
        ({"waitSeconds": -1}, {"/waitSeconds": "expected at least 0"}),
        ({"waitSeconds": 60.5}, {"/waitSeconds": "expected at most 60"}),
        ({"waitSeconds": True}, {"/waitSeconds": "expected a number"}),
        ({"leaseSeconds": 0.5}, {"/leaseSeconds": "expected at least 1"}),
        ({"leaseSeconds": 3601}, {"/leaseSeconds": "expected at most 3600"}),
        (
            {"max_events": 1, "wait~/s": 2},
            {"/max_events": "is not a known field", "/wait~0~1s": "is not a known field"},
        ),
        (
            {"maxEvents": 0, "waitSeconds": "x"},
            {"/maxEvents": "expected at least 1", "/waitSeconds": "expected a number"},
        ),
        ({"ackTokens": DAMAGED}, {"/ackTokens": "expected an array"}),
        ({"ackTokens": [1]}, {"/ackTokens/0": "expected a string"}),
        ({"ackTokens": [DAMAGED] * 1_001}, {"/ackTokens": "expected at most 1000 entries"}),
        ([], {"": "expected an object"}),
        (None, {"": "expected an object"}),
        ({f"m{number}": 1 for number in range(17)}, {"": "expected at most 16 members"}),
    ],
)
def test_a_receive_that_says_nothing_sensible_is_refused(
    desk: Desk, gateway: Served, body: Any, expected: dict[str, str]
) -> None:
    desk.put(1)
    json_type = {"content-type": "application/json"}
    assert faults(ask(gateway, "receive", content=json.dumps(body), headers=json_type)) == expected
    assert len(receive(gateway)) == 1


def test_numbers_no_float_can_tell_are_refused(desk: Desk, gateway: Served) -> None:
    for number in ("1e999", "9" * 400, "NaN"):
        answer = ask(gateway, "receive", content=b'{"waitSeconds":%s}' % number.encode(), headers=_JSON)
        assert answer.status_code == 400, number


_JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("verb", ["receive", "ack"])
def test_a_body_that_is_no_json_is_refused(desk: Desk, gateway: Served, verb: str) -> None:
    problem(ask(gateway, verb, content=b"{", headers=_JSON), 400, "invalid_json")
    problem(ask(gateway, verb, content=b"{}", headers={"content-type": "text/plain"}), 415, "unsupported_media_type")
    problem(ask(gateway, verb, content=b"{}"), 415, "unsupported_media_type")
    latin = {"content-type": "application/json; charset=latin-1"}
    problem(ask(gateway, verb, content=b"{}", headers=latin), 415, "unsupported_media_type")
    brotli = {**_JSON, "content-encoding": "br"}
    problem(ask(gateway, verb, content=b"{}", headers=brotli), 415, "unsupported_encoding")


def test_a_body_may_be_compressed_and_its_bound_holds_all_the_same(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    packed = {**_JSON, "content-encoding": "gzip"}
    answer = ask(gateway, "receive", content=gzip.compress(b'{"maxEvents":1}'), headers=packed)
    assert len(answer.json()["events"]) == 1
    large = gzip.compress(b'{"maxEvents":%s1}' % (b" " * 100_000))
    problem(ask(gateway, "receive", content=large, headers=packed), 413, "body_too_large")
    problem(ask(gateway, "receive", content=b" " * 100_000 + b"{}", headers=_JSON), 413, "body_too_large")
    assert len(receive(gateway)) == 1


def test_a_subscription_of_which_nobody_knows_is_unknown(desk: Desk, gateway: Served) -> None:
    for verb, body in (("receive", {}), ("ack", {"ackTokens": [DAMAGED]})):
        problem(ask(gateway, verb, body, name="t"), 404, "unknown_subscription")
    problem(gateway.client.get(PATH.format("t", "status")), 404, "unknown_subscription")


def test_only_post_receives(gateway: Served) -> None:
    answer = gateway.client.get(PATH.format("s", "receive"))
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_trouble_of_a_shard_is_no_empty_answer(desk: Desk, gateway: Served) -> None:
    desk.shard.trouble = RegistryUnavailable(retry_after=2.0)
    answer = ask(gateway, "receive", {})
    problem(answer, 503, "registry_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_an_owner_that_cannot_be_found_is_no_empty_answer(desk: Desk, gateway: Served) -> None:
    del desk.shards[0]
    answer = ask(gateway, "receive", {})
    problem(answer, 503, "owner_unavailable")
    assert answer.headers["retry-after"]


def test_events_of_all_shards_are_given_together(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=4)
    for partition in range(4):
        desk.put(partition, partition=partition)
    events = receive(gateway)
    assert sorted(event["data"] for event in events) == [0, 1, 2, 3]
    assert settle(gateway, "ack", tokens(events)) == {"succeeded": 4, "failed": []}
    assert [len(shard.settled) for shard in desk.shards.values()] == [1, 1, 1, 1]


# Waiting


def waiting(desk: Desk, count: int = 1) -> bool:
    """Whether so many receives come to wait for an event."""
    return eventually(lambda: desk.waiting() == count)


def test_a_waiting_receive_is_woken_by_an_event(desk: Desk, gateway: Served) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(receive, gateway, waitSeconds=60)
        assert waiting(desk)
        desk.put("woken")
        (event,) = poll.result(PATIENCE)
        assert event["data"] == "woken"
    assert eventually(lambda: desk.receive.polls == 0)


def test_a_wait_in_vain_ends_in_time(desk: Desk, gateway: Served) -> None:
    assert receive(gateway, waitSeconds=0.1) == []


def test_one_event_wakes_many_and_is_given_to_one(desk: Desk, gateway: Served) -> None:
    with ThreadPoolExecutor() as pool:
        polls = [pool.submit(receive, gateway, waitSeconds=60, maxEvents=1) for _ in range(4)]
        assert waiting(desk, 4)
        desk.put("a")
        assert eventually(lambda: any(poll.done() for poll in polls))
        assert waiting(desk, 3)
        desk.put(*"bcd")
        assert sorted(event["data"] for poll in polls for event in poll.result(PATIENCE)) == [*"abcd"]


def test_a_paused_subscription_gives_nothing_and_waits_until_it_is_resumed(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    gateway.call(desk.pause)
    assert receive(gateway) == []
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(receive, gateway, waitSeconds=60)
        assert waiting(desk)
        assert len(desk.shard.asked) == 2
        gateway.call(lambda: desk.pause(False))
        assert [event["data"] for event in poll.result(PATIENCE)] == [1]


def _posted(path: str, body: bytes) -> bytes:
    return head(b"Content-Length: %d" % len(body), target=path.encode()) + body


_WAITING = _posted(PATH.format("s", "receive"), b'{"waitSeconds":60}')


@pytest.mark.parametrize("leave", [Caller.close, Caller.reset], ids=["closes", "resets"])
def test_a_caller_that_goes_away_waits_no_longer_and_gets_nothing(desk: Desk, gateway: Served, leave: Any) -> None:
    caller = Caller(gateway)
    caller.send(_WAITING)
    assert waiting(desk)
    leave(caller)
    assert waiting(desk, 0)
    assert eventually(lambda: desk.receive.polls == 0)
    caller.close()
    desk.put(1)
    (event,) = receive(gateway)
    assert event["deliveryCount"] == 1


def test_what_was_leased_to_a_caller_that_went_away_comes_again_after_its_lease_and_no_sooner(
    desk: Desk, gateway: Served
) -> None:
    gate = desk.gate = asyncio.Event()
    desk.put(1)
    caller = Caller(gateway)
    caller.send(_posted(PATH.format("s", "receive"), b'{"leaseSeconds":60}'))
    assert eventually(lambda: len(desk.shard.asked) == 1)
    caller.reset()
    desk.gate = None
    gateway.call(gate.set)
    assert eventually(lambda: desk.receive.polls == 0)
    desk.now += 59.9
    assert receive(gateway) == []
    desk.now += 0.2
    (event,) = receive(gateway)
    assert (event["data"], event["deliveryCount"]) == (1, 2)


def test_waiting_receives_end_without_events_when_the_process_does() -> None:
    desk = Desk()
    with served(further=desk.routes) as gateway, calling(gateway) as early, calling(gateway) as late:
        early.send(_WAITING)
        late.send(_WAITING)
        assert waiting(desk, 2)
        gateway.stop()
        for caller in (early, late):
            answer = caller.answer()
            assert (answer.status, answer.json) == (200, {"ackTokens": [], "events": []})
            assert caller.closed()
        assert gateway.ended(within=PATIENCE)


def test_a_receive_that_begins_while_the_process_ends_leases_nothing() -> None:
    desk = Desk()
    with served(further=desk.routes) as gateway, calling(gateway) as caller:
        desk.put(1)
        gateway.call(gateway.drain.begin)
        answer = caller.ask(_WAITING)
        assert (answer.status, answer.json) == (200, {"ackTokens": [], "events": []})
        assert desk.shard.leases.counts().leased == 0


def test_receives_beyond_the_bound_are_refused_and_publishes_go_on() -> None:
    desk = Desk(max_concurrent_polls=2)
    topics = {"notes": TopicSettings(format="json")}
    with (
        served(
            kafka=MemoryKafka({"notes": 1}),
            topics=topics,
            http=HttpSettings(max_in_flight_requests=4),
            further=desk.routes,
        ) as gateway,
        ThreadPoolExecutor() as pool,
    ):
        polls = [pool.submit(receive, gateway, waitSeconds=60) for _ in range(2)]
        assert waiting(desk, 2)
        answer = ask(gateway, "receive", {})
        problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"]
        assert publish(gateway, "notes", 1).status_code == 201
        desk.put(1)
        assert eventually(lambda: any(poll.done() for poll in polls))
        assert receive(gateway) == []
        desk.put(2)
        assert sorted(event["data"] for poll in polls for event in poll.result(PATIENCE)) == [1, 2]
        assert desk.receive.polls == 0


# Acking with the next receive


def test_a_receive_acks_what_came_before_and_brings_what_comes_next(desk: Desk, gateway: Served) -> None:
    desk.put(*range(3))
    found = receive(gateway, maxEvents=2)
    document = ask(gateway, "receive", {"maxEvents": 2, "ackTokens": tokens(found)}).json()
    assert document["acked"] == {"succeeded": 2, "failed": []}
    assert [event["data"] for event in document["events"]] == [2]
    desk.now += 100
    assert [event["data"] for event in receive(gateway)] == [2]


def test_a_receive_that_acks_nothing_says_so_only_when_it_was_asked_to(desk: Desk, gateway: Served) -> None:
    assert ask(gateway, "receive", {"ackTokens": []}).json() == {
        "acked": {"succeeded": 0, "failed": []},
        "ackTokens": [],
        "events": [],
    }
    assert ask(gateway, "receive", {"ackTokens": None}).json() == {"ackTokens": [], "events": []}


def test_events_come_whatever_becomes_of_the_acks(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    old = tokens(receive(gateway))
    desk.serve(0, acquisition=8)
    desk.put(1, 2)
    document = ask(gateway, "receive", {"maxEvents": 1, "ackTokens": [*old, DAMAGED]}).json()
    assert [event["data"] for event in document["events"]] == [1]
    assert document["acked"]["succeeded"] == 0
    assert [(each["index"], each["code"]) for each in document["acked"]["failed"]] == [
        (0, "lease_lost"),
        (1, "lease_lost"),
        (2, "invalid_ack_token"),
    ]
    document = ask(gateway, "receive", {"ackTokens": [DAMAGED]}).json()
    assert ([event["data"] for event in document["events"]], document["acked"]["succeeded"]) == ([2], 0)


def test_events_are_acked_before_a_receive_waits(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    found = tokens(receive(gateway))
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(ask, gateway, "receive", {"waitSeconds": 60, "ackTokens": found})
        assert waiting(desk, 1)
        assert gateway.call(desk.shard.leases.counts).leased == 0
        desk.put(2)
        document = poll.result(PATIENCE).json()
    assert (document["acked"]["succeeded"], document["events"][0]["data"]) == (1, 2)


def test_a_receive_that_failed_behind_its_acks_can_be_repeated(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=2)
    desk.put(0, partition=0)
    found = tokens(receive(gateway))
    away = desk.shards.pop(1)
    problem(ask(gateway, "receive", {"ackTokens": found}), 503, "owner_unavailable")
    assert desk.shard.leases.counts().leased == 0
    desk.shards[1] = away
    document = ask(gateway, "receive", {"ackTokens": found}).json()
    assert document == {"acked": {"succeeded": 1, "failed": []}, "ackTokens": [], "events": []}


def test_a_receive_that_is_refused_acks_nothing() -> None:
    desk = Desk(max_concurrent_polls=1)
    with served(further=desk.routes) as gateway, ThreadPoolExecutor() as pool:
        desk.put(1)
        found = tokens(receive(gateway))
        poll = pool.submit(receive, gateway, waitSeconds=60)
        assert waiting(desk, 1)
        problem(ask(gateway, "receive", {"ackTokens": found}), 503, "overloaded")
        assert gateway.call(desk.shard.leases.counts).leased == 1
        desk.put(2)
        assert [event["data"] for event in poll.result(PATIENCE)] == [2]


def test_as_many_events_as_one_receive_brings_are_acked_by_the_next(desk: Desk, gateway: Served) -> None:
    desk.put(*range(1_000))
    found = tokens(receive(gateway, maxEvents=1_000))
    document = ask(gateway, "receive", {"ackTokens": found}).json()
    assert document == {"acked": {"succeeded": 1_000, "failed": []}, "ackTokens": [], "events": []}


# Settling


def test_an_ack_can_be_repeated_and_the_event_never_comes_again(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    events = receive(gateway, leaseSeconds=10)
    first, second = tokens(events)
    for _ in range(2):
        assert settle(gateway, "ack", [first]) == {"succeeded": 1, "failed": []}
    desk.now += 100
    assert tokens(receive(gateway)) != [second]
    assert desk.shard.leases.counts().leased == 1


def test_an_ack_after_the_lease_counts_as_long_as_nobody_else_got_the_event(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    events = receive(gateway, leaseSeconds=10)
    desk.now += 11
    assert settle(gateway, "ack", tokens(events)) == {"succeeded": 1, "failed": []}
    assert receive(gateway) == []


def test_an_ack_of_what_somebody_else_got_meanwhile_is_lost(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    old = tokens(receive(gateway, leaseSeconds=10))
    desk.now += 11
    new = tokens(receive(gateway))
    document = refused(ask(gateway, "ack", {"ackTokens": old}), 410, "lease_lost")
    assert "failed" not in document
    assert "retry-after" not in ask(gateway, "ack", {"ackTokens": old}).headers
    assert settle(gateway, "ack", new)["succeeded"] == 1


def test_what_is_released_comes_again_at_once_or_after_the_delay(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    assert settle(gateway, "release", tokens(receive(gateway)))["succeeded"] == 1
    (event,) = receive(gateway)
    assert event["deliveryCount"] == 2
    assert settle(gateway, "release", tokens([event]), delaySeconds=30.5)["succeeded"] == 1
    assert receive(gateway) == []
    desk.now += 30.6
    (event,) = receive(gateway)
    assert event["deliveryCount"] == 3


def test_a_release_wakes_who_waits(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    events = receive(gateway)
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(receive, gateway, waitSeconds=60)
        assert waiting(desk)
        settle(gateway, "release", tokens(events))
        assert [event["data"] for event in poll.result(PATIENCE)] == [1]


def test_an_extended_lease_ends_so_much_later_or_sooner(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    later, sooner = tokens(receive(gateway, leaseSeconds=10))
    assert settle(gateway, "extend", [later], leaseSeconds=100)["succeeded"] == 1
    assert settle(gateway, "extend", [sooner], leaseSeconds=1)["succeeded"] == 1
    desk.now += 2
    assert [event["data"] for event in receive(gateway, leaseSeconds=3600)] == [2]
    desk.now += 97
    assert receive(gateway) == []
    desk.now += 2
    assert [event["data"] for event in receive(gateway)] == [1]


@pytest.mark.parametrize(("verb", "further"), [("extend", {"leaseSeconds": 10}), ("release", {})])
def test_a_lease_that_has_ended_is_neither_extended_nor_released(
    desk: Desk, gateway: Served, verb: str, further: dict[str, Any]
) -> None:
    desk.put(1, 2)
    expired, acked = tokens(receive(gateway, leaseSeconds=10))
    settle(gateway, "ack", [acked])
    desk.now += 11
    for lost in (expired, acked):
        refused(ask(gateway, verb, {"ackTokens": [lost], **further}), 410, "lease_lost")
    assert [event["data"] for event in receive(gateway)] == [1]


def test_a_rejected_event_is_a_dead_letter_with_its_reason_also_when_it_is_said_twice(
    desk: Desk, gateway: Served
) -> None:
    desk.put(1, 2)
    with_reason, without = tokens(receive(gateway))
    for _ in range(2):
        assert settle(gateway, "reject", [with_reason], reason="no such ward")["succeeded"] == 1
    assert settle(gateway, "reject", [without])["succeeded"] == 1
    letters = desk.shard.leases.due_dead_letters(desk.now, 10)
    assert [(letter.cause, letter.reason) for letter in letters] == [
        (Cause.REJECTED, "no such ward"),
        (Cause.REJECTED, ""),
    ]
    assert settle(gateway, "ack", [with_reason])["succeeded"] == 1


def test_every_token_has_its_own_outcome(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2, 3)
    good, stale, other = tokens(receive(gateway, leaseSeconds=10))
    settle(gateway, "ack", [good, other])
    desk.now += 11
    receive(gateway)
    desk.put(4)
    fresh = tokens(receive(gateway))[0]
    unknown = token(prefix(0, 7, 0, 0), 99, 1)
    document = settle(gateway, "ack", [fresh, stale, DAMAGED, good, unknown, "", "é" * 40, fresh])
    assert document["succeeded"] == 3
    assert [(each["index"], each["code"], each["retryable"]) for each in document["failed"]] == [
        (1, "lease_lost", False),
        (2, "invalid_ack_token", False),
        (4, "invalid_ack_token", False),
        (5, "invalid_ack_token", False),
        (6, "invalid_ack_token", False),
    ]
    assert all(each["detail"].endswith(".") for each in document["failed"])


def test_a_token_that_comes_twice_has_two_outcomes(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    first, second = tokens(receive(gateway))
    assert settle(gateway, "ack", [first, first]) == {"succeeded": 2, "failed": []}
    document = settle(gateway, "release", [second, second])
    assert document["succeeded"] == 1
    assert [(each["index"], each["code"]) for each in document["failed"]] == [(1, "lease_lost")]


def test_tokens_that_all_fail_for_one_reason_are_that_problem(desk: Desk, gateway: Served) -> None:
    document = refused(ask(gateway, "ack", {"ackTokens": [DAMAGED]}), 400, "invalid_ack_token")
    assert "failed" not in document
    document = refused(ask(gateway, "ack", {"ackTokens": [DAMAGED, "x"]}), 400, "invalid_ack_token")
    assert [(each["index"], each["code"]) for each in document["failed"]] == [
        (0, "invalid_ack_token"),
        (1, "invalid_ack_token"),
    ]
    desk.put(1, 2)
    old = tokens(receive(gateway))
    desk.serve(0, acquisition=8)
    document = refused(ask(gateway, "ack", {"ackTokens": old}), 410, "lease_lost")
    assert [each["index"] for each in document["failed"]] == [0, 1]


def test_tokens_that_all_fail_for_several_reasons_are_told_one_by_one(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    old = tokens(receive(gateway))
    desk.serve(0, acquisition=8)
    document = settle(gateway, "ack", [*old, DAMAGED])
    assert document["succeeded"] == 0
    assert [each["code"] for each in document["failed"]] == ["lease_lost", "invalid_ack_token"]


def test_a_token_of_a_shard_that_there_is_not_any_more_has_lost_its_lease(desk: Desk, gateway: Served) -> None:
    refused(ask(gateway, "ack", {"ackTokens": [token(prefix(3, 7, 0, 3), 0, 1)]}), 410, "lease_lost")


def test_a_shard_that_cannot_be_asked_fails_its_own_tokens_and_no_others(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=2)
    desk.put(0, partition=0)
    desk.put(1, partition=1)
    events = sorted(receive(gateway), key=lambda event: int(event["data"]))
    del desk.shards[1]
    document = settle(gateway, "ack", tokens(events))
    assert document["succeeded"] == 1
    (failure,) = document["failed"]
    assert (failure["index"], failure["code"], failure["retryable"]) == (1, "owner_unavailable", True)
    answer = ask(gateway, "ack", {"ackTokens": tokens(events)[1:]})
    refused(answer, 503, "owner_unavailable")
    assert answer.headers["retry-after"]
    desk.shards[0].trouble = KafkaUnavailable(retry_after=7.0)
    answer = ask(gateway, "ack", {"ackTokens": tokens(events)[:1] * 2})
    document = refused(answer, 503, "kafka_unavailable")
    assert (len(document["failed"]), answer.headers["retry-after"]) == (2, "7")


def test_shards_that_fail_alike_are_one_problem_with_the_longest_wait(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=2)
    desk.put(0, partition=0)
    desk.put(1, partition=1)
    found = tokens(receive(gateway))
    desk.shards[0].trouble = KafkaUnavailable("This shard says so.")
    desk.shards[1].trouble = KafkaUnavailable("And that one so.", retry_after=7.0)
    answer = ask(gateway, "ack", {"ackTokens": found})
    document = refused(answer, 503, "kafka_unavailable")
    assert document["detail"] == KafkaUnavailable.title
    assert {each["detail"] for each in document["failed"]} == {"This shard says so.", "And that one so."}
    assert answer.headers["retry-after"] == "7"


def test_what_is_said_gets_to_the_shard_as_it_was_said(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    (one,) = tokens(receive(gateway))
    reference = parse(one)
    for verb, body in (
        ("extend", {"leaseSeconds": 1.5}),
        ("reject", {"reason": "ü\n"}),
        ("release", {"delaySeconds": 3600}),
    ):
        ask(gateway, verb, {"ackTokens": [one], **body})
    extend, reject, release = desk.shard.settled
    assert (extend.verb, extend.seconds) == (Verb.EXTEND, 1.5)
    assert (reject.verb, reject.reason) == (Verb.REJECT, "ü\n")
    assert (release.verb, release.seconds) == (Verb.RELEASE, 3_600.0)
    assert [list(each.references) for each in (extend, reject, release)] == [[reference]] * 3


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        ("ack", {}, {"/ackTokens": "is missing"}),
        ("ack", {"ackTokens": []}, {"/ackTokens": "expected at least 1 entries"}),
        ("ack", {"ackTokens": "x"}, {"/ackTokens": "expected an array"}),
        ("ack", {"ackTokens": ["x", 7, 8]}, {"/ackTokens/1": "expected a string"}),
        ("ack", {"ackTokens": ["x"] * 10_001}, {"/ackTokens": "expected at most 10000 entries"}),
        ("ack", {"ackTokens": ["x"], "reason": "y"}, {"/reason": "is not a known field"}),
        ("release", {"ackTokens": ["x"], "delaySeconds": -1}, {"/delaySeconds": "expected at least 0"}),
        ("release", {"ackTokens": ["x"], "delaySeconds": 3601}, {"/delaySeconds": "expected at most 3600"}),
        ("extend", {"ackTokens": ["x"]}, {"/leaseSeconds": "is missing"}),
        ("extend", {"ackTokens": ["x"], "leaseSeconds": 0}, {"/leaseSeconds": "expected at least 1"}),
        ("extend", {"ackTokens": ["x"], "leaseSeconds": 3601}, {"/leaseSeconds": "expected at most 3600"}),
        ("extend", {"ackTokens": ["x"], "leaseSeconds": None}, {"/leaseSeconds": "expected a number"}),
        ("reject", {"ackTokens": ["x"], "reason": "y" * 1_001}, {"/reason": "expected at most 1000 characters"}),
        ("reject", {"ackTokens": ["x"], "reason": 7}, {"/reason": "expected a string"}),
    ],
)
def test_a_body_with_faults_is_refused_with_their_places(
    desk: Desk, gateway: Served, verb: str, body: Any, expected: dict[str, str]
) -> None:
    assert faults(ask(gateway, verb, body)) == expected
    assert desk.shard.settled == []


@pytest.mark.parametrize("verb", ["ack", "release", "extend", "reject"])
def test_an_empty_body_settles_nothing(gateway: Served, verb: str) -> None:
    problem(ask(gateway, verb, content=b"", headers=_JSON), 400, "invalid_json")


def test_as_many_tokens_as_there_may_be_are_settled_at_once(desk: Desk, gateway: Served) -> None:
    desk.put(*range(1_000))
    events = receive(gateway, maxEvents=1_000)
    assert settle(gateway, "ack", tokens(events) * 10) == {"succeeded": 10_000, "failed": []}


def test_a_refusal_names_places_and_never_what_was_sent(desk: Desk, gateway: Served) -> None:
    for verb, body in (
        ("receive", {"maxEvents": "s3cret"}),
        ("receive", {"leaseSeconds": "s3cret"}),
        ("ack", {"ackTokens": ["s3cret"]}),
        ("ack", {"ackTokens": ["s3cret", "s3cret"]}),
        ("reject", {"ackTokens": [["s3cret"]], "reason": "s3cret"}),
    ):
        answer = ask(gateway, verb, body)
        assert answer.status_code == 400
        assert "s3cret" not in answer.text
    assert b"s3cret" not in b"".join(gateway.access.lines)


# Tokens of whole answers


def test_the_tokens_of_an_answer_ack_all_of_its_events(desk: Desk, gateway: Served) -> None:
    desk.put(*range(5))
    desk.put(*"xy", topic="b", partition=3)
    events, of_all = received(gateway)
    assert (len(events), len(of_all)) == (7, 1)
    for _ in range(2):
        assert settle(gateway, "ack", of_all, events=7) == {"succeeded": 7, "failed": []}
    desk.now += 100
    assert receive(gateway) == []


def test_the_tokens_of_an_answer_are_acked_by_the_next_receive(desk: Desk, gateway: Served) -> None:
    desk.put(*range(5))
    _, of_all = received(gateway, maxEvents=3)
    document = ask(gateway, "receive", {"ackTokens": of_all}).json()
    assert document["acked"] == {"succeeded": 3, "failed": []}
    assert [event["data"] for event in document["events"]] == [3, 4]
    document = ask(gateway, "receive", {"ackTokens": document["ackTokens"]}).json()
    assert document == {"acked": {"succeeded": 2, "failed": []}, "ackTokens": [], "events": []}
    desk.now += 100
    assert receive(gateway) == []


def test_an_answer_without_events_gives_no_tokens_and_these_can_be_given_back(desk: Desk, gateway: Served) -> None:
    assert received(gateway) == ([], [])
    document = ask(gateway, "receive", {"ackTokens": []}).json()
    assert (document["acked"], document["ackTokens"]) == ({"succeeded": 0, "failed": []}, [])


def test_every_shard_that_gives_events_gives_one_token_for_them(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=2)
    for partition in range(4):
        desk.put(1, 2, partition=partition)
        desk.put(3, topic="b", partition=partition)
    events, of_all = received(gateway)
    assert (len(events), len(of_all)) == (12, 2)
    first, _ = of_all
    assert settle(gateway, "ack", [first], events=6) == {"succeeded": 6, "failed": []}
    desk.now += 100
    left, of_left = received(gateway, leaseSeconds=10)
    assert len(left) == 6
    assert len({int(event["id"].split("/")[1]) % 2 for event in left}) == len(of_left) == 1
    desk.now += 11
    assert settle(gateway, "ack", [first, *of_left], events=12) == {"succeeded": 12, "failed": []}
    assert receive(gateway) == []


def test_the_token_for_a_single_event_is_its_own(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    events, of_all = received(gateway)
    assert of_all == tokens(events)
    desk.reset(parallelism=2)
    desk.put("alone", partition=0)
    desk.put("one", "other", partition=1)
    events, of_all = received(gateway)
    assert [event["data"] for event in events if event["ackToken"] in of_all] == ["alone"]
    assert settle(gateway, "ack", of_all, events=3)["succeeded"] == 3


def test_events_with_gaps_and_of_several_hand_outs_have_one_token_too(desk: Desk, gateway: Served) -> None:
    desk.put(*range(700))
    settle(gateway, "ack", [text for at, text in enumerate(tokens(receive(gateway, maxEvents=600))) if at % 300])
    settle(gateway, "release", tokens(receive(gateway, maxEvents=2)))
    desk.now += 31
    desk.put("x", topic="b", partition=2)
    events, of_all = received(gateway, maxEvents=1_000)
    assert sorted({event["deliveryCount"] for event in events}) == [1, 2]
    assert (len(events), len(of_all)) == (103, 1)
    assert settle(gateway, "ack", of_all, events=103) == {"succeeded": 103, "failed": []}
    desk.now += 100
    assert receive(gateway) == []


def test_tokens_of_answers_and_of_events_can_be_given_together(desk: Desk, gateway: Served) -> None:
    desk.put(*range(4))
    _, of_three = received(gateway, maxEvents=3)
    own = tokens(receive(gateway))
    document = settle(gateway, "ack", [*own, DAMAGED, *of_three], events=5)
    assert document["succeeded"] == 4
    assert [(each["index"], each["code"]) for each in document["failed"]] == [(1, "invalid_ack_token")]
    desk.put(*range(4))
    _, of_three = received(gateway, maxEvents=3)
    own = tokens(receive(gateway))
    document = ask(gateway, "receive", {"ackTokens": [*of_three, *own]}).json()
    assert document["acked"] == {"succeeded": 4, "failed": []}


def test_what_an_answer_brought_is_released_and_extended_together(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2, 3)
    _, of_all = received(gateway, leaseSeconds=10)
    assert settle(gateway, "extend", of_all, events=3, leaseSeconds=100) == {"succeeded": 3, "failed": []}
    desk.now += 99
    assert receive(gateway) == []
    assert settle(gateway, "release", of_all, events=3, delaySeconds=30) == {"succeeded": 3, "failed": []}
    desk.now += 29
    assert receive(gateway) == []
    desk.now += 2
    assert [(event["data"], event["deliveryCount"]) for event in receive(gateway)] == [(1, 2), (2, 2), (3, 2)]


def test_what_an_answer_brought_is_rejected_together(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    _, of_all = received(gateway)
    for _ in range(2):
        assert settle(gateway, "reject", of_all, events=2, reason="no ward")["succeeded"] == 2
    letters = desk.shard.leases.due_dead_letters(desk.now, 10)
    assert [(letter.cause, letter.reason) for letter in letters] == [(Cause.REJECTED, "no ward")] * 2


def test_each_event_of_a_token_has_its_own_outcome(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2, 3, 4)
    events, of_all = received(gateway, leaseSeconds=10)
    settle(gateway, "ack", tokens(events)[:1])
    desk.now += 11
    assert [event["data"] for event in receive(gateway, maxEvents=2)] == [2, 3]
    document = settle(gateway, "ack", [DAMAGED, *of_all, tokens(events)[1]], events=6)
    assert document["succeeded"] == 2
    lost = {"code": "lease_lost", "detail": document["failed"][1]["detail"], "retryable": False}
    invalid, *others = document["failed"]
    assert (invalid["index"], invalid["code"], "ackToken" in invalid) == (0, "invalid_ack_token", False)
    assert others == [
        {"index": 1, "ackToken": tokens(events)[1], **lost},
        {"index": 1, "ackToken": tokens(events)[2], **lost},
        {"index": 2, **lost},
    ]
    acked = ask(gateway, "receive", {"ackTokens": of_all}).json()["acked"]
    assert acked["succeeded"] == 2
    assert [(each["index"], each["ackToken"]) for each in acked["failed"]] == [
        (0, tokens(events)[1]),
        (0, tokens(events)[2]),
    ]


def test_a_token_of_which_all_events_fail_for_one_reason_is_that_problem(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    events, of_all = received(gateway)
    desk.serve(0, acquisition=8)
    document = refused(ask(gateway, "ack", {"ackTokens": of_all}), 410, "lease_lost")
    assert [(each["index"], each["ackToken"]) for each in document["failed"]] == [
        (0, each) for each in tokens(events)
    ]


def test_a_shard_that_cannot_be_asked_fails_all_events_of_its_token_and_no_others(
    desk: Desk, gateway: Served
) -> None:
    desk.reset(parallelism=2)
    desk.put(1, 2, partition=0)
    desk.put(3, 4, 5, partition=1)
    events, of_all = received(gateway)
    away = desk.shards.pop(1)
    document = settle(gateway, "ack", of_all, events=5)
    assert document["succeeded"] == 2
    assert {each["code"] for each in document["failed"]} == {"owner_unavailable"}
    (place,) = {each["index"] for each in document["failed"]}
    assert [each["ackToken"] for each in document["failed"]] == tokens(
        [event for event in events if event["data"] > 2]
    )
    desk.shards[1] = away
    assert settle(gateway, "ack", [of_all[place]], events=3) == {"succeeded": 3, "failed": []}


def test_a_token_of_several_events_that_comes_twice_has_two_outcomes_for_each(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2, 3, 4)
    _, of_all = received(gateway, maxEvents=2)
    assert settle(gateway, "ack", of_all * 2, events=4) == {"succeeded": 4, "failed": []}
    events, of_all = received(gateway)
    document = settle(gateway, "release", of_all * 2, events=4)
    assert document["succeeded"] == 2
    assert [(each["index"], each["ackToken"], each["code"]) for each in document["failed"]] == [
        (1, text, "lease_lost") for text in tokens(events)
    ]


def test_a_token_of_several_events_that_is_cut_off_or_goes_on_is_none(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2, 3)
    _, (of_all,) = received(gateway)
    wrong = [of_all[:length] for length in range(len(of_all))]
    wrong += [of_all + more for more in ("A", "AAAA", "AAAAAAAA", "\n", "é")] + [f" {of_all}", f"A{of_all[1:]}A"]
    document = refused(ask(gateway, "ack", {"ackTokens": wrong}), 400, "invalid_ack_token")
    assert [each["index"] for each in document["failed"]] == list(range(len(wrong)))
    assert not any("ackToken" in each for each in document["failed"])
    assert desk.shard.settled == []
    assert settle(gateway, "ack", [of_all], events=3)["succeeded"] == 3


@pytest.mark.parametrize(
    ("verb", "further"), [("ack", {}), ("release", {}), ("extend", {"leaseSeconds": 100}), ("reject", {})]
)
def test_tokens_of_more_events_than_there_may_be_are_refused_and_nothing_is_done(
    verb: str, further: dict[str, Any]
) -> None:
    desk = Desk(max_ack_tokens=4)
    with served(further=desk.routes) as gateway:
        desk.put(*range(7))
        _, of_five = received(gateway, maxEvents=5)
        own = tokens(receive(gateway))
        told = {"/ackTokens": "expected tokens of at most 4 events"}
        for too_many in (of_five, [*own, *of_five], [*of_five, DAMAGED]):
            assert faults(ask(gateway, verb, {"ackTokens": too_many, **further})) == told
        assert desk.shard.settled == []
        assert settle(gateway, verb, own, **further)["succeeded"] == 2


def test_as_many_events_as_there_may_be_are_settled_by_their_tokens(desk: Desk, gateway: Served) -> None:
    desk.put(*range(1_000))
    _, of_all = received(gateway, maxEvents=1_000)
    desk.put(1, partition=1)
    own = tokens(receive(gateway))
    assert settle(gateway, "ack", of_all * 10, events=10_000) == {"succeeded": 10_000, "failed": []}
    told = {"/ackTokens": "expected tokens of at most 10000 events"}
    assert faults(ask(gateway, "ack", {"ackTokens": [*of_all * 10, *own]})) == told


def test_a_receive_with_tokens_of_more_events_than_it_may_bring_acks_and_leases_nothing() -> None:
    desk = Desk(max_receive_events=3)
    with served(further=desk.routes) as gateway:
        desk.put(*range(8))
        _, of_three = received(gateway)
        events, of_others = received(gateway)
        told = {"/ackTokens": "expected tokens of at most 3 events"}
        for too_many in ([*of_three, *of_others], [*of_three, tokens(events)[0]]):
            assert faults(ask(gateway, "receive", {"ackTokens": too_many})) == told
        assert desk.shard.settled == []
        document = ask(gateway, "receive", {"ackTokens": of_three}).json()
        assert document["acked"] == {"succeeded": 3, "failed": []}
        assert [event["data"] for event in document["events"]] == [6, 7]


# Access


def test_subscriptions_and_tokens_of_others_are_of_no_use(tmp_path: Path) -> None:
    desk = Desk(owner="archive")
    with served(auth=AUTH, further=desk.routes) as gateway:
        desk.put(1)
        owner, other = bearer(ARCHIVE), bearer(CLINIC)
        found = ask(gateway, "receive", {}, headers=owner).json()["events"]
        body = {"ackTokens": tokens(found)}
        problem(ask(gateway, "receive", {}, headers=other), 404, "unknown_subscription")
        problem(ask(gateway, "ack", body, headers=other), 404, "unknown_subscription")
        problem(ask(gateway, "ack", body), 401, "unauthenticated")
        assert ask(gateway, "ack", body, headers=owner).json()["succeeded"] == 1


def test_one_principal_cannot_take_all_places() -> None:
    desk = Desk(max_concurrent_polls=3, max_concurrent_polls_per_owner=1)
    with served(further=desk.routes) as gateway, ThreadPoolExecutor() as pool:
        poll = pool.submit(receive, gateway, waitSeconds=60)
        assert waiting(desk)
        problem(ask(gateway, "receive", {}), 503, "overloaded")
        desk.put(1)
        assert len(poll.result(PATIENCE)) == 1
        assert receive(gateway) == []
