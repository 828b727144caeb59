"""What callers see when the gateway is told to stop."""

import socket

import pytest
from tests.api.wire import (
    PATIENCE,
    Caller,
    both_ways,
    calling,
    connections,
    edge,
    eventually,
    get,
    head,
    held,
    hold,
    let_go,
    logged,
    post,
    stored,
)
from tests.serving import Served, Way


def drain(gateway: Served) -> None:
    """Begin to stop, and wait until every connection knows."""
    gateway.stop()
    assert eventually(lambda: gateway.edge.is_draining)
    gateway.call(lambda: None)


@both_ways
def test_a_request_in_work_gets_its_answer(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post())
        assert held(gateway, 1)
        drain(gateway)
        let_go(gateway)
        answer = caller.answer()
        assert (answer.status, answer.closes) == (201, True)
        assert caller.closed()
        assert gateway.ended(within=PATIENCE)
        assert stored(gateway) == 1


@both_ways
@pytest.mark.parametrize("request_bytes", [post(), get(), get(b"/nothing")], ids=["publish", "topics", "nothing"])
def test_a_request_that_is_on_its_way_gets_its_answer(way: Way, request_bytes: bytes) -> None:
    with edge(way) as gateway:
        callers = []
        for at in (1, 20, len(request_bytes) - 3, len(request_bytes) - 1):
            caller = Caller(gateway)
            caller.send(request_bytes[:at])
            callers.append((caller, request_bytes[at:]))
        assert eventually(lambda: sum(found._receiving for found in connections(gateway)) == 4)
        drain(gateway)
        for caller, rest in callers:
            answer = caller.ask(rest)
            assert answer.status in {200, 201, 404}
            assert answer.closes
            assert caller.closed()
            caller.close()
        assert gateway.ended(within=PATIENCE)


@both_ways
def test_pipelined_requests_all_get_their_answer_and_the_last_one_says_goodbye(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post() + get() + post())
        assert held(gateway, 1)
        drain(gateway)
        let_go(gateway)
        answers = caller.answers(3)
        assert [answer.status for answer in answers] == [201, 200, 201]
        assert [answer.closes for answer in answers] == [False, False, True]
        assert caller.closed()


@both_ways
def test_an_idle_connection_has_time_for_one_more_request(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as used, calling(gateway) as unused:
        assert used.ask(post()).status == 201
        assert eventually(lambda: len(gateway.edge.connections) == 2)
        drain(gateway)
        for caller in (used, unused):
            answer = caller.ask(post())
            assert (answer.status, answer.closes) == (201, True)
            assert caller.closed()
        assert gateway.ended(within=PATIENCE)
        assert stored(gateway) == 3


@both_ways
def test_an_idle_connection_is_closed_soon(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as used, calling(gateway) as unused:
        assert used.ask(post()).status == 201
        assert eventually(lambda: len(gateway.edge.connections) == 2)
        drain(gateway)
        assert used.closed()
        assert unused.closed()
        assert gateway.ended(within=PATIENCE)


@both_ways
def test_a_new_connection_is_refused(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post())
        assert held(gateway, 1)
        drain(gateway)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE).close()
            except ConnectionRefusedError:
                return True
            return False

        assert eventually(refused)
        let_go(gateway)
        assert caller.answer().status == 201


@both_ways
def test_a_connection_accepted_just_before_the_listener_closed_is_drained_too(way: Way) -> None:
    with edge(way) as gateway:

        def begin() -> None:
            gateway.edge.is_draining = True

        gateway.call(begin)
        with calling(gateway) as caller:
            answer = caller.ask(post())
            assert (answer.status, answer.closes) == (201, True)
            assert caller.closed()
        with calling(gateway) as silent:
            assert silent.closed()


@both_ways
def test_a_body_that_never_ends_does_not_keep_the_process(way: Way) -> None:
    with edge(way, body_timeout_seconds=0.5) as gateway, calling(gateway) as caller:
        caller.send(head(b"Content-Length: 7"))
        assert eventually(lambda: len(gateway.edge.connections) == 1)
        drain(gateway)
        answer = caller.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert caller.closed()
        caller.close()
        assert gateway.ended(within=PATIENCE)
        assert [line["status"] for line in logged(gateway)] == [408]


@both_ways
def test_a_request_behind_an_announced_close_is_not_begun(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post())
        assert held(gateway, 1)
        drain(gateway)
        (connection,) = connections(gateway)
        gateway.call(lambda: connection.data_received(get() + post()))
        let_go(gateway)
        answer = caller.answer()
        assert answer.status == 201
        if answer.closes:
            assert caller.closed()
        else:
            assert [found.closes for found in caller.answers(2)] == [False, True]
        assert gateway.ended(within=PATIENCE)
        assert gateway.admission.requests == 0
