"""Several requests on one connection, however the network cuts them."""

from collections.abc import Callable
from functools import partial

import pytest
from tests.api.wire import (
    TARGET,
    Caller,
    Heard,
    at_rest,
    both_ways,
    calling,
    chunked,
    connections,
    edge,
    eventually,
    get,
    held,
    hold,
    let_go,
    post,
    stored,
)
from tests.serving import Served, Way

DRY = TARGET + b"?dryRun=true"
MINE = b"X-Request-Id: mine"


def arrive(gateway: Served, *parts: bytes) -> None:
    """Let data arrive on the only connection in exactly these blocks."""
    assert eventually(lambda: len(gateway.edge.connections) == 1)
    (connection,) = connections(gateway)
    for part in parts:
        gateway.call(partial(connection.data_received, part))


def without_date(answer: Heard) -> Heard:
    return answer._replace(headers=[pair for pair in answer.headers if pair[0] != "date"])


@both_ways
@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b'{"a":1}', MINE, target=DRY),
        chunked(b'{"a', b'":1}', headers=(MINE,)).replace(TARGET, DRY),
        get(b"/v1/topics", MINE),
        get(b"/nothing", MINE),
        post(b"{", MINE, target=DRY),
    ],
    ids=["publish", "chunks", "topics", "nothing", "no JSON"],
)
def test_a_request_cut_in_two_anywhere_has_the_same_answer(way: Way, request_bytes: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        whole = without_date(caller.ask(request_bytes))
        for at in range(1, len(request_bytes)):
            arrive(gateway, request_bytes[:at], request_bytes[at:])
            assert without_date(caller.answer()) == whole, at


@both_ways
def test_a_request_that_comes_byte_by_byte_has_the_same_answer(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        for request_bytes in (post(), chunked(b"[1,", b"2]"), get()):
            arrive(gateway, *(request_bytes[at : at + 1] for at in range(len(request_bytes))))
            assert caller.answer().status in {200, 201}
        assert stored(gateway) == 2


@both_ways
@pytest.mark.parametrize("request_bytes", [b"POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"no request\r\n\r\n"])
def test_a_refused_request_is_refused_however_it_is_cut(way: Way, request_bytes: bytes) -> None:
    with edge(way) as gateway:
        for at in range(1, len(request_bytes)):
            with calling(gateway) as caller:
                arrive(gateway, request_bytes[:at], request_bytes[at:])
                assert caller.answer().status == 400
                assert caller.closed()
            assert at_rest(gateway)


def mixture(count: int) -> list[tuple[bytes, int]]:
    kinds: list[tuple[Callable[[bytes], bytes], int]] = [
        (lambda mark: post(b'{"a":1}', mark), 201),
        (lambda mark: get(b"/v1/topics", mark), 200),
        (lambda mark: chunked(b'{"a"', b":1}", headers=(mark,)), 201),
        (lambda mark: get(b"/nothing", mark), 404),
        (lambda mark: post(b"{", mark), 400),
        (lambda mark: post(b"{}", mark, target=b"/v1/topics/unknown/events"), 404),
        (lambda mark: get(TARGET, mark, method=b"DELETE"), 405),
        (lambda mark: post(b"{}", mark, target=b"/v1/topics"), 405),
    ]
    return [
        (make(b"X-Request-Id: %d" % number), status)
        for number in range(count)
        for make, status in [kinds[(number * 5 + number // 8) % len(kinds)]]
    ]


@both_ways
@pytest.mark.parametrize("block", [1_000_000, 1_000, 97])
def test_pipelined_requests_are_answered_in_their_order(way: Way, block: int) -> None:
    requests = mixture(200)
    sent = b"".join(request_bytes for request_bytes, _ in requests)
    with edge(way, max_pipelined_requests=1_000) as gateway, calling(gateway) as caller:
        caller.send(*(sent[at : at + block] for at in range(0, len(sent), block)))
        answers = caller.answers(len(requests))
        assert [answer.header("x-request-id") for answer in answers] == [str(number) for number in range(200)]
        assert [answer.status for answer in answers] == [status for _, status in requests]
        assert stored(gateway) == sum(status == 201 for _, status in requests)
        caller.close()
        assert at_rest(gateway)


@both_ways
def test_a_later_answer_waits_for_an_earlier_one(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post() + get() + get(b"/nothing") + post())
        assert held(gateway, 1)
        assert caller.quiet(0.2)
        let_go(gateway)
        assert [answer.status for answer in caller.answers(4)] == [201, 200, 404, 201]


@both_ways
def test_garbage_behind_an_unanswered_request_waits_for_its_answer(way: Way) -> None:
    with edge(way) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post() + get() + b"garbage\r\n\r\n" + post())
            assert held(gateway, 1)
            assert caller.quiet(0.2)
            let_go(gateway)
            assert [answer.status for answer in caller.answers(3)] == [201, 200, 400]
            assert caller.closed()
        assert stored(gateway) == 1
        assert at_rest(gateway)


@both_ways
def test_garbage_that_comes_while_a_request_is_worked_on_waits_for_its_answer(way: Way) -> None:
    with edge(way) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post())
            assert held(gateway, 1)
            arrive(gateway, b"garbage\r\n\r\n")
            let_go(gateway)
            assert [answer.status for answer in caller.answers(2)] == [201, 400]
            assert caller.closed()
        assert at_rest(gateway)


@both_ways
def test_nothing_behind_an_announced_close_is_served(way: Way) -> None:
    with edge(way) as gateway:
        with calling(gateway) as caller:
            caller.send(post(b"{}", b"Connection: close") + post())
            answer = caller.answer()
            assert (answer.status, answer.closes) == (201, True)
            assert caller.closed()
        assert stored(gateway) == 1
        assert at_rest(gateway)


@both_ways
@pytest.mark.parametrize("announced", [b"Connection: keep-alive", b"X-A: b"])
def test_http_1_0_ends_behind_one_answer(way: Way, announced: bytes) -> None:
    with edge(way) as gateway:
        for request_bytes in (post(b"{}", announced), get(b"/v1/topics", announced)):
            with calling(gateway) as caller:
                answer = caller.ask(request_bytes.replace(b"HTTP/1.1", b"HTTP/1.0"))
                assert answer.closes
                assert caller.closed()


@both_ways
@pytest.mark.parametrize(
    "request_bytes",
    [get(b"/nothing"), post(b"{"), get(TARGET, method=b"DELETE"), post(b"{}", target=b"/v1/topics/unknown/events")],
    ids=["no route", "no JSON", "no such method", "no topic"],
)
def test_an_error_in_a_sound_request_leaves_the_connection_open(way: Way, request_bytes: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        refusal = caller.ask(request_bytes)
        assert refusal.status in {400, 404, 405}
        assert not refusal.closes
        assert caller.ask(post()).status == 201


@both_ways
def test_connections_do_not_wait_for_each_other(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as first, calling(gateway) as second:
        hold(gateway)
        first.send(post())
        assert held(gateway, 1)
        assert second.ask(get()).status == 200
        second.send(post())
        assert held(gateway, 2)
        let_go(gateway)
        assert {caller.answer().status for caller in (first, second)} == {201}


@both_ways
def test_many_connections_at_once_get_their_own_answers(way: Way) -> None:
    with edge(way) as gateway:
        callers = [Caller(gateway) for _ in range(50)]
        for number, caller in enumerate(callers):
            caller.send(post(b"%d" % number, b"X-Request-Id: %d" % number) * 3)
        for number, caller in enumerate(callers):
            assert {answer.header("x-request-id") for answer in caller.answers(3)} == {str(number)}
            caller.close()
        assert stored(gateway) == 150
        assert at_rest(gateway)
