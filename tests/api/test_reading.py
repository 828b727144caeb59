"""Reading a topic without a group: where it begins, what is given, and what is refused."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.api.guarded import ARCHIVE, CLINIC, NOBODY, bearer, guarded
from tests.api.publishing import APPOINTMENT, NDJSON, lines, problem, publish
from tests.api.wire import PATIENCE, Caller, at_rest, calling, edge, eventually, get, in_work, post
from tests.serving import Served, served

from eventbus_gateway.api.cursor import written
from eventbus_gateway.api.settings import ReadSettings, TopicSettings
from eventbus_gateway.errors import KafkaUnavailable, RegistryUnavailable
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.schemas.absent import AbsentRegistry
from eventbus_gateway.schemas.registry import RegisteredSchema

PATH = "/v1/topics/{}/events"


@pytest.fixture
def gateway(gateway: Served) -> Iterator[Served]:
    """A gateway in whose topics everything can be read."""
    yield gateway
    gateway.reader.refusal = None
    gateway.reader.lows.clear()


def read(gateway: Served, topic: str = "notes", accept: str | None = None, **query: str | float) -> Any:
    """Read; a parameter ``begin`` stands for ``from``."""
    given = {"from" if name == "begin" else name: value for name, value in query.items()}
    headers = {"accept": accept} if accept is not None else {}
    return gateway.client.get(PATH.format(topic), params=given, headers=headers)


def page(gateway: Served, topic: str = "notes", **query: str | float) -> dict[str, Any]:
    answer = read(gateway, topic, None, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def note(gateway: Served, *notes: object, topic: str = "notes", **headers: str) -> None:
    assert publish(gateway, topic, lines(*notes), NDJSON, **headers).status_code == 200


def data(document: dict[str, Any]) -> list[Any]:
    return [event["data"] for event in document["events"]]


# Where a read begins and where it goes on


def test_what_was_published_is_read_with_everything_that_was_said_about_it(gateway: Served) -> None:
    receipt = publish(
        gateway, "appointments", APPOINTMENT, ce_subject="sp%C3%A4t", ce_tenant="7", x_request_id="r-1"
    ).json()
    document = page(gateway, "appointments")
    assert document.keys() == {"events", "cursor"}
    (event,) = document["events"]
    assert event.pop("time").startswith("20")
    assert event == {
        "specversion": "1.0",
        "id": receipt["id"],
        "source": "/examples/scheduling",
        "type": "health.example.appointments.Appointment",
        "subject": "spät",
        "tenant": "7",
        "correlationid": "r-1",
        "datacontenttype": "application/json",
        "topic": "appointments",
        "partition": receipt["partition"],
        "offset": receipt["offset"],
        "partitionkey": APPOINTMENT["appointmentId"],
        "data": event["data"],
    }
    assert {name: event["data"].get(name) for name in APPOINTMENT} == APPOINTMENT


def test_every_cursor_leads_behind_what_was_given_and_can_be_used_again(gateway: Served) -> None:
    note(gateway, *range(10))
    first = page(gateway, limit=4)
    assert data(first) == [0, 1, 2, 3]
    second = page(gateway, cursor=first["cursor"], limit=4)
    assert data(second) == [4, 5, 6, 7]
    assert page(gateway, cursor=first["cursor"], limit=4) == second
    last = page(gateway, cursor=second["cursor"])
    assert data(last) == [8, 9]
    assert page(gateway, cursor=last["cursor"]) == {"events": [], "cursor": last["cursor"]}


def test_a_read_begins_at_the_beginning_at_the_end_or_at_a_time(gateway: Served) -> None:
    note(gateway, 1, 2)
    assert data(page(gateway)) == data(page(gateway, begin="earliest")) == [1, 2]
    latest = page(gateway, begin="latest")
    assert latest["events"] == []
    # All records of this Kafka are of 2026-01-01T00:00:00Z.
    for early in (
        "2026-01-01T00:00:00Z",
        "2025-12-31t23:59:59.9999z",
        "2026-01-01T01:00:00+01:00",
        "1960-01-01T00:00:00Z",
    ):
        assert data(page(gateway, begin=early)) == [1, 2], early
    for late in ("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.0001Z", "9999-12-31T23:59:59Z"):
        assert data(page(gateway, begin=late)) == [], late
    note(gateway, 3)
    assert data(page(gateway, cursor=latest["cursor"])) == [3]


def test_a_plus_sign_that_was_not_encoded_is_understood(gateway: Served) -> None:
    note(gateway, 1)
    answer = gateway.client.get("/v1/topics/notes/events?from=2026-01-01T01:00:00+01:00")
    assert len(answer.json()["events"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-01-01",
        "from=2026-01-01T00:00:00",
        "from=2026-13-01T00:00:00Z",
        "from=",
        "from=latest&from=latest",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=1.5",
        "limit=",
        "limit=٣",
        "wait=-1",
        "wait=61",
        "wait=1e1",
        "wait=soon",
        "offset=3",
        "from=latest&cursor=AAAA",
        "filter=",
        "filter={",
        "filter=%ff",
    ],
)
def test_parameters_that_say_nothing_are_refused(gateway: Served, query: str) -> None:
    problem(gateway.client.get(f"/v1/topics/notes/events?{query}"), 400, "invalid_parameter")


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "not a cursor", "0" * 50])
def test_a_malformed_cursor_is_refused(gateway: Served, cursor: str) -> None:
    problem(read(gateway, cursor=cursor), 400, "invalid_cursor")


def test_a_cursor_of_another_topic_is_refused(gateway: Served) -> None:
    problem(read(gateway, cursor=page(gateway, "loose")["cursor"]), 400, "invalid_cursor")


def test_a_topic_that_does_not_exist_is_unknown(gateway: Served) -> None:
    assert "outcome" not in problem(read(gateway, "nowhere"), 404, "unknown_topic")
    problem(read(gateway, "_eventbus.slots"), 404, "unknown_topic")


def test_positions_that_are_gone_are_told_and_reading_goes_on(gateway: Served) -> None:
    note(gateway, *range(5), topic="notes")
    (partition,) = {event["partition"] for event in page(gateway)["events"]}
    gateway.reader.lows["notes", partition] = 3
    positions = dict.fromkeys(range(4), 0) | {partition: 1}
    document = page(gateway, cursor=written("notes", positions))
    assert data(document) == [3, 4]
    assert document["lost"] == [{"partition": partition, "asked": 1, "resumed": 3, "reason": "expired"}]
    assert "lost" not in page(gateway, cursor=document["cursor"])
    document = page(gateway, cursor=written("notes", positions | {partition: 99}))
    assert document["lost"] == [{"partition": partition, "asked": 99, "resumed": 3, "reason": "recreated"}]


def test_an_outage_of_kafka_is_no_empty_answer(gateway: Served) -> None:
    gateway.reader.refusal = KafkaUnavailable(retry_after=2.0)
    answer = read(gateway)
    problem(answer, 503, "kafka_unavailable")
    assert answer.headers["retry-after"] == "2"


# What is given


def test_lines_have_the_events_and_the_cursor_in_a_header(gateway: Served) -> None:
    note(gateway, {"a": 1}, {"a": 2})
    document = page(gateway)
    answer = read(gateway, accept="application/x-ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == document["events"]
    assert answer.text.endswith("\n")
    assert answer.headers["x-cursor"] == document["cursor"]
    assert "x-lost" not in answer.headers
    empty = read(gateway, accept="application/x-ndjson", cursor=document["cursor"])
    assert (empty.text, empty.headers["x-cursor"]) == ("", document["cursor"])


def test_lines_tell_in_a_header_what_is_lost(gateway: Served) -> None:
    answer = read(gateway, accept="application/x-ndjson", cursor=written("notes", {0: 7, 1: 0, 2: 0, 3: 0}))
    assert json.loads(answer.headers["x-lost"]) == [{"partition": 0, "asked": 7, "resumed": 0, "reason": "recreated"}]


def test_json_with_line_breaks_stays_on_its_line(gateway: Served) -> None:
    assert publish(gateway, "notes", b'{\r\n  "a": "x\\ny"\n}').status_code == 201
    answer = read(gateway, accept="application/x-ndjson")
    (line,) = answer.text.splitlines()
    assert json.loads(line)["data"] == {"a": "x\ny"}


def test_numbers_beyond_64_bits_are_given_as_they_were_sent(gateway: Served) -> None:
    assert publish(gateway, "notes", b'{"n": 123456789012345678901234567890}').status_code == 201
    assert b'"data":{"n": 123456789012345678901234567890}' in read(gateway).content


def test_a_media_type_that_there_is_not_is_not_acceptable(gateway: Served) -> None:
    problem(read(gateway, accept="text/html"), 406, "not_acceptable")


def test_head_says_what_get_would_without_its_body_and_without_waiting(gateway: Served) -> None:
    note(gateway, 1)
    for accept in ("application/json", "application/x-ndjson"):
        whole = read(gateway, accept=accept)
        answer = gateway.client.head("/v1/topics/notes/events", headers={"accept": accept})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(whole.content))
    answer = gateway.client.head("/v1/topics/notes/events?from=latest&wait=60")
    assert answer.status_code == 200
    answer = gateway.client.head("/v1/topics/notes/events", headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert eventually(lambda: (gateway.read.polls, gateway.read.streams) == (0, 0))


def test_an_answer_is_bounded_in_bytes_and_its_cursor_says_how_far_it_came() -> None:
    kafka = MemoryKafka({"notes": 1})
    with served(
        kafka=kafka, topics={"notes": TopicSettings(format="json")}, read=ReadSettings(max_answer_bytes=65_536)
    ) as gateway:
        note(gateway, *["x" * 20_000] * 10, "y" * 200_000, "z")
        found: list[str] = []
        given: dict[str, str] = {}
        answers = 0
        while len(found) < 12:
            document = page(gateway, **given)
            assert len(document["events"]) == 1 or len(json.dumps(document)) < 70_000
            found += [text[0] for text in data(document)]
            given, answers = {"cursor": document["cursor"]}, answers + 1
        assert "".join(found) == "x" * 10 + "yz"
        assert answers >= 5


# Filters


def test_only_events_that_match_are_given(gateway: Served) -> None:
    note(gateway, {"status": "BOOKED", "n": 1}, {"status": "CANCELLED", "n": 2}, {"status": "BOOKED", "n": 3})
    document = page(gateway, filter='{"data": {"status": ["BOOKED"]}}')
    assert [found["n"] for found in data(document)] == [1, 3]
    assert data(page(gateway, cursor=document["cursor"])) == []


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"type": ["note.taken"]}, True),
        ({"type": ["other"]}, False),
        ({"tenant": ["7"]}, True),
        ({"key": ["k-1"]}, True),
        ({"partitionkey": [{"prefix": "k-"}]}, True),
        ({"topic": ["labelled"]}, True),
        ({"subject": [{"exists": False}]}, True),
        ({"detail-type": ["note.taken"], "detail": {"a": [1]}}, True),
        ({"data": {"a": [{"numeric": [">", 1]}]}}, False),
    ],
)
def test_a_filter_looks_at_attributes_and_data(gateway: Served, pattern: dict[str, Any], matches: bool) -> None:
    assert publish(gateway, "labelled", {"a": 1}, ce_partitionkey="k-1", ce_tenant="7").status_code == 201
    assert len(page(gateway, "labelled", filter=json.dumps(pattern))["events"]) == matches


def test_a_filter_on_attributes_decodes_nothing() -> None:
    registry = _SlowRegistry()
    kafka = MemoryKafka({"visits": 1})
    kafka.logs["visits", 0] = [Record(None, b"\0\0\0\0\x07\x02", [("ce_type", b"other")])]
    with served(kafka=kafka, registry=registry) as gateway:
        assert page(gateway, "visits", filter='{"type": ["wanted"]}')["events"] == []
        assert registry.asked == 0


def test_a_filter_that_is_no_pattern_is_refused_with_the_place(gateway: Served) -> None:
    document = problem(read(gateway, filter='{"data": {"a": 1}}'), 422, "invalid_filter")
    assert document["errors"][0]["pointer"] == "/data/a"
    problem(read(gateway, filter="[]"), 422, "invalid_filter")


def test_what_a_filter_passes_over_is_bounded_and_the_cursor_goes_on_behind_it() -> None:
    kafka = MemoryKafka({"notes": 1})
    kafka.logs["notes", 0] = [Record(None, b'{"n":%d}' % number, []) for number in range(1_000)]
    settings = ReadSettings(max_scanned_records=100)
    with served(kafka=kafka, topics={"notes": TopicSettings(format="json")}, read=settings) as gateway:
        found: list[dict[str, int]] = []
        given: dict[str, str] = {}
        answers = 0
        while len(found) < 2 and answers < 50:
            document = page(gateway, filter='{"data": {"n": [950, 951]}}', limit=10, **given)
            found += data(document)
            given, answers = {"cursor": document["cursor"]}, answers + 1
        assert found == [{"n": 950}, {"n": 951}]
        assert 2 < answers < 12
        assert page(gateway, limit=1, **given)["events"][0]["offset"] > 951


def test_more_matches_than_the_limit_are_left_for_the_next_answer() -> None:
    kafka = MemoryKafka({"notes": 1})
    kafka.logs["notes", 0] = [Record(None, b'{"n":%d}' % min(number, 50), []) for number in range(60)]
    with served(kafka=kafka, topics={"notes": TopicSettings(format="json")}) as gateway:
        pattern = '{"data": {"n": [50]}}'
        first = page(gateway, filter=pattern, limit=4)
        assert [event["offset"] for event in first["events"]] == [50, 51, 52, 53]
        second = page(gateway, filter=pattern, limit=4, cursor=first["cursor"])
        assert [event["offset"] for event in second["events"]] == [54, 55, 56, 57]


# What cannot be decoded


class _SlowRegistry(AbsentRegistry):
    """Knows one schema and answers only when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = True

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        self.asked += 1
        if self.is_down:
            raise RegistryUnavailable(retry_after=0.1)
        return RegisteredSchema(schema_id, "", 0, '"long"')


