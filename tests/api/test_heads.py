"""A head that came before means what it meant when the parser took it apart."""

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.test_edge_draining import drain
from tests.api.wire import (
    TARGET,
    TOPIC,
    at_rest,
    calling,
    chunked,
    connections,
    edge,
    eventually,
    head,
    held,
    hold,
    let_go,
    post,
    stored,
)
from tests.serving import Served

from eventbus_gateway.api.heads import MAX_HEAD_BYTES, MAX_HEADS, MAX_LEARNING_BYTES, Head, KnownHeads
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.routes import Access, Match, Route
from eventbus_gateway.kafka.memory import MemoryKafka

# Turns of the event loop within which a request is answered where Kafka is in memory.
_TURNS = 10


class Forgetful(KnownHeads):
    """Remembers nothing, so that every request goes through the parser."""

    def learn(self, raw: bytes, head: Head) -> None:
        pass


def fresh() -> MemoryKafka:
    return MemoryKafka({TOPIC: 1})


def arrive(gateway: Served, block: bytes) -> bool:
    """Let a block arrive as one piece and be worked on; False where the connection is gone."""
    found = connections(gateway)
    if not found:
        return False
    gateway.call(partial(found[0].data_received, block))
    for _ in range(_TURNS):
        gateway.call(lambda: None)
    return True


def known(gateway: Served) -> int:
    return len(gateway.edge.heads)


def test_a_head_is_remembered_once_its_request_was_whole() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        assert known(gateway) == 1
        assert [caller.ask(post(b'{"a":%d}' % number)).status for number in range(3)] == [201] * 3
        assert known(gateway) == 1
        assert caller.ask(post(b'{"a":100}')).status == 201
        assert known(gateway) == 2


def test_each_request_with_a_known_head_has_its_own_body_and_its_own_id() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        answers = [caller.ask(post(b'{"a":%d}' % number)) for number in range(5)]
        assert len({answer.json["id"] for answer in answers}) == 5
        assert len({answer.header("x-request-id") for answer in answers}) == 5
        values = [record.value for record in gateway.kafka.records(TOPIC)]
        assert values == [b'{"a":%d}' % number for number in range(5)]


@pytest.mark.parametrize(
    "block",
    [
        chunked(b'{"a":1}'),
        post(b"1", b"X-Request-Id: mine"),
        post(b"1", b"Idempotency-Key: k"),
        post(b"1", b"ce-id: one"),
        post(b"1", b"Connection: close"),
        post(b"1", b"X-Long: " + b"x" * MAX_HEAD_BYTES),
        post(b"%d" % (10**17) * (MAX_LEARNING_BYTES // 17)),
        post(b"1").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(b"1").replace(b"\r\n", b"\n"),
        post(b"1") + post(b"2"),
    ],
    ids=["chunked", "id", "key", "ce-id", "close", "long", "large", "1.0", "bare", "two"],
)
def test_what_cannot_come_again_or_leaves_a_doubt_is_not_remembered(block: bytes) -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert eventually(lambda: len(connections(gateway)) == 1)
        assert arrive(gateway, block)
        caller.answer()
        assert known(gateway) == 0


def test_a_head_whose_end_the_parser_saw_elsewhere_is_not_remembered() -> None:
    # Bare line feeds end the head before the body, in which another "end" follows.
    body = b'{"a":\r\n\r\n1}'
    block = head(b"Content-Length: %d" % len(body)).replace(b"\r\n", b"\n") + body
    with edge(kafka=fresh()) as gateway:
        for _ in range(3):
            with calling(gateway):
                assert eventually(lambda: len(connections(gateway)) == 1)
                arrive(gateway, block)
            assert at_rest(gateway)
        assert known(gateway) == 0
        assert {record.value for record in gateway.kafka.records(TOPIC)} <= {body}


LINES = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b" \r\n"])
FIELDS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 7",
            b"Content-Length: 9",
            b"Content-Length: 11",
            b"Content-Length: 0",
            b"content-length:7",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Connection: keep-alive",
            b"Expect: 100-continue",
            b"Host: b",
            b"Accept: */*",
            b"Accept: text/plain",
            b"Content-Encoding: gzip",
            b"X-Empty:",
        ]
    ),
    max_size=4,
)
BODIES = st.sampled_from(
    [b"", b'{"a":1}', b'{"b":2}', b'{"a":\r\n1}', b'{"a":\r\n\r\n1}', b'{"a":1}POST', b'7\r\n{"a":1}\r\n0\r\n\r\n']
)


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Something like a request, as one piece of data."""
    fields = [b"Host: a", b"Content-Type: application/json", *draw(FIELDS)]
    target = draw(st.sampled_from([TARGET, TARGET, TARGET + b"?dryRun=true", b"/v1/topics/unknown/events"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    end = draw(LINES)
    start = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\n"]))
    text = b"POST %s HTTP/%s%s" % (target, version, end) + b"".join(field + end for field in fields)
    return start + text + draw(st.sampled_from([b"\r\n", end])) + draw(BODIES)


def told(gateway: Served, sent: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The status lines that callers see and the records that they leave, one connection after the other."""
    lines: list[bytes] = []
    for _ in range(3):
        with calling(gateway) as caller:
            assert eventually(lambda: len(connections(gateway)) == 1)
            for block in sent:
                if not arrive(gateway, block):
                    break
            caller.finish_sending()
            lines += [line for line in caller.everything().split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        assert at_rest(gateway)
    return lines, [record.value for record in gateway.kafka.records(TOPIC)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks(), min_size=1, max_size=3).map(lambda found: found * 2))
