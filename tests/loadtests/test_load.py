"""The load counts every answer, and the numbers made of it are right."""

import asyncio
import contextlib
import json
import os
import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtests.events import events, publishes
from loadtests.histogram import Histogram, bucket, merged, middle
from loadtests.load import Plan, Report, histogram, run
from loadtests.measuring import Failed, checked, gateway_config
from loadtests.processes import floor_server, load
from loadtests.results import Interval, result, table

from eventbus_gateway.config import load as load_config

OK = b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nContent-Length: 11\r\n\r\n{"id":"abc"}'[:-1]
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
REQUESTS = publishes("visits", 1, 50)

Answers = Callable[[int], list[bytes]]


class Server:
    """A server that sends what a test wants, in the parts that the test wants, and counts whole requests."""

    def __init__(self, answers: Answers) -> None:
        self.requests = 0
        self.bodies: set[bytes] = set()
        self._answers = answers
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.bodies.add(await reader.readexactly(size))
                self.requests += 1
                parts = self._answers(self.requests)
                if not parts:
                    break
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            await asyncio.wait_for(asyncio.gather(*self._tasks), 10)


def _report(server: Server, connections: int = 4, seconds: float = 0.15) -> Report:
    async def main() -> Report:
        async with server.listening() as port:
            plan = Plan(port, os.getpid(), connections, "visits", 1, len(REQUESTS), 0.05, seconds)
            return await run(plan, REQUESTS)

    return asyncio.run(main())


def test_every_answer_is_counted_once() -> None:
    server = Server(lambda _: [OK])
    report = _report(server)
    assert report.answers == {"201": server.requests}
    assert report.unanswered == 0
    assert 0 < report.measured["201"] < server.requests
    assert sum(report.latencies.values()) == report.measured["201"]
    assert report.seconds >= 0.15
    assert report.server_cpu_seconds >= 0
    assert report.own_cpu_seconds > 0


def test_an_answer_in_parts_is_one_answer() -> None:
    server = Server(lambda number: [OK[: number % len(OK)], OK[number % len(OK) :]] if number % len(OK) else [OK])
    report = _report(server)
    assert report.answers == {"201": server.requests}


def test_an_answer_that_is_no_success_is_counted_apart() -> None:
    server = Server(lambda number: [REFUSED if number % 10 == 0 else OK])
    report = _report(server)
    assert report.answers["503"] == server.requests // 10
    assert report.answers["201"] == server.requests - server.requests // 10


def test_a_request_without_answer_is_counted() -> None:
    server = Server(lambda number: [] if number == 20 else [OK])
    report = _report(server)
    assert report.unanswered == 1
    assert report.answers == {"201": server.requests - 1}


def test_a_server_that_closes_all_connections_ends_the_load_at_once() -> None:
    server = Server(lambda number: [OK] if number <= 8 else [])
    report = _report(server, seconds=60)
    assert (report.unanswered, report.answers) == (4, {"201": 8})
    assert report.seconds < 30


def test_numbers_stand_only_when_every_request_succeeded() -> None:
    good = Report({"201": 9}, 0, {"201": 5}, 1.0, 0.1, 0.1, {100: 5})
    assert checked(good, "201") == good
    for bad in (
        good._replace(answers={"201": 9, "503": 1}),
        good._replace(answers={"200": 9}),
        good._replace(unanswered=1),
        good._replace(measured={}),
        good._replace(answers={}),
    ):
        with pytest.raises(Failed):
            checked(bad, "201")


def test_the_gateway_that_is_measured_has_a_sound_configuration(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(gateway_config("127.0.0.1:9092", (8080, 8081)))
    config = load_config(file, {})
    assert config.http.access_log
    assert config.topic("visits").key == "/visitId"


def test_all_the_different_requests_are_sent() -> None:
    server = Server(lambda _: [OK])
    _report(server, connections=3)
    assert server.requests > 3 * len(REQUESTS)
    assert len(server.bodies) == len(REQUESTS)


def test_events_are_different_valid_and_the_same_for_the_same_seed() -> None:
    made = events(200)
    assert len(set(made)) == 200
    assert made == events(200)
    assert made != events(200, seed=2)
    assert 400 <= sum(map(len, made)) / 200 <= 500
    assert {len(json.loads(event)) for event in made} == {12}


def test_a_request_with_many_events_has_one_per_line() -> None:
    [request] = publishes("visits", 100, 1)
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"content-type: application/x-ndjson" in head
    assert b"content-length: %d" % len(body) in head
    assert len(body.split(b"\n")) == 100


def test_the_floor_and_the_load_work_as_processes_of_their_own() -> None:
    with floor_server(b'{"constant":true}') as served:
        report = load(Plan(served.port, served.pid, 2, "visits", 1, 10, 0.1, 0.3))
    assert set(report.answers) == {"201"}
    assert report.unanswered == 0
    assert report.server_cpu_seconds > 0
    assert histogram(report).percentile(0.5) > 0


@given(st.integers(0, 10**12))
def test_a_bucket_is_no_wider_than_a_64th_of_its_value(microseconds: int) -> None:
    assert abs(middle(bucket(microseconds)) - microseconds) <= microseconds / 64


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_larger_durations_have_no_smaller_buckets(one: int, other: int) -> None:
    assert (bucket(one) <= bucket(other)) == (one <= other) or bucket(one) == bucket(other)


@given(st.lists(st.integers(0, 10**7), min_size=1), st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_one_of_the_sorted_durations(durations: list[int], share: float) -> None:
    counted = Histogram()
    for duration in durations:
        counted.add(duration)
    exact = sorted(durations)[max(0, -(-len(durations) * share // 1).__int__() - 1)]
    assert counted.percentile(share) == middle(bucket(exact))


@given(st.lists(st.lists(st.integers(0, 10**6)), max_size=4))
def test_merging_is_counting_together(groups: list[list[int]]) -> None:
    parts, whole = [Histogram() for _ in groups], Histogram()
    for part, group in zip(parts, groups, strict=True):
        for duration in group:
            part.add(duration)
            whole.add(duration)
    assert merged(parts).counts == whole.counts


def test_without_durations_there_is_no_percentile() -> None:
    assert Histogram().percentile(0.5) == 0


def test_a_result_compares_the_means_of_what_was_measured_in_turns() -> None:
    def interval(what: str, events: int, cpu: float, *durations: int) -> Interval:
        counted = Histogram()
        for duration in durations:
            counted.add(duration)
        return Interval(what, events, 2.0, cpu, counted)

    intervals = [
        interval("floor", 100_000, 1.0, 1),
        interval("gateway", 50_000, 1.0, 100, 100),
        interval("floor", 100_000, 3.0, 1),
        interval("gateway", 50_000, 2.0, 50, 100),
    ]
    line = result("publish-single", intervals, 81.26)
    assert line.events_per_second == 25_000
    assert (line.cpu_us_per_event, line.floor_us, line.ratio) == (30.0, 20.0, 1.5)
    assert (line.p50_ms, line.p99_ms, line.rss_mib) == (0.1, 0.1, 81.3)
    head, row = table([line]).splitlines()
    assert len(head) == len(row)
    assert row.split() == ["publish-single", "25,000", "30.0", "20.0", "1.50", "0.100", "0.100", "81"]


def test_a_result_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        result("publish-single", [], 1.0)
