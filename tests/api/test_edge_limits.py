"""Everything that a caller can make the edge hold or wait for has a bound."""

from collections.abc import Iterable

import pytest
from tests.api.wire import (
    PATIENCE,
    TOPIC,
    at_rest,
    both_ways,
    calling,
    chunked,
    connections,
    edge,
    eventually,
    get,
    head,
    held,
    hold,
    in_work,
    let_go,
    logged,
    post,
    stored,
)
from tests.serving import Way

from eventbus_gateway.api.settings import PublishSettings

SOON = 0.3
LATE = 4.0
MEGABYTE = 1_048_576


@both_ways
@pytest.mark.parametrize(
    "headers",
    [
        [b"X-A: " + b"a" * 2_000],
        [b"X" * 2_000 + b": a"],
        [b"X-%d: %s" % (number, b"a" * 40) for number in range(30)],
        [b"X-%d: a" % number for number in range(9)],
    ],
    ids=["one long value", "one long name", "many bytes in many headers", "many headers"],
)
def test_a_head_beyond_its_bounds_is_refused(way: Way, headers: Iterable[bytes]) -> None:
    with edge(way, max_header_bytes=1_024, max_headers=10) as gateway, calling(gateway) as caller:
        refusal = caller.ask(post(b"{}", *headers))
        assert (refusal.status, refusal.code) == (431, "headers_too_large")
        assert refusal.closes
        assert caller.closed()
        assert stored(gateway) == 0


@both_ways
def test_a_long_target_is_refused(way: Way) -> None:
    with edge(way, max_header_bytes=1_024) as gateway, calling(gateway) as caller:
        assert caller.ask(get(b"/" + b"a" * 2_000)).status == 431
        assert caller.closed()