def test_a_record_that_cannot_be_decoded_holds_up_nobody(gateway: Served) -> None:
    publish(gateway, "appointments", APPOINTMENT)
    ((place, log),) = gateway.kafka.logs.items()
    log[:0] = [Record(b"k", b"\0\xff\xff\xff\xff", []), Record(b"k", b"junk", [])]
    document = page(gateway, "appointments")
    assert [event.get("undecodable") for event in document["events"]] == ["unknown_schema", "no_schema_id", None]
    assert document["events"][1]["data_base64"] == "anVuaw=="
    assert document["events"][2]["data"]["appointmentId"] == APPOINTMENT["appointmentId"]
    assert data({"events": page(gateway, "appointments", cursor=document["cursor"])["events"]}) == []
    assert place[0] == "appointments"


def test_a_registry_that_does_not_answer_is_waited_for() -> None:
    registry = _SlowRegistry()
    kafka = MemoryKafka({"visits": 1})
    kafka.logs["visits", 0] = [
        Record(None, b'"text"', [("content-type", b"application/json")]),
        Record(None, b"\0\0\0\0\x07\x02", []),
    ]
    with served(kafka=kafka, registry=registry) as gateway:
        first = page(gateway, "visits")
        assert data(first) == ["text"]
        answer = read(gateway, "visits", cursor=first["cursor"])
        problem(answer, 503, "registry_unavailable")
        assert answer.headers["retry-after"]
        registry.is_down = False
        found: list[Any] = []

        def decoded() -> bool:
            answer = read(gateway, "visits", cursor=first["cursor"])
            if answer.status_code == 200:
                found.extend(data(answer.json()))
            return bool(found)

        assert eventually(decoded)
        assert found == [1]


