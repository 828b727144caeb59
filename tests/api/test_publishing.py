"""What a producing team sees first: media types, receipts, headers in Kafka, and every status of the interface."""

import gzip
import json
import re
from collections.abc import Iterator

import pytest
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENT,
    CLOUDEVENTS,
    JSON,
    NDJSON,
    attribute,
    cloudevent,
    faults,
    lines,
    problem,
    publish,
    stored,
)
from tests.serving import EXAMPLES, Served, served

from eventbus_gateway.api.settings import PublishSettings, TopicSettings
from eventbus_gateway.errors import (
    GatewayError,
    KafkaUnavailable,
    NotAttempted,
    OutcomeUnknown,
    QuotaExceeded,
    RecordRefused,
    RegistryUnavailable,
    TopicUnavailable,
)
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import NotStored, Stored, Unknown
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.registry import RegisteredSchema

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_one_event_is_answered_with_its_receipt(gateway: Served) -> None:
    answer = publish(gateway, "appointments", APPOINTMENT)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == JSON
    receipt = answer.json()
    record = stored(gateway, "appointments")
    assert UUID7.fullmatch(receipt.pop("id"))
    assert isinstance(receipt.pop("schemaId"), int)
    assert receipt.pop("partition") in range(4)
    assert receipt == {"topic": "appointments", "offset": 0, "timestamp": "2026-01-01T00:00:00.000Z"}
    assert record.key == APPOINTMENT["appointmentId"].encode()
    assert record.value[:1] == b"\0"


def test_the_receipt_names_the_schema_that_the_record_carries(gateway: Served) -> None:
    schema_id = publish(gateway, "appointments", APPOINTMENT).json()["schemaId"]
    assert int.from_bytes(stored(gateway, "appointments").value[1:5], "big") == schema_id


def test_a_topic_without_schema_has_no_schema_id_in_its_receipt(gateway: Served) -> None:
    assert publish(gateway, "notes", {"a": 1}).json()["schemaId"] is None


@pytest.mark.parametrize("media", [JSON, "application/json; charset=utf-8", 'APPLICATION/JSON;Charset="UTF-8"'])
def test_json_is_taken_with_and_without_its_only_charset(gateway: Served, media: str) -> None:
    assert publish(gateway, "notes", {"a": 1}, media).status_code == 201


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (JSON, b'{"a":1}'),
        (CLOUDEVENT, json.dumps(cloudevent({"a": 1})).encode()),
        (CLOUDEVENTS, json.dumps([cloudevent({"a": 1})]).encode()),
        (NDJSON, b'{"a": 1}\n'),
    ],
)
def test_all_four_media_types_carry_events(gateway: Served, media: str, body: bytes) -> None:
    answer = publish(gateway, "notes", body, media)
    assert answer.status_code == (200 if media in {NDJSON, CLOUDEVENTS} else 201)
    assert json.loads(stored(gateway, "notes").value) == {"a": 1}


@pytest.mark.parametrize("media", ["text/plain", "application/json; charset=utf-16", "application/xml", ""])
def test_another_media_type_is_refused_with_a_list_of_the_supported_ones(gateway: Served, media: str) -> None:
    document = problem(publish(gateway, "notes", b"{}", media), 415, "unsupported_media_type")
    assert document["outcome"] == "not_stored"
    assert "application/x-ndjson" in document["detail"] or "UTF-8" in document["detail"]


def test_a_missing_content_type_is_refused_and_said_to_be_missing(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", b"{}", None), 415, "unsupported_media_type")
    assert "missing" in document["detail"]


def test_missing_attributes_are_filled_in(gateway: Served) -> None:
    answer = publish(gateway, "appointments", APPOINTMENT, x_request_id="request-1")
    record = stored(gateway, "appointments")
    assert attribute(record, "content-type") == "application/avro"
    assert attribute(record, "ce_specversion") == "1.0"
    assert attribute(record, "ce_id") == answer.json()["id"]
    assert attribute(record, "ce_source") == "/examples/scheduling"
    assert attribute(record, "ce_type") == "health.example.appointments.Appointment"
    assert attribute(record, "ce_correlationid") == "request-1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", attribute(record, "ce_time") or "")