@both_ways
@pytest.mark.parametrize(
    "start",
    [head()[:-2] + b"X-A: a", b"GET /", head()[:-2] + b"X", b"GET / HTTP/1.1\r\nHost: "],
    ids=["header", "target", "header name", "host"],
)
def test_a_line_without_an_end_is_cut_off_before_it_costs_memory(way: Way, start: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        caller.send(start)
        sent = 0
        while caller.quiet(0.01) and sent < 16 * MEGABYTE:
            caller.send(b"a" * 65_536)
            sent += 65_536
        # One data block may be large, and some are under way when the answer comes.
        assert sent < MEGABYTE
        assert caller.answer().status == 431


@both_ways
def test_a_head_in_small_pieces_has_the_same_bound(way: Way) -> None:
    with edge(way, max_header_bytes=1_024) as gateway, calling(gateway) as caller:
        caller.send(head()[:-2] + b"X-A: ")
        caller.flood(b"a" * 100, MEGABYTE)
        assert caller.answer().status == 431


@both_ways
@pytest.mark.parametrize(
    "start",
    [b"0\r\nX-A: a", b"0\r\nX", b"1;a=", b"1;a", b"0;a="],
    ids=["trailer", "trailer name", "extension value", "extension name", "extension of the last chunk"],
)
def test_chunk_framing_without_an_end_is_cut_off(way: Way, start: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        caller.send(head(b"Transfer-Encoding: chunked"), start)
        caller.flood(b"a" * 1_000, MEGABYTE)
        assert caller.answer().status == 431
        assert stored(gateway) == 0
        assert len(logged(gateway)) == 1


@both_ways
def test_pipelined_heads_that_cross_packets_are_not_taken_for_one_long_head(way: Way) -> None:
    requests = post(b'{"a":"%s"}' % (b"b" * 800)) * 30
    with edge(way, max_header_bytes=1_024) as gateway, calling(gateway) as caller:
        # Every packet ends within a head.
        size = len(requests) // 30
        parts = [requests[at : at + size * 3] for at in range(20, len(requests), size * 3)]
        caller.send(requests[:20], *parts)
        assert [answer.status for answer in caller.answers(30)] == [201] * 30


@both_ways
@pytest.mark.parametrize("start", [b"P", post()[:20], head()[:-2], b"\r\nPOST"])
def test_a_head_that_takes_too_long_is_refused(way: Way, start: bytes) -> None:
    with edge(way, header_timeout_seconds=SOON) as gateway:
        with calling(gateway) as caller:
            refusal = caller.ask(start)
            assert (refusal.status, refusal.code) == (408, "request_timeout")
            assert refusal.closes
            assert caller.closed()
        assert [line["status"] for line in logged(gateway)] == [408]
        assert at_rest(gateway)


@both_ways
def test_the_time_for_a_head_does_not_begin_anew_with_every_byte(way: Way) -> None:
    with edge(way, header_timeout_seconds=SOON) as gateway, calling(gateway) as caller:
        caller.send(head()[:-2] + b"X-A: ")
        refused = eventually(lambda: not caller.quiet(0.05) or caller.flood(b"a", 1) < 0, within=LATE)
        assert refused
        assert caller.answer().status == 408


@both_ways
@pytest.mark.parametrize(
    "start",
    [post()[:-1], head(b"Transfer-Encoding: chunked") + b"5\r\nab", head(b"Transfer-Encoding: chunked")],
    ids=["length", "chunk", "no chunk"],
)
def test_a_body_that_takes_too_long_is_refused(way: Way, start: bytes) -> None:
    with edge(way, body_timeout_seconds=SOON) as gateway:
        with calling(gateway) as caller:
            refusal = caller.ask(start)
            assert (refusal.status, refusal.code) == (408, "request_timeout")
            assert caller.closed()
        assert [line["status"] for line in logged(gateway)] == [408]
        assert stored(gateway) == 0
        assert at_rest(gateway)


@both_ways
def test_a_connection_without_a_byte_is_closed(way: Way) -> None:
    with edge(way, header_timeout_seconds=SOON) as gateway, calling(gateway) as caller:
        assert caller.closed()
        assert logged(gateway) == []


@both_ways
def test_empty_lines_do_not_keep_a_connection_open(way: Way) -> None:
    with edge(way, header_timeout_seconds=SOON) as gateway, calling(gateway) as caller:
        assert eventually(lambda: caller.flood(b"\r\n", 2) == 0, within=LATE)


@both_ways
def test_an_idle_connection_is_closed_after_an_answer(way: Way) -> None:
    with edge(way, idle_timeout_seconds=SOON) as gateway, calling(gateway) as caller:
        for request in (post(), get(), get(b"/nothing")):
            assert caller.ask(request).status in {201, 200, 404}
        assert caller.closed()


@both_ways
def test_a_connection_is_not_idle_while_its_answer_is_worked_on(way: Way) -> None:
    with edge(way, idle_timeout_seconds=SOON, body_timeout_seconds=SOON, header_timeout_seconds=SOON) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post())
            assert held(gateway, 1)
            assert caller.quiet(4 * SOON)
            let_go(gateway)
            assert caller.answer().status == 201


@both_ways
def test_connections_beyond_the_bound_are_told_so(way: Way) -> None:
    with edge(way, max_connections=2) as gateway:
        with calling(gateway) as first, calling(gateway) as second, calling(gateway) as third:
            assert first.ask(post()).status == 201
            assert second.ask(post()).status == 201
            # It sends without waiting, as most do: the answer must not be lost to a reset.
            third.send(post())
            refusal = third.answer()
            assert (refusal.status, refusal.code) == (503, "overloaded")
            assert refusal.header("retry-after") == "1"
            assert third.closed()
            assert first.ask(post()).status == 201
        assert at_rest(gateway)
        assert stored(gateway) == 3
        with calling(gateway) as later:
            assert later.ask(post()).status == 201


@both_ways
def test_refused_connections_do_not_keep_sound_ones_out(way: Way) -> None:
    with edge(way, max_connections=1, linger_seconds=LATE) as gateway:
        with calling(gateway) as first, calling(gateway) as second:
            assert first.ask(post()).status == 201
            assert second.answer().status == 503
            first.close()
            assert eventually(lambda: len(gateway.edge.connections) == 1)
            with calling(gateway) as third:
                assert third.ask(post()).status == 201
        assert at_rest(gateway)
        assert gateway.edge.turned_away == 0


def test_refused_connections_have_a_bound_themselves() -> None:
    with edge(max_connections=1, linger_seconds=60) as gateway:
        callers = []
        with calling(gateway) as first:
            assert first.ask(post()).status == 201
            for _ in range(256):
                with_answer = calling(gateway)
                callers.append((with_answer, with_answer.__enter__()))
            assert [caller.answer().status for _, caller in callers] == [503] * 256
            with calling(gateway) as one_more:
                assert one_more.closed()
            assert len(gateway.edge.connections) <= 257
        for context, _ in callers:
            context.__exit__(None, None, None)
        assert at_rest(gateway)


@both_ways
def test_a_body_declared_too_large_is_refused_although_the_caller_goes_on_sending(way: Way) -> None:
    with edge(way, publish=PublishSettings(max_event_bytes=1_024)) as gateway:
        with calling(gateway) as caller:
            caller.send(head(b"Content-Length: %d" % (8 * MEGABYTE), b"X-Request-Id: mine"))
            caller.flood(b"a" * 65_536, 8 * MEGABYTE)
            refusal = caller.answer()
            assert (refusal.status, refusal.code) == (413, "body_too_large")
            assert refusal.header("x-request-id") == "mine"
        assert stored(gateway) == 0
        assert at_rest(gateway)


@both_ways
def test_a_body_that_grows_too_large_in_chunks_is_refused_although_the_caller_goes_on_sending(way: Way) -> None:
    with edge(way, publish=PublishSettings(max_event_bytes=1_024)) as gateway:
        with calling(gateway) as caller:
            caller.send(head(b"Transfer-Encoding: chunked"))
            caller.flood(b"1000\r\n" + b"a" * 4_096 + b"\r\n", 8 * MEGABYTE)
            assert caller.answer().status == 413
        assert stored(gateway) == 0
        assert at_rest(gateway)


@both_ways
def test_a_body_of_exactly_the_bound_is_taken(way: Way) -> None:
    with edge(way, publish=PublishSettings(max_event_bytes=1_024)) as gateway, calling(gateway) as caller:
        body = b'"' + b"a" * 1_022 + b'"'
        assert caller.ask(post(body)).status == 201
        assert caller.ask(chunked(body[:500], body[500:])).status == 201
        assert caller.ask(post(body + b" ")).status == 413


@both_ways
def test_batches_have_a_larger_bound(way: Way) -> None:
    bounds = PublishSettings(max_event_bytes=1_024, max_batch_bytes=4_096)
    with edge(way, publish=bounds) as gateway, calling(gateway) as caller:
        lines = post(b'"%s"\n' % (b"a" * 500) * 5)
        batch = lines.replace(b"application/json", b"Application/X-NDJSON; charset=utf-8")
        assert caller.ask(batch).status == 200
        assert stored(gateway) == 5


@both_ways
def test_requests_beyond_the_bound_are_refused_until_others_end(way: Way) -> None:
    with edge(way, max_in_flight_requests=2) as gateway:
        hold(gateway)
        with calling(gateway) as first, calling(gateway) as second, calling(gateway) as third:
            first.send(post())
            second.send(post())
            assert held(gateway, 2)
            refusal = third.ask(post(b"{}", b"X-Request-Id: mine"))
            assert (refusal.status, refusal.code) == (503, "overloaded")
            assert refusal.header("retry-after") == "1"
            assert refusal.header("x-request-id") == "mine"
            let_go(gateway)
            assert first.answer().status == second.answer().status == 201
        with calling(gateway) as later:
            assert later.ask(post()).status == 201
        assert at_rest(gateway)
        assert stored(gateway) == 3


@both_ways
def test_bytes_beyond_the_bound_are_refused_until_others_are_gone(way: Way) -> None:
    with edge(way, max_in_flight_bytes=MEGABYTE) as gateway:
        with calling(gateway) as first, calling(gateway) as second:
            body = b'"' + b"a" * 700_000 + b'"'
            first.send(head(b"Content-Length: %d" % len(body)), body[:-1])
            assert eventually(lambda: gateway.admission.bytes == len(body) - 1)
            refusal = second.ask(post(body))
            assert (refusal.status, refusal.code) == (503, "overloaded")
            assert first.ask(body[-1:]).status == 201
        with calling(gateway) as later:
            assert later.ask(post(body)).status == 201
        assert at_rest(gateway)


def test_a_body_of_tiny_chunks_comes_together() -> None:
    body = b'"' + b"ab" * 100_000 + b'"'
    with edge() as gateway, calling(gateway) as caller:
        assert caller.ask(chunked(*(body[at : at + 2] for at in range(0, len(body), 2)))).status == 201
        assert gateway.kafka.records(TOPIC)[0].value == body


@both_ways
@pytest.mark.parametrize("request_bytes", [post(), get(), get(b"/nothing")], ids=["publish", "topics", "nothing"])
def test_requests_pipelined_beyond_the_bound_are_refused_behind_the_others(way: Way, request_bytes: bytes) -> None:
    with edge(way, max_pipelined_requests=4) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post() + request_bytes * 10)
            assert held(gateway, 1)
            assert max(len(found.pipeline) for found in connections(gateway)) <= 5
            let_go(gateway)
            *answers, refusal = caller.answers(6)
            assert all(answer.status in {201, 200, 404} for answer in answers)
            assert (refusal.status, refusal.code) == (503, "overloaded")
            assert caller.closed()
        assert at_rest(gateway)