# Waiting


def waiting(gateway: Served, count: int = 1) -> bool:
    """Whether so many reads come to wait for an event."""
    return eventually(lambda: gateway.reader.waiting == count)


def test_a_waiting_read_is_woken_by_a_publish(gateway: Served) -> None:
    with ThreadPoolExecutor() as pool:
        cursor = page(gateway, begin="latest")["cursor"]
        polls = [pool.submit(page, gateway, wait=60, cursor=cursor) for _ in range(3)]
        assert waiting(gateway, 3)
        note(gateway, "woken")
        for poll in polls:
            document = poll.result(PATIENCE)
            assert data(document) == ["woken"]
            assert document["cursor"] != cursor


def test_a_waiting_read_from_the_end_is_woken_too(gateway: Served) -> None:
    note(gateway, "old")
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(page, gateway, begin="latest", wait=60)
        assert waiting(gateway)
        note(gateway, "new")
        assert data(poll.result(PATIENCE)) == ["new"]


def test_a_wait_with_a_filter_goes_on_until_an_event_matches(gateway: Served) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(page, gateway, begin="latest", wait=60, filter='{"data": [2]}')
        assert waiting(gateway)
        note(gateway, 1)
        assert waiting(gateway)
        assert not poll.done()
        note(gateway, 2)
        assert data(poll.result(PATIENCE)) == [2]