def test_a_topic_without_schema_fills_in_its_name_and_the_caller(gateway: Served) -> None:
    publish(gateway, "notes", {})
    record = stored(gateway, "notes")
    assert attribute(record, "content-type") == "application/json"
    assert attribute(record, "ce_type") == "notes"
    assert attribute(record, "ce_source") == "/principals/anonymous"


def test_a_topics_settings_fill_in_type_and_source(gateway: Served) -> None:
    publish(gateway, "labelled", {})
    record = stored(gateway, "labelled")
    assert (attribute(record, "ce_type"), attribute(record, "ce_source")) == ("note.taken", "urn:notes")


def test_the_request_id_of_the_caller_comes_back(gateway: Served) -> None:
    assert publish(gateway, "notes", {}, x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    assert UUID7.fullmatch(publish(gateway, "notes", {}, x_request_id="no spaces").headers["x-request-id"])


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_context_travels_with_the_record(gateway: Served) -> None:
    publish(gateway, "notes", {}, traceparent=TRACE, tracestate="vendor=1")
    record = stored(gateway, "notes")
    assert (attribute(record, "traceparent"), attribute(record, "tracestate")) == (TRACE, "vendor=1")


@pytest.mark.parametrize(
    "parent", ["garbage", TRACE.upper(), TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)]
)
def test_a_trace_context_that_is_not_valid_is_left_out(gateway: Served, parent: str) -> None:
    assert publish(gateway, "notes", {}, traceparent=parent, tracestate="vendor=1").status_code == 201
    record = stored(gateway, "notes")
    assert attribute(record, "traceparent") is None
    assert attribute(record, "tracestate") is None


def test_a_trace_state_that_is_too_long_is_left_out_alone(gateway: Served) -> None:
    publish(gateway, "notes", {}, traceparent=TRACE, tracestate="v=" + "1" * 600)
    record = stored(gateway, "notes")
    assert attribute(record, "traceparent") == TRACE
    assert attribute(record, "tracestate") is None


# Statuses


@pytest.mark.parametrize("body", [b"", b"   ", b"{", b'{"a":1}x', b"\xff", b'{"a":NaN}', b"1e999"])
def test_a_body_that_is_not_json_is_refused_with_its_place(gateway: Served, body: bytes) -> None:
    document = problem(publish(gateway, "notes", body), 400, "invalid_json")
    assert document["outcome"] == "not_stored"
    assert gateway.kafka.records("notes") == []


def test_an_empty_body_is_called_empty(gateway: Served) -> None:
    assert problem(publish(gateway, "notes", b""), 400, "invalid_json")["detail"] == "The body is empty."


