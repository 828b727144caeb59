"""Requests and what they store, as traces tell of them."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from tests.api.publishing import WAYS, attribute, lines, publish
from tests.leaks import MARK
from tests.serving import Served, Way, served
from tests.tracing.collector import Collector, settings

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.api.traced import TracedSink, causes
from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored
from eventbus_gateway.logs import working_on
from eventbus_gateway.tracing.sampling import Sampler
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.tracing.span import About, Kind, Span
from eventbus_gateway.tracing.tracer import Tracer

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
ROUTE = "/v1/topics/{topic}/events"
SERVER, PRODUCER = f"POST {ROUTE}", "send notes"


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


def traced(collector: Collector, way: Way = "protocol", **fields: Any) -> Any:
    topics = {"notes": TopicSettings(format="json")}
    return served(way=way, kafka=MemoryKafka({"notes": 1}), topics=topics, tracing=settings(collector, **fields))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as one:
        yield one


@pytest.fixture
def gateway(collector: Collector, way: Way) -> Iterator[Served]:
    with traced(collector, way, max_caller_traces_per_second=1_000) as one:
        yield one


def header(gateway: Served, name: str) -> str | None:
    (record,) = gateway.kafka.records("notes")
    return attribute(record, name)


def logged(gateway: Served) -> dict[str, Any]:
    (line,) = gateway.access.lines
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_publish_is_two_spans_and_its_record_names_the_second(gateway: Served, collector: Collector) -> None:
    assert publish(gateway, "notes", {"a": 1}).status_code == 201
    server, producer = collector.named(SERVER), collector.named(PRODUCER)
    assert (server.kind, producer.kind) == (2, 4)
    assert (server.parent_id, producer.parent_id, producer.trace_id) == ("", server.span_id, server.trace_id)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 201,
    }
    assert producer.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "notes",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
    }
    assert server.began <= producer.began <= producer.ended <= server.ended
    assert not server.failed
    assert header(gateway, "traceparent") == f"00-{producer.trace_id}-{producer.span_id}-01"
    assert header(gateway, "tracestate") is None


def test_a_caller_s_trace_goes_on(gateway: Served, collector: Collector) -> None:
    assert publish(gateway, "notes", {}, traceparent=SAMPLED, tracestate="vendor=1").status_code == 201
    server, producer = collector.named(SERVER), collector.named(PRODUCER)
    assert (server.trace_id, server.parent_id, server.state) == (TRACE, CALLER, "vendor=1")
    assert (producer.trace_id, producer.parent_id) == (TRACE, server.span_id)
    assert header(gateway, "traceparent") == f"00-{TRACE}-{producer.span_id}-01"
    assert header(gateway, "tracestate") == "vendor=1"


def test_the_access_log_names_the_trace_for_everybody_who_reads_it(gateway: Served, collector: Collector) -> None:
    publish(gateway, "notes", {}, traceparent=SAMPLED)
    line, server = logged(gateway), collector.named(SERVER)
    assert (line["trace_id"], line["span_id"], line["status"]) == (TRACE, server.span_id, 201)
    assert line["dd"] == {"trace_id": str(int(TRACE[16:], 16)), "span_id": str(int(server.span_id, 16))}


def test_what_a_caller_does_not_sample_leaves_no_span_and_goes_on_as_it_came(
    gateway: Served, collector: Collector
) -> None:
    publish(gateway, "notes", {}, traceparent=UNSAMPLED, tracestate="vendor=1")
    assert header(gateway, "traceparent") == UNSAMPLED
    assert header(gateway, "tracestate") == "vendor=1"
    assert "trace_id" not in logged(gateway)
    gateway.client.get("/v1/topics")
    collector.named("GET /v1/topics")
    assert [span.name for span in collector.spans] == ["GET /v1/topics"]


def test_a_read_at_the_path_of_publishes_is_a_read(gateway: Served, collector: Collector) -> None:
    answer = gateway.client.get("/v1/topics/notes/events")
    assert (answer.status_code, answer.json()["events"]) == (200, [])
    assert collector.named(f"GET {ROUTE}").attributes["http.response.status_code"] == 200


def test_a_batch_is_one_span_with_their_number(gateway: Served, collector: Collector) -> None:
    answer = publish(gateway, "notes", lines(*[{"a": number} for number in range(7)]), "application/x-ndjson")
    assert answer.status_code == 200
    producer = collector.named(PRODUCER)
    assert producer.attributes["messaging.batch.message_count"] == 7
    assert "messaging.kafka.offset" not in producer.attributes
    records = gateway.kafka.records("notes")
    expected = f"00-{producer.trace_id}-{producer.span_id}-01"
    assert [attribute(record, "traceparent") for record in records] == [expected] * 7


def test_requests_that_are_answered_with_an_error_have_spans_that_say_so(
    gateway: Served, collector: Collector
) -> None:
    gateway.client.get("/nothing")
    assert publish(gateway, "notes", b"{").status_code == 400
    gateway.kafka.refusal = KafkaUnavailable()
    assert publish(gateway, "notes", {}).status_code == 503
    spans = collector.until(lambda spans: len(spans) >= 4)
    statuses = {span.attributes.get("http.response.status_code"): span for span in spans}
    assert (statuses[404].name, statuses[404].failed) == ("GET", False)
    assert (statuses[400].name, statuses[400].failed) == (SERVER, False)
    assert (statuses[503].failed, statuses[503].attributes["error.type"]) == (True, "503")
    producer = collector.named(PRODUCER)
    assert (producer.failed, producer.attributes["error.type"]) == (True, "kafka_unavailable")


def test_a_record_that_is_not_stored_is_a_failed_send(collector: Collector) -> None:
    with traced(collector) as gateway:
        gateway.kafka.judge = lambda *_: NotStored(KafkaUnavailable())
        assert publish(gateway, "notes", {}).status_code == 503
        assert collector.named(PRODUCER).attributes["error.type"] == "kafka_unavailable"


def test_spans_have_nothing_that_a_caller_sent(gateway: Served, collector: Collector) -> None:
    secret, text = MARK.decode(), "something-4711"
    publish(gateway, "notes", {secret: secret}, ce_subject=secret, ce_partitionkey=secret, authorization=secret)
    gateway.client.get(f"/v1/topics/{text}", params={"a": text}, headers={"x-request-id": text, "x-other": text})
    gateway.client.get(f"/{text}")
    collector.until(lambda spans: len(spans) >= 3)
    bodies = b"".join(seen.body for seen in collector.seen)
    assert MARK not in bodies
    assert text.encode() not in bodies


def largest(gateway: Served) -> int:
    """The largest event that is taken, roughly."""
    taken, refused = 900_000, 1_100_000
    while refused - taken > 8:
        middle = (taken + refused) // 2
        sent = publish(gateway, "notes", b'"%s"' % (b"a" * middle))
        assert sent.status_code in {201, 413}
        taken, refused = (middle, refused) if sent.status_code == 201 else (taken, middle)
    return taken


def test_tracing_does_not_change_which_events_are_taken(collector: Collector) -> None:
    with traced(collector) as gateway, traced(collector, enabled=False) as untraced:
        assert largest(gateway) == largest(untraced)
    assert any(span.name == PRODUCER for span in collector.spans)


def test_a_record_without_room_goes_without_its_trace() -> None:
    async def scenario() -> None:
        kafka = MemoryKafka({"notes": 1})
        tracer = Tracer(Sampler(TracingSettings()), Nowhere(), 0)
        sink = TracedSink(kafka, tracer, 200)
        token = working_on.set(tracer.first(About("above", Kind.SERVER), TRACE))
        for value in (b"a" * 128, b"a" * 129, b"a" * 130):
            await sink.send("notes", [Record(b"k", value, [], 0)])
        working_on.reset(token)
        assert [bool(record.headers) for record in kafka.records("notes")] == [True, False, False]

    asyncio.run(scenario())


def test_traces_begin_with_their_requests_though_they_are_made_before(gateway: Served, collector: Collector) -> None:
    number = 70
    began = time.time_ns()
    for _ in range(number):
        assert publish(gateway, "notes", {}).status_code == 201
    spans = collector.until(lambda spans: len(spans) >= 2 * number)
    servers = [span for span in spans if span.name == SERVER]
    times = [at for span in sorted(servers, key=lambda span: span.began) for at in (span.began, span.ended)]
    assert began < times[0]
    assert times == sorted(times), "one after the other"
    assert len({span.trace_id for span in servers}) == len({span.span_id for span in spans}) / 2 == number


def test_a_send_that_outlives_its_request_ends_when_kafka_has_answered() -> None:
    async def scenario() -> None:
        spans, slow = Nowhere(), Slow()
        tracer = Tracer(Sampler(TracingSettings()), spans, 0)
        above = tracer.first(About("above", Kind.SERVER), TRACE)
        token = working_on.set(above)
        sent = TracedSink(slow, tracer, 1_000).send("notes", [Record(b"k", b"v", [])])
        working_on.reset(token)
        tracer.end(above)
        assert spans.names() == ["above"]
        slow.future.set_result([Stored(0, 7, 1)])
        await sent
        await asyncio.sleep(0)
        assert spans.names() == ["above", "send notes"]
        spans.spans[1].complete()
        assert spans.spans[1].attributes["messaging.kafka.offset"] == 7

    asyncio.run(scenario())


def test_every_send_of_a_request_is_a_span_of_its_own() -> None:
    async def scenario() -> None:
        spans, kafka = Nowhere(), MemoryKafka({"notes": 1})
        tracer = Tracer(Sampler(TracingSettings()), spans, 0)
        above = tracer.prepared(About("above", Kind.SERVER))
        tracer.begin(above)
        token = working_on.set(above)
        sink = TracedSink(kafka, tracer, 1_000)
        for number in (1, 1, 2):
            await sink.send("notes", [Record(b"k", b"v", [])] * number)
        working_on.reset(token)
        tracer.end(above)
        assert sorted(spans.names()) == ["above", "send notes", "send notes", "send notes"]
        sends = [span for span in spans.spans if span is not above]
        assert len({span.context.span_id for span in sends}) == 3
        assert {span.parent_id for span in sends} == {above.context.span_id}
        named = {attribute(record, "traceparent") for record in kafka.records("notes")}
        assert named == {span.traceparent for span in sends}
        assert all(span.began <= span.ended <= above.ended for span in sends)

    asyncio.run(scenario())


def test_what_is_sent_after_the_end_of_a_request_is_no_part_of_its_trace() -> None:
    async def scenario() -> None:
        spans, kafka = Nowhere(), MemoryKafka({"notes": 1})
        tracer = Tracer(Sampler(TracingSettings()), spans, 0)
        above = tracer.first(About("above", Kind.SERVER), TRACE)
        token = working_on.set(above)
        tracer.end(above)
        await TracedSink(kafka, tracer, 1_000).send("notes", [Record(b"k", b"v", [])])
        working_on.reset(token)
        (record,) = kafka.records("notes")
        assert (record.headers, spans.names()) == ([], ["above"])

    asyncio.run(scenario())


class Slow:
    """Answers when a test says so."""

    def __init__(self) -> None:
        self.future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def send(self, topic: str, records: Sequence[Record]) -> "asyncio.Future[list[Outcome]]":
        return self.future


class Nowhere:
    """Keeps spans that are over."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        assert span.ids is None
        self.spans.append(span)

    def names(self) -> list[str]:
        return [span.about.name for span in self.spans]


