"""The benchmarks of consuming count every event, and fail where one is missing."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from loadtests.consuming import NAMES, Consuming
from loadtests.http1 import body_of, complete_size
from tests.broker import Broker

from loadtests import pull_load

EMPTY = b'{"ackTokens":[],"events":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"


@pytest.mark.broker
@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_runs_to_its_end_on_a_real_broker(name: str, tmp_path: Path, broker: Broker) -> None:
    found = Consuming(broker, tmp_path, 0.5, {})(name)
    assert found.name == name
    assert found.cpu_us_per_event > 0
    assert found.p99_ms >= found.p50_ms > 0
    assert (found.ratio is None) is (name == "longpoll-latency")


@pytest.fixture(params=[True, False], ids=["acks apart", "acks with the next"])
def apart(request: pytest.FixtureRequest) -> bool:
    """How the client acks."""
    is_apart: bool = request.param
    return is_apart


def pulled(bodies: list[bytes], events: int, *, apart: bool, settled: bytes = b"") -> pull_load.Report:
    """What one client makes of a server that answers with these bodies, one after the other, and so to acks."""

    async def go() -> pull_load.Report:
        rest = iter(bodies)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            count = 0
            with contextlib.closing(writer):
                while data := await reader.read(65_536):
                    acks, said = b"ackTokens" in data, settled or b'{"succeeded":%d,"failed":[]}' % count
                    further = said if b"/ack " in data else next(rest, None)
                    if further is None:
                        break
                    assert (b"/ack " in data) is (acks and apart)
                    assert not acks or (b'["all of them"]' in data) is not apart
                    count = further.count(b"offset")
                    body = b'{"acked":%b,%b' % (said, further[1:]) if acks and not apart else further
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await pull_load.run(pull_load.Plan(port, 1, "care", 1, 10, events, apart))

    return asyncio.run(go())


def event(offset: int, count: int = 1) -> bytes:
    return b'{"partition":0,"offset":%d,"ackToken":"t%d","deliveryCount":%d}' % (offset, offset, count)


def answer(*events: bytes) -> bytes:
    return b'{"ackTokens":["all of them"],"events":[%b]}' % b",".join(events)


def test_every_event_that_was_acked_counts(apart: bool) -> None:
    bodies = [answer(event(1), event(2)), EMPTY, answer(event(3)), EMPTY]
    report = pulled(bodies, 3, apart=apart)
    assert (report.events, report.repeated, report.failures) == (3, 0, [])
    assert sum(report.latencies.values()) == (3 if apart else 4)


def test_an_event_that_comes_twice_is_told(apart: bool) -> None:
    assert pulled([answer(event(1), event(1)), EMPTY], 2, apart=apart).repeated == 1
    assert pulled([answer(event(1, count=2)), EMPTY], 1, apart=apart).repeated == 1


def test_an_ack_that_fails_is_a_failure(apart: bool) -> None:
    failed = b'{"succeeded":0,"failed":[{"index":0}]}'
    assert pulled([answer(event(1)), EMPTY], 1, apart=apart, settled=failed).failures


def test_an_ack_of_fewer_events_than_there_were_is_a_failure(apart: bool) -> None:
    fewer = b'{"succeeded":1,"failed":[]}'
    assert pulled([answer(event(1), event(2)), EMPTY], 2, apart=apart, settled=fewer).failures


def test_an_answer_with_nothing_that_stands_for_its_events_is_a_failure() -> None:
    assert pulled([b'{"events":[%b]}' % event(1), EMPTY], 1, apart=False).failures


def test_a_connection_that_ends_too_early_is_a_failure(apart: bool) -> None:
    assert pulled([answer(event(1))], 2, apart=apart).failures


def test_an_answer_is_complete_when_all_of_its_body_is_there() -> None:
    assert complete_size(ANSWER[:-1]) == 0
    assert complete_size(ANSWER) == len(ANSWER) + 13
    assert body_of(ANSWER + b"thirteen byte") == b"thirteen byte"
    with pytest.raises(RuntimeError):
        complete_size(b"HTTP/1.1 200 OK\r\n\r\n")