def test_a_syntax_fault_is_told_by_line_and_column(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", b'{\n  "a": oops\n}'), 400, "invalid_json")
    assert "line 2, column 8" in document["detail"]


def test_nesting_beyond_what_is_parsed_is_called_nesting(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", b"[" * 2_000 + b"]" * 2_000), 400, "invalid_json")
    assert "nested" in document["detail"]


def test_a_number_beyond_a_double_is_called_too_large(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", b'{"a": 1e999}'), 400, "invalid_json")
    assert "number" in document["detail"]


def test_an_unknown_topic_is_told_at_once(gateway: Served) -> None:
    assert problem(publish(gateway, "nowhere", {}), 404, "unknown_topic")["outcome"] == "not_stored"


def test_a_path_without_a_route_is_told_apart_from_an_unknown_topic(gateway: Served) -> None:
    assert "outcome" not in problem(gateway.client.post("/v1/topics/notes/event"), 404, "route_not_found")


def test_another_method_is_refused_with_those_that_the_path_has(gateway: Served) -> None:
    answer = gateway.client.put("/v1/topics/notes/events")
    assert "outcome" not in problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, GET, HEAD"


def test_data_that_does_not_fit_is_refused_with_every_fault_and_its_place(gateway: Served) -> None:
    wrong = APPOINTMENT | {"durationMinutes": "45", "clinic": {"id": 1}, "colour": "red"}
    found = faults(publish(gateway, "appointments", wrong))
    assert found.keys() == {"/durationMinutes", "/clinic/id", "/colour"}
    assert gateway.kafka.records("appointments") == []


def test_structured_events_point_into_their_data(gateway: Served) -> None:
    found = faults(publish(gateway, "appointments", cloudevent(APPOINTMENT | {"status": "LOST"}), CLOUDEVENT))
    assert found.keys() == {"/data/status"}


def test_an_unsupported_content_encoding_is_refused_with_the_supported_one(gateway: Served) -> None:
    answer = publish(gateway, "notes", b"{}", content_encoding="br")
    assert problem(answer, 415, "unsupported_encoding")["outcome"] == "not_stored"
    assert answer.headers["accept-encoding"] == "gzip"  # RFC 9110 section 12.5.3


def test_gzip_is_taken(gateway: Served) -> None:
    assert publish(gateway, "notes", gzip.compress(b'{"a":1}'), content_encoding="gzip").status_code == 201
    assert stored(gateway, "notes").value == b'{"a":1}'


@pytest.mark.parametrize(
    "body", [b"", b"garbage", gzip.compress(b"{}", mtime=0)[:-4], gzip.compress(b"{}", mtime=0) + b"more"]
)
def test_a_damaged_gzip_stream_is_refused(gateway: Served, body: bytes) -> None:
    problem(publish(gateway, "notes", body, content_encoding="gzip"), 400, "invalid_content_encoding")


def test_a_body_that_grows_too_much_is_refused(gateway: Served) -> None:
    bomb = gzip.compress(b'"' + b"a" * 900_000 + b'"')
    document = problem(publish(gateway, "notes", bomb, content_encoding="gzip"), 413, "body_too_large")
    assert "100 times" in document["detail"]


def test_an_event_larger_than_a_record_may_be_is_refused(gateway: Served) -> None:
    document = problem(publish(gateway, "notes", "x" * 1_000_000), 413, "event_too_large")
    assert document["outcome"] == "not_stored"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KafkaUnavailable("Kafka cannot be reached.", retry_after=2.4), 503),
        (TopicUnavailable("No leader."), 503),
        (QuotaExceeded("The quota is used up.", retry_after=7.0), 429),
    ],
)
def test_what_was_not_stored_says_when_to_try_again(gateway: Served, error: GatewayError, status: int) -> None:
    gateway.kafka.judge = lambda *_: NotStored(error)
    answer = publish(gateway, "notes", {})
    assert problem(answer, status, error.code)["outcome"] == "not_stored"
    # Whole seconds that are rounded down would make the caller come too early.
    assert answer.headers["retry-after"] == {2.4: "3", None: "1", 7.0: "7"}[error.retry_after]


def test_a_refusal_before_anything_was_handed_over_is_not_stored(gateway: Served) -> None:
    gateway.kafka.refusal = KafkaUnavailable("Kafka cannot be reached.")
    answer = publish(gateway, "notes", {})
    assert problem(answer, 503, "kafka_unavailable")["outcome"] == "not_stored"
    assert "retry-after" in answer.headers


def test_a_record_that_the_broker_refuses_is_not_to_be_tried_again(gateway: Served) -> None:
    gateway.kafka.judge = lambda *_: NotStored(RecordRefused("The broker refused the record."))
    answer = publish(gateway, "notes", {})
    assert problem(answer, 503, "record_refused")["outcome"] == "not_stored"
    assert "retry-after" not in answer.headers


def test_an_unknown_outcome_is_never_called_not_stored(gateway: Served) -> None:
    gateway.kafka.judge = lambda *_: Unknown(OutcomeUnknown("No acknowledgement came in time."))
    answer = publish(gateway, "notes", {})
    assert problem(answer, 504, "outcome_unknown")["outcome"] == "unknown"


def test_a_topic_without_a_registered_schema_takes_no_events_until_there_is_one(gateway: Served) -> None:
    answer = publish(gateway, "bare", {})
    document = problem(answer, 503, "schema_missing")
    assert "bare-value" in document["detail"]
    assert "retry-after" in answer.headers