@both_ways
def test_a_caller_that_does_not_read_is_cut_off(way: Way) -> None:
    with edge(way, idle_timeout_seconds=SOON, max_pipelined_requests=1_000) as gateway:
        with calling(gateway, receive_buffer=4_096) as caller:
            caller.flood(get(b"/" + b"a" * 15_000), 64 * MEGABYTE)
            assert eventually(lambda: not gateway.edge.connections, within=LATE)
        assert at_rest(gateway)


@both_ways
def test_a_caller_that_does_not_read_does_not_make_answers_pile_up(way: Way) -> None:
    batch = post(b"1\n" * 10_000).replace(b"application/json", b"application/x-ndjson")
    with edge(way, max_pipelined_requests=64, idle_timeout_seconds=60) as gateway:
        with calling(gateway, receive_buffer=4_096) as caller:
            caller.flood(batch, 16 * len(batch))
            assert eventually(lambda: any(found.flow.write_paused for found in connections(gateway)))
            (connection,) = connections(gateway)
            written = gateway.call(connection.transport.get_write_buffer_size)
            assert written < 2 * MEGABYTE
        assert at_rest(gateway)


@both_ways
def test_a_slow_reader_gets_every_answer(way: Way) -> None:
    with edge(way, max_pipelined_requests=1_000) as gateway, calling(gateway, receive_buffer=4_096) as caller:
        missing = get(b"/" + b"a" * 2_000)
        for _ in range(4):
            caller.send((missing + post()) * 200)
            assert [answer.status for answer in caller.answers(400)] == [404, 201] * 200


