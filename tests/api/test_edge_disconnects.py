"""Callers that go away: nothing stays behind them, and what they had sent completely is stored."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence

import pytest
from tests.api.wire import (
    TOPIC,
    Caller,
    at_rest,
    both_ways,
    calling,
    edge,
    eventually,
    get,
    head,
    held,
    hold,
    let_go,
    post,
    stored,
)
from tests.serving import Way

from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Outcome, Record, Stored

CHUNKED = head(b"Transfer-Encoding: chunked")
PHASES = {
    "nothing": b"",
    "request line": b"POST /v1",
    "headers": post()[:40],
    "head": head(b"Content-Length: 7"),
    "expecting": head(b"Content-Length: 7", b"Expect: 100-continue"),
    "body": post()[:-1],
    "chunk size": CHUNKED + b"5",
    "chunk": CHUNKED + b"5\r\nab",
    "last chunk": CHUNKED + b"2\r\n{}\r\n0\r\n",
    "other target": head(b"Content-Length: 7", target=b"/v1/topics"),
    "behind an answered one": post() + post()[:-1],
    "behind an answered other one": get() + post()[:-1],
}
LEAVES: dict[str, Callable[[Caller], None]] = {
    "closes": Caller.close,
    "resets": Caller.reset,
    "ends": Caller.finish_sending,
}


@both_ways
@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES.keys())
def test_whoever_goes_away_before_the_end_of_a_request_leaves_nothing_behind(
    way: Way, leave: Callable[[Caller], None]
) -> None:
    with edge(way) as gateway:
        for phase, begun in PHASES.items():
            caller = Caller(gateway)
            caller.send(begun)
            assert eventually(lambda: len(gateway.edge.connections) == 1)
            leave(caller)
            assert at_rest(gateway), phase
            caller.close()
        assert stored(gateway) == 1


@both_ways
@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES.keys())
def test_a_complete_publish_is_stored_although_its_caller_has_gone(way: Way, leave: Callable[[Caller], None]) -> None:
    with edge(way) as gateway:
        hold(gateway)
        caller = Caller(gateway)
        caller.send(post())
        assert held(gateway, 1)
        leave(caller)
        assert eventually(lambda: not gateway.edge.connections)
        assert gateway.admission.requests == 1
        let_go(gateway)
        assert at_rest(gateway)
        assert stored(gateway) == 1
        caller.close()


@both_ways
@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize(
    "behind",
    [post() * 3, get() * 3, get() + post()[:-1], post() + CHUNKED + b"5\r\nab", b"garbage\r\n\r\n", post()[:20]],
    ids=["publishes", "others", "half a publish", "half a chunk", "garbage", "half a head"],
)
def test_what_waits_on_a_lost_connection_is_let_go(way: Way, behind: bytes, leave: Callable[[Caller], None]) -> None:
    with edge(way) as gateway:
        hold(gateway)
        caller = Caller(gateway)
        caller.send(post() + behind)
        assert held(gateway, 1)
        leave(caller)
        let_go(gateway)
        assert at_rest(gateway)
        caller.close()
        with calling(gateway) as other:
            assert other.ask(post()).status == 201


@both_ways
def test_a_caller_that_goes_away_while_its_refusal_waits_leaves_nothing_behind(way: Way) -> None:
    with edge(way) as gateway:
        for begun in (b"garbage\r\n\r\n", head(b"Content-Length: 99999999") + b"a" * 100_000):
            caller = Caller(gateway)
            caller.send(begun)
            assert eventually(lambda: len(gateway.edge.connections) == 1)
            caller.reset()
            assert at_rest(gateway)


class ForgetfulKafka(MemoryKafka):
    """Keeps no hold of the futures that it has given out, as a client library may."""

    def __init__(self) -> None:
        super().__init__({TOPIC: 1})
        self.waiting: list[weakref.ref[asyncio.Future[list[Outcome]]]] = []

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        super().send(topic, records)
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.waiting.append(weakref.ref(future))
        return future


@both_ways
def test_the_garbage_collector_ends_no_publish_whose_caller_has_gone(way: Way) -> None:
    kafka = ForgetfulKafka()
    with edge(way, kafka) as gateway:
        caller = Caller(gateway)
        caller.send(post())
        assert eventually(lambda: len(kafka.waiting) == 1)
        caller.reset()
        assert eventually(lambda: not gateway.edge.connections)

        def acknowledge() -> bool:
            gc.collect()
            future = kafka.waiting[0]()
            if future is not None:
                future.set_result([Stored(0, 0, 0)])
            return future is not None

        assert gateway.call(acknowledge)
        assert at_rest(gateway)


def test_a_publish_whose_caller_has_gone_is_waited_for_at_shutdown() -> None:
    with edge() as gateway:
        hold(gateway)
        caller = Caller(gateway)
        caller.send(post())
        assert held(gateway, 1)
        caller.reset()
        assert eventually(lambda: not gateway.edge.connections)
        gateway.stop()
        assert eventually(lambda: gateway.edge.is_draining)
        # Long enough for the server to end if it did not wait.
        assert not gateway.ended(within=0.5)
        let_go(gateway)
        assert gateway.ended(within=5)
        assert gateway.admission.requests == 0