def test_a_wait_in_vain_ends_in_time_with_the_same_cursor(gateway: Served) -> None:
    document = page(gateway, begin="latest", wait=0.2)
    assert document == page(gateway, cursor=document["cursor"], wait="0.1")


def test_reads_beyond_the_bound_are_refused_and_publishes_go_on() -> None:
    settings = ReadSettings(max_concurrent_polls=2)
    kafka = MemoryKafka({"notes": 1})
    with (
        served(kafka=kafka, topics={"notes": TopicSettings(format="json")}, read=settings) as gateway,
        ThreadPoolExecutor() as pool,
    ):
        polls = [pool.submit(page, gateway, begin="latest", wait=60) for _ in range(2)]
        assert waiting(gateway, 2)
        answer = read(gateway)
        problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"]
        note(gateway, 1)
        assert [data(poll.result(PATIENCE)) for poll in polls] == [[1], [1]]
        assert data(page(gateway)) == [1]


@pytest.mark.parametrize("leave", [Caller.close, Caller.reset], ids=["closes", "resets"])
def test_a_caller_that_goes_away_waits_no_longer(gateway: Served, leave: Any) -> None:
    caller = Caller(gateway)
    caller.send(get(b"/v1/topics/notes/events?from=latest&wait=60"))
    assert waiting(gateway)
    leave(caller)
    assert waiting(gateway, 0)
    assert eventually(lambda: gateway.read.polls == 0)
    caller.close()