def test_remembering_heads_changes_no_answer_and_no_record(sent: list[bytes]) -> None:
    with edge(kafka=fresh()) as remembering, edge(kafka=fresh()) as parsing:
        parsing.edge.heads = Forgetful()
        assert told(remembering, sent) == told(parsing, sent)


def test_requests_with_known_heads_count_against_the_bounds() -> None:
    with edge(kafka=fresh(), max_in_flight_requests=1) as gateway, calling(gateway) as first:
        assert first.ask(post()).status == 201
        with calling(gateway) as second:
            hold(gateway)
            first.send(post())
            assert held(gateway, 1)
            refusal = second.ask(post())
            assert (refusal.status, refusal.code, refusal.closes) == (503, "overloaded", True)
            let_go(gateway)
            assert first.answer().status == 201
        assert known(gateway) == 1
        assert eventually(lambda: (gateway.admission.requests, gateway.admission.bytes) == (0, 0))


def test_the_bytes_of_requests_with_known_heads_are_counted() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        hold(gateway)
        caller.send(post())
        assert held(gateway, 1)
        assert (gateway.admission.requests, gateway.admission.bytes) == (1, len(b'{"a":1}'))
        let_go(gateway)
        assert caller.answer().status == 201


def test_a_request_with_a_known_head_behind_another_waits_for_its_turn() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        hold(gateway)
        caller.send(post(b'{"a":2}'))
        assert held(gateway, 1)
        caller.send(post(b'{"a":3}'))
        let_go(gateway)
        assert [answer.status for answer in caller.answers(2)] == [201, 201]
        assert [record.value[-2:-1] for record in gateway.kafka.records(TOPIC)] == [b"1", b"2", b"3"]


def test_a_connection_ends_with_the_answer_while_the_gateway_drains() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        drain(gateway)
        last = caller.ask(post())
        assert (last.status, last.closes) == (201, True)
        assert stored(gateway) == 2


def remembered(length: int) -> Head:
    async def nothing(request: Request) -> None:  # pragma: no cover - never called
        raise AssertionError(request)

    route = Route("POST", "/", Access.OPEN, nothing)  # type: ignore[arg-type]
    return Head(Match(route, {}), "/", b"", {}, frozenset(), length)


def test_no_more_heads_are_remembered_than_the_bound_says() -> None:
    heads = KnownHeads()
    most = 0
    for number in range(3 * MAX_HEADS):
        heads.learn(b"%d" % number, remembered(number))
        found = heads.get(b"%d" % number)
        assert found is not None
        assert found.content_length == number
        most = max(most, len(heads))
    assert most == MAX_HEADS


def test_a_known_head_in_front_of_a_part_of_its_body_waits_for_the_rest() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        assert eventually(lambda: len(connections(gateway)) == 1)
        arrive(gateway, post()[:-3])
        assert stored(gateway) == 1
        arrive(gateway, post()[-3:])
        assert caller.answer().status == 201
        assert [record.value for record in gateway.kafka.records(TOPIC)] == [b'{"a":1}'] * 2


def test_a_known_head_and_the_next_request_in_one_block_are_two_requests() -> None:
    with edge(kafka=fresh()) as gateway, calling(gateway) as caller:
        assert caller.ask(post()).status == 201
        arrive(gateway, post() + post(b'{"b":2}'))
        assert [answer.status for answer in caller.answers(2)] == [201, 201]
        assert [record.value for record in gateway.kafka.records(TOPIC)] == [b'{"a":1}', b'{"a":1}', b'{"b":2}']