def test_a_schema_that_cannot_be_compiled_is_told_as_the_reason(gateway: Served) -> None:
    assert problem(publish(gateway, "broken", {}), 503, "schema_unusable")["outcome"] == "not_stored"


class ClosedRegistry(FolderRegistry):
    """A registry that cannot be reached."""

    async def latest(self, subject: str) -> RegisteredSchema:
        raise RegistryUnavailable("The schema registry cannot be reached.")


@pytest.fixture
def cut_off() -> Iterator[Served]:
    with served(registry=ClosedRegistry(EXAMPLES)) as gateway:
        yield gateway


def test_an_unreachable_registry_is_told_with_a_time_to_try_again(cut_off: Served) -> None:
    answer = publish(cut_off, "appointments", APPOINTMENT)
    assert problem(answer, 503, "registry_unavailable")["outcome"] == "not_stored"
    assert "retry-after" in answer.headers


def test_a_failure_of_the_gateway_itself_leaves_the_outcome_unknown(gateway: Served) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError("a secret value")

    gateway.kafka.judge = fail
    answer = publish(gateway, "notes", {})
    assert problem(answer, 500, "internal_error")["outcome"] == "unknown"
    assert "secret" not in answer.text


def test_every_outcome_is_counted_for_its_topic() -> None:
    kafka = MemoryKafka({"notes": 1})
    with served(kafka=kafka, topics={"notes": TopicSettings(format="json")}) as gateway:
        kafka.judge = lambda topic, index, record: (
            None if index == 0 else NotStored(NotAttempted()) if index == 1 else Unknown(OutcomeUnknown())
        )
        publish(gateway, "notes", lines(1, 2, 3, 4), NDJSON)
        assert gateway.metrics.events.values == {
            ("notes", "stored"): 1,
            ("notes", "not_stored"): 1,
            ("notes", "unknown"): 2,
        }


def test_a_body_beyond_its_media_types_limit_is_refused() -> None:
    bounds = PublishSettings(max_event_bytes=1_024, max_batch_bytes=4_096)
    with served(way="uvicorn", publish=bounds, topics={"appointments": TopicSettings(format="json")}) as gateway:
        body = b'"' + b"x" * 2_000 + b'"'
        document = problem(publish(gateway, "appointments", body), 413, "body_too_large")
        assert document["outcome"] == "not_stored"
        packed = gzip.compress(body)
        problem(publish(gateway, "appointments", packed, content_encoding="gzip"), 413, "body_too_large")
        assert faults(publish(gateway, "appointments", body, NDJSON)).keys() == {"/0"}


def test_a_document_of_very_many_small_values_is_refused_before_it_is_parsed() -> None:
    with served(
        publish=PublishSettings(max_json_values=1_000), topics={"appointments": TopicSettings(format="json")}
    ) as gateway:
        many = b"[" + b"{}," * 40_000 + b"1]"
        document = problem(publish(gateway, "appointments", many), 413, "body_too_large")
        assert "1000 values" in document["detail"]
        assert faults(publish(gateway, "appointments", many, NDJSON)).keys() == {"/0"}


def test_a_trace_context_that_came_twice_is_left_out_because_nobody_knows_which_one_counts(gateway: Served) -> None:
    headers = [("content-type", "application/json"), ("traceparent", TRACE), ("traceparent", TRACE)]
    answer = gateway.client.post("/v1/topics/notes/events", content=b"{}", headers=headers)
    assert answer.status_code == 201
    assert attribute(stored(gateway, "notes"), "traceparent") is None


def test_a_receipt_whose_offset_kafka_did_not_tell_says_null(gateway: Served) -> None:
    gateway.kafka.judge = lambda topic, index, record: Stored(0, -1, 0)
    assert publish(gateway, "notes", {}).json()["offset"] is None
    batch = publish(gateway, "notes", b"{}\n{}", "application/x-ndjson").json()
    assert [result["offset"] for result in batch["results"]] == [None, None]


def test_head_answers_like_get_without_a_body(gateway: Served) -> None:
    answer = gateway.client.head("/v1/topics")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(gateway.client.get("/v1/topics").content))