def test_waiting_reads_end_with_their_cursor_when_the_process_does() -> None:
    with edge() as gateway, calling(gateway) as early, calling(gateway) as late:
        target = b"/v1/topics/appointments/events?wait=60&from=latest"
        early.send(get(target))
        late.send(get(target))
        assert waiting(gateway, 2)
        gateway.stop()
        for caller in (early, late):
            answer = caller.answer()
            assert answer.status == 200
            assert answer.json["events"] == []
            assert answer.json["cursor"]
            assert caller.closed()
        assert gateway.ended(within=PATIENCE)


def test_a_wait_that_begins_while_the_process_ends_is_over_at_once() -> None:
    with edge() as gateway, calling(gateway) as caller:
        gateway.call(gateway.drain.begin)
        answer = caller.ask(get(b"/v1/topics/appointments/events?wait=60&from=latest"))
        assert (answer.status, answer.json["events"]) == (200, [])
        gateway.stop()
        assert eventually(lambda: gateway.edge.is_draining)


def test_requests_behind_a_waiting_read_are_answered_behind_it() -> None:
    with edge() as gateway, calling(gateway) as caller, calling(gateway) as other:
        caller.send(get(b"/v1/topics/appointments/events?wait=60&from=latest") + post())
        assert waiting(gateway)
        assert other.ask(post(b'"first"')).status == 201
        answers = caller.answers(2)
        assert [answer.status for answer in answers] == [200, 201]
        assert [event["data"] for event in answers[0].json["events"]] == ["first"]


def test_a_waiting_read_holds_one_place_among_the_requests() -> None:
    with edge(max_in_flight_requests=2) as gateway, calling(gateway) as caller, calling(gateway) as other:
        caller.send(get(b"/v1/topics/appointments/events?wait=60&from=latest"))
        assert waiting(gateway)
        assert in_work(gateway, 1)
        assert other.ask(post()).status == 201
        assert caller.answer().status == 200
        caller.close()
        other.close()
        assert at_rest(gateway)


# Access


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    gateway = guarded("protocol", tmp_path_factory.mktemp("schemas"))
    yield gateway
    gateway.close()


def as_(gateway: Served, key: str, topic: str, **query: str) -> httpx2.Response:
    return gateway.client.get(PATH.format(topic), params=query, headers=bearer(key))


def test_only_a_grant_to_read_lets_a_caller_read(guard: Served) -> None:
    assert as_(guard, CLINIC, "notes").status_code == 200
    assert as_(guard, ARCHIVE, "appointments").status_code == 200
    problem(as_(guard, CLINIC, "appointments"), 403, "forbidden")
    problem(as_(guard, CLINIC, "nowhere"), 403, "forbidden")
    problem(as_(guard, NOBODY, "notes"), 403, "forbidden")
    problem(guard.client.get("/v1/topics/notes/events"), 401, "unauthenticated")


def test_a_cursor_gives_nobody_a_right(guard: Served) -> None:
    cursor = as_(guard, ARCHIVE, "appointments").json()["cursor"]
    problem(as_(guard, CLINIC, "appointments", cursor=cursor), 403, "forbidden")
    problem(as_(guard, CLINIC, "notes", cursor=cursor), 400, "invalid_cursor")
    assert as_(guard, ARCHIVE, "appointments", cursor=cursor).status_code == 200
