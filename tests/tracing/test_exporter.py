"""Spans on their way to a collector: what gets lost is counted, and nobody waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.leaks import MARK
from tests.polling import until
from tests.scripted_server import Canned
from tests.tracing.collector import Collector, settings

from eventbus_gateway.telemetry import Counter
from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.exporter import Exporter
from eventbus_gateway.tracing.otlp import Otlp
from eventbus_gateway.tracing.span import About, Kind, Span

TRACE, CAUSE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def span(number: int = 1, **changes: Any) -> Span:
    one = Span(About("GET /v1/topics", Kind.SERVER), Context(TRACE, f"{number:016x}", True, "a=1"), CAUSE, 1_000)
    one.ended = 3_000
    for name, value in changes.items():
        setattr(one, name, value)
    return one


class Running:
    """An exporter with what it counted; its pauses take no time."""

    def __init__(self, collector: Collector, **fields: Any) -> None:
        self.counter = Counter("spans", "Spans.", ("outcome",))
        self.pauses: list[float] = []
        otlp = Otlp({"service.name": "tests"}, "1.0")
        self.exporter = Exporter(settings(collector, **fields), otlp, self.counter, self._sleep)

    @property
    def counts(self) -> dict[str, float]:
        return {labels[0]: value for labels, value in self.counter.values.items()}

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


def exporting(scenario: Callable[[Running, Collector], Awaitable[None]], **fields: Any) -> tuple[Running, Collector]:
    """Run a scenario with an exporter and a collector, and end the exporter as a process does."""

    async def run(collector: Collector) -> Running:
        running = Running(collector, **fields)
        running.exporter.start()
        await scenario(running, collector)
        await running.exporter.close()
        return running

    with Collector() as collector:
        return asyncio.run(run(collector)), collector


def test_a_span_arrives_with_everything_that_it_says() -> None:
    async def scenario(running: Running, _: Collector) -> None:
        attributes = {"http.route": "/v1/topics", "http.response.status_code": 503}
        links = (Context("a" * 32, "b" * 16, True), Context("c" * 32, "d" * 16, False))
        running.exporter.add(span(attributes=attributes, links=links, error="503"))
        await until(lambda: running.counts.get("exported") == 1)

    _, collector = exporting(scenario)
    (seen,), (taken,) = collector.seen, collector.spans
    assert (seen.method, seen.target, seen.headers["content-type"]) == (
        "POST",
        "/v1/traces",
        "application/x-protobuf",
    )
    assert (taken.name, taken.kind, taken.trace_id, taken.span_id) == ("GET /v1/topics", 2, TRACE, f"{1:016x}")
    assert (taken.parent_id, taken.state, taken.began, taken.ended) == (CAUSE, "a=1", 1_000, 3_000)
    assert taken.attributes == {"http.route": "/v1/topics", "http.response.status_code": 503, "error.type": "503"}
    assert taken.links == (("a" * 32, "b" * 16), ("c" * 32, "d" * 16))
    assert (taken.failed, taken.resource) == (True, {"service.name": "tests"})


def test_enough_spans_are_sent_at_once_and_the_rest_at_the_end() -> None:
    async def scenario(running: Running, _: Collector) -> None:
        for number in range(1, 26):
            running.exporter.add(span(number))
        await until(lambda: running.counts.get("exported", 0) >= 20)

    running, collector = exporting(scenario, max_batch_spans=10, export_seconds=300)
    assert {taken.span_id for taken in collector.spans} == {f"{number:016x}" for number in range(1, 26)}
    assert running.counts == {"exported": 25}
    assert len(collector.seen) == 3


def test_what_comes_while_spans_are_sent_waits_for_its_time_or_until_it_is_enough() -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        with collector.hold():
            for number in range(1, 11):
                running.exporter.add(span(number))
            await asyncio.to_thread(collector.wait_for_requests, 1)
            for number in range(11, 14):
                running.exporter.add(span(number))
        await until(lambda: running.counts.get("exported") == 10)
        for number in range(14, 21):
            running.exporter.add(span(number))
        await until(lambda: running.counts.get("exported") == 20)

    _, collector = exporting(scenario, max_batch_spans=10, export_seconds=300)
    assert len(collector.seen) == 2, "each costs a request"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_a_collector_cannot_take_now_is_tried_again(status: int) -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        collector.script = [Canned(status), Canned(status)]
        running.exporter.add(span())
        await until(lambda: bool(running.counts))

    running, collector = exporting(scenario)
    assert running.counts == {"exported": 1}
    assert (len(collector.seen), running.pauses) == (3, [0.5, 1.0])


@pytest.mark.parametrize("status", [301, 400, 401, 500])
def test_what_a_collector_refuses_is_lost_and_counted(status: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        elsewhere = {"location": f"{collector.url}/elsewhere"}
        collector.script = [Canned(status, headers=elsewhere), Canned(status, headers=elsewhere)]
        for outcome in ("failed", "failed", "exported"):
            before = running.counts.get(outcome, 0)
            running.exporter.add(span())
            await until(lambda outcome=outcome, before=before: running.counts.get(outcome, 0) > before)  # type: ignore[misc]

    running, collector = exporting(scenario)
    assert running.counts == {"failed": 2, "exported": 1}
    assert {seen.target for seen in collector.seen} == {"/v1/traces"}, "no redirect is followed"
    told = [record.getMessage() for record in caplog.records if "eventbus_gateway.tracing" in record.name]
    assert told == [f"spans get lost: the collector answers {status}", "the collector takes spans again"]


def test_a_collector_that_is_away_costs_its_spans_and_nothing_else() -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        await asyncio.to_thread(collector.down)
        running.exporter.add(span())
        await until(lambda: running.counts.get("failed") == 1)
        collector.up()
        running.exporter.add(span(2))
        await until(lambda: running.counts.get("exported") == 1)

    running, _ = exporting(scenario)
    assert len(running.pauses) == 2


def test_beyond_the_bound_spans_are_dropped_and_nobody_waits() -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        with collector.hold():
            for number in range(1, 11):
                running.exporter.add(span(number))
            await asyncio.to_thread(collector.wait_for_requests, 1)
            for number in range(100):
                running.exporter.add(span(1_000 + number))
            assert len(running.exporter) == 64
            assert running.counts == {"dropped": 36}

    running, _ = exporting(scenario, max_batch_spans=10, max_queued_spans=64)
    assert running.counts == {"dropped": 36, "exported": 74}


def test_a_collector_that_hangs_does_not_keep_a_process_from_ending() -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        with collector.hold():
            running.exporter.add(span())
            await asyncio.to_thread(collector.wait_for_requests, 1)
            async with asyncio.timeout(60):
                await running.exporter.close()
        assert running.counts == {"failed": 1}

    exporting(scenario, timeout_seconds=0.2)


def test_what_a_collector_takes_only_in_part_is_counted_in_part() -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2

    async def scenario(running: Running, collector: Collector) -> None:
        collector.script = [Canned(body=response.SerializeToString()), Canned(body=b"\xff\xff no message")]
        for number in range(1, 6):
            running.exporter.add(span(number))
        await until(lambda: sum(running.counts.values()) == 5)
        running.exporter.add(span(9))
        await until(lambda: sum(running.counts.values()) == 6)

    running, _ = exporting(scenario)
    assert running.counts == {"exported": 4, "failed": 2}


def test_an_answer_without_end_is_not_read() -> None:
    async def scenario(running: Running, collector: Collector) -> None:
        collector.script = [Canned(body=b"a" * 1_000_000)] * 3
        running.exporter.add(span())
        await until(lambda: bool(running.counts))

    assert exporting(scenario)[0].counts == {"failed": 1}


def test_a_span_that_cannot_be_encoded_does_not_end_the_exports() -> None:
    async def scenario(running: Running, _: Collector) -> None:
        running.exporter.add(span(about=About("\ud800", Kind.SERVER)))
        await until(lambda: running.counts.get("failed") == 1)
        running.exporter.add(span(2))
        await until(lambda: running.counts.get("exported") == 1)

    exporting(scenario)


def test_headers_go_with_every_export_and_are_never_shown() -> None:
    async def scenario(running: Running, _: Collector) -> None:
        running.exporter.add(span())
        await until(lambda: running.counts.get("exported") == 1)

    headers = [{"name": "X-Api-Key", "value": MARK.decode()}]
    _, collector = exporting(scenario, headers=headers)
    assert collector.seen[0].headers["x-api-key"] == MARK.decode()
    assert MARK.decode() not in repr(settings(collector, headers=headers))


def test_a_header_that_would_become_two_is_never_sent() -> None:
    async def scenario(running: Running, _: Collector) -> None:
        running.exporter.add(span())
        await until(lambda: bool(running.counts))

    running, collector = exporting(scenario, headers=[{"name": "a", "value": "b\r\nc: d"}])
    assert (running.counts, collector.seen) == ({"failed": 1}, [])


def test_a_file_of_authorities_that_is_none_is_told_at_the_start(tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ValueError, match=r"tracing\.ca_file cannot be used: no certificate in it"):
        exporting(lambda *_: asyncio.sleep(0), ca_file=str(tmp_path / "ca.pem"))