@both_ways
def test_draining_does_not_wait_for_callers_that_do_not_read(way: Way) -> None:
    with edge(way, linger_seconds=SOON, idle_timeout_seconds=60, max_pipelined_requests=1_000) as gateway:
        with calling(gateway, receive_buffer=4_096) as caller:
            caller.flood(get(b"/" + b"a" * 15_000), 64 * MEGABYTE)
            assert eventually(lambda: any(found.flow.write_paused for found in connections(gateway)))
            gateway.stop()
            assert eventually(lambda: not gateway.edge.connections, within=LATE)
        assert at_rest(gateway)


@both_ways
def test_whoever_asks_first_is_told_to_go_on(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        body = b'{"a":1}'
        caller.send(head(b"Content-Length: 7", b"Expect: 100-Continue"))
        assert caller.answer().status == 100
        assert caller.ask(body).status == 201
        assert caller.ask(post(body)).status == 201


@both_ways
def test_whoever_is_refused_is_not_told_to_go_on(way: Way) -> None:
    with edge(way, publish=PublishSettings(max_event_bytes=1_024)) as gateway, calling(gateway) as caller:
        refusal = caller.ask(head(b"Content-Length: 2000", b"Expect: 100-continue"))
        assert refusal.status == 413
        assert refusal.closes
        assert caller.closed()


@both_ways
def test_whoever_asks_behind_another_request_is_told_to_go_on_when_its_turn_comes(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        hold(gateway)
        caller.send(post() + head(b"Content-Length: 7", b"Expect: 100-continue"))
        assert held(gateway, 1)
        assert caller.quiet(0.2)
        let_go(gateway)
        assert caller.answer().status == 201
        assert caller.answer().status == 100
        assert caller.ask(b'{"a":1}').status == 201


@both_ways
def test_a_refused_caller_has_time_to_read_and_no_more(way: Way) -> None:
    with edge(way, linger_seconds=SOON) as gateway:
        with calling(gateway) as caller:
            caller.send(b"nonsense\r\n\r\n")
            assert eventually(lambda: not gateway.edge.connections, within=LATE)
            assert caller.answer().status == 400
        assert at_rest(gateway)


@both_ways
def test_a_refusal_that_waits_behind_another_answer_is_made_once(way: Way) -> None:
    with edge(way, header_timeout_seconds=SOON, body_timeout_seconds=SOON) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post() + b"POST / HTTP/1.1\r\nnonsense\r\n\r\n")
            assert held(gateway, 1)
            assert caller.quiet(4 * SOON)
            let_go(gateway)
            assert [answer.status for answer in caller.answers(2)] == [201, 400]
            assert caller.closed()
        assert sorted(line["status"] for line in logged(gateway)) == [201, 400]
        assert at_rest(gateway)


def test_a_body_that_waits_because_the_gateway_does_not_read_is_not_late() -> None:
    with edge(body_timeout_seconds=SOON) as gateway:
        hold(gateway)
        with calling(gateway) as caller:
            caller.send(post() * 2 + post()[:-1])
            assert held(gateway, 1)
            assert caller.quiet(4 * SOON)
            caller.send(post()[-1:])
            let_go(gateway)
            assert [answer.status for answer in caller.answers(3)] == [201] * 3
        assert at_rest(gateway)
        assert in_work(gateway, 0)


def test_the_connection_of_a_target_that_is_not_hot_is_bounded_too() -> None:
    with edge(body_timeout_seconds=SOON) as gateway, calling(gateway) as caller:
        caller.send(get(b"/nothing", b"Content-Length: 5", method=b"PUT"))
        assert caller.answer().status in {404, 408}
        assert caller.closed(within=PATIENCE)