def test_a_record_counts_for_as_much_as_with_a_trace_of_its_caller(collector: Collector) -> None:
    with traced(collector) as gateway:
        for parent in (SAMPLED, UNSAMPLED):
            publish(gateway, "notes", {}, traceparent=parent)
        first, second = gateway.kafka.records("notes")
        assert attribute(first, "traceparent") != attribute(second, "traceparent") == UNSAMPLED
        assert first.size == second.size


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_ratio_holds_for_the_whole_gateway(collector: Collector, ratio: float) -> None:
    with traced(collector, sample_ratio=ratio, max_caller_traces_per_second=0) as gateway:
        for _ in range(5):
            publish(gateway, "notes", {})
        publish(gateway, "notes", {}, traceparent=SAMPLED)
    assert len(collector.spans) == 12 * ratio


def test_while_tracing_is_off_there_is_no_trace_of_it() -> None:
    topics = {"notes": TopicSettings(format="json")}
    with served(kafka=MemoryKafka({"notes": 1}), topics=topics) as gateway:
        publish(gateway, "notes", {}, traceparent=SAMPLED)
        assert header(gateway, "traceparent") == SAMPLED
        assert "trace_id" not in logged(gateway)
        assert type(gateway.edge.gateway).__name__ == "Gateway"
        assert b"eventbus_trace" not in gateway.metrics.exposition()


def test_spans_that_get_lost_are_counted(collector: Collector) -> None:
    collector.down()
    with traced(collector, timeout_seconds=0.1) as gateway:
        publish(gateway, "notes", {})
    text = gateway.metrics.exposition().decode()
    assert 'eventbus_trace_spans_total{outcome="failed"} 2.0' in text
    assert "eventbus_trace_queued_spans 0.0" in text


def test_an_answer_whose_events_are_nested_too_deeply_to_be_looked_into_has_no_links() -> None:
    deep = "[" * 1_024 + "]" * 1_024
    event = f'{{"traceparent":"{SAMPLED}","data":%s}}'
    (found,) = causes(b'{"events":[%s]}' % (event % "1").encode(), 10)
    assert found.trace_id == TRACE
    assert orjson.loads(deep)
    assert causes(b'{"events":[%s]}' % (event % deep).encode(), 10) == ()
