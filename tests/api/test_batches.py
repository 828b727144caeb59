"""Requests with many events: all or none of them valid, and an outcome for each that was handed over."""

import json

import pytest
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENTS,
    NDJSON,
    attribute,
    cloudevent,
    faults,
    lines,
    problem,
    publish,
)
from tests.serving import Served, served

from eventbus_gateway.api.settings import PublishSettings, TopicSettings
from eventbus_gateway.errors import (
    EventTooLarge,
    GatewayError,
    KafkaUnavailable,
    NotAttempted,
    OutcomeUnknown,
    TopicUnavailable,
)
from eventbus_gateway.kafka.memory import Judge
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Unknown


def test_a_batch_is_answered_with_a_result_per_event_in_request_order(gateway: Served) -> None:
    body = [cloudevent(index, id=f"e-{index}", partitionkey=f"k-{index % 7}") for index in range(50)]
    answer = publish(gateway, "notes", body, CLOUDEVENTS)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["id"] for result in results] == [f"e-{index}" for index in range(50)]
    for index, result in enumerate(results):
        record = gateway.kafka.logs["notes", result["partition"]][result["offset"]]
        assert (result["outcome"], record.value, attribute(record, "ce_id")) == (
            "stored",
            b"%d" % index,
            f"e-{index}",
        )


def test_events_of_one_key_keep_the_order_of_the_request(gateway: Served) -> None:
    publish(gateway, "loose", lines(*({"id": "k", "n": index} for index in range(300))), NDJSON)
    assert [json.loads(record.value)["n"] for record in gateway.kafka.records("loose")] == list(range(300))


def test_a_batch_of_one_is_answered_as_a_batch(gateway: Served) -> None:
    answer = publish(gateway, "notes", lines(1), NDJSON)
    assert (answer.status_code, len(answer.json()["results"])) == (200, 1)


@pytest.mark.parametrize("body", [b"1\r\n2\r\n", b"1\n2", b"\n\n1\n \t \n2\n\n", b"\r\n1\r\n\r\n2"])
def test_blank_lines_and_line_endings_do_not_count(gateway: Served, body: bytes) -> None:
    assert len(publish(gateway, "notes", body, NDJSON).json()["results"]) == 2
    assert [record.value for record in gateway.kafka.records("notes")] == [b"1", b"2"]


@pytest.mark.parametrize(("body", "media"), [(b"", NDJSON), (b"\n \r\n\t", NDJSON), (b"[]", CLOUDEVENTS)])
def test_a_batch_without_events_is_refused(gateway: Served, body: bytes, media: str) -> None:
    assert problem(publish(gateway, "notes", body, media), 400, "empty_batch")["outcome"] == "not_stored"


def test_one_event_with_a_fault_stores_none(gateway: Served) -> None:
    body = lines(APPOINTMENT, APPOINTMENT | {"status": "LOST", "startsAt": []}, APPOINTMENT)
    answer = publish(gateway, "appointments", body, NDJSON)
    assert faults(answer).keys() == {"/1/status", "/1/startsAt"}
    assert "1 of the batch's 3 events" in answer.json()["detail"]
    assert gateway.kafka.records("appointments") == []


def test_faults_of_all_events_are_told_at_once(gateway: Served) -> None:
    body = [
        cloudevent(APPOINTMENT, id=""),
        cloudevent(APPOINTMENT),
        "text",
        cloudevent({}),
        {"specversion": "1.0"},
        cloudevent(APPOINTMENT | {"appointmentId": 5}),
    ]
    found = faults(publish(gateway, "appointments", body, CLOUDEVENTS))
    assert {"/0/id", "/2", "/3/data/status", "/4/data", "/5/data/appointmentId"} <= found.keys()
    assert not any(pointer.startswith("/1") for pointer in found)


def test_lines_that_are_no_json_are_told_by_their_place_among_the_events(gateway: Served) -> None:
    found = faults(publish(gateway, "notes", b'1\n\n{"a":\n{}}\n2\n', NDJSON))
    assert found.keys() == {"/1", "/2"}
    assert gateway.kafka.records("notes") == []


def test_the_list_of_faults_is_bounded_and_says_so(gateway: Served) -> None:
    answer = publish(gateway, "appointments", lines(*([{}] * 400)), NDJSON)
    assert len(faults(answer)) == 100
    assert "400 of the batch's 400 events" in answer.json()["detail"]
    assert "first 100" in answer.json()["detail"]


def test_exactly_as_many_faults_as_are_listed_are_called_all(gateway: Served) -> None:
    answer = publish(gateway, "loose", lines(*([{"id": 1.5}] * 100)), NDJSON)
    assert len(faults(answer)) == 100
    assert "first" not in answer.json()["detail"]


def test_an_event_that_is_too_large_is_told_by_its_place(gateway: Served) -> None:
    found = faults(publish(gateway, "notes", lines(1, "x" * 1_000_000, 3), NDJSON))
    assert found.keys() == {"/1"}
    assert "bytes" in found["/1"]
    assert gateway.kafka.records("notes") == []


def test_more_events_than_a_batch_may_have_are_refused() -> None:
    bounds = PublishSettings(max_batch_events=10)
    with served(publish=bounds, topics={"appointments": TopicSettings(format="json")}) as gateway:
        assert publish(gateway, "appointments", b"\n1\n" * 10, NDJSON).status_code == 200
        for body, media in ((b"1\n" * 11, NDJSON), (json.dumps([cloudevent(1)] * 11).encode(), CLOUDEVENTS)):
            document = problem(publish(gateway, "appointments", body, media), 413, "batch_too_large")
            assert "10 events" in document["detail"]


# What became of records that were handed over


def _judge(*outcomes: Outcome | None) -> Judge:
    def judge(topic: str, index: int, record: Record) -> Outcome | None:
        return outcomes[index]

    return judge


def test_a_batch_that_fails_half_way_tells_each_outcome_in_request_order(gateway: Served) -> None:
    gateway.kafka.judge = _judge(
        None, NotStored(KafkaUnavailable("Kafka is gone.")), Unknown(OutcomeUnknown("No word from Kafka.")), None
    )
    answer = publish(gateway, "notes", lines(1, 2, 3, 4), NDJSON)
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["outcome"] for result in results] == ["stored", "not_stored", "unknown", "stored"]
    assert results[1].items() >= {"code": "kafka_unavailable", "detail": "Kafka is gone."}.items()
    assert results[2].items() >= {"code": "outcome_unknown", "detail": "No word from Kafka."}.items()
    assert results[0].keys() == {"id", "outcome", "partition", "offset"}
    assert len({result["id"] for result in results}) == 4


@pytest.mark.parametrize(
    ("outcome", "status", "word"),
    [
        (NotStored(KafkaUnavailable(retry_after=5.0)), 503, "not_stored"),
        (Unknown(OutcomeUnknown()), 504, "unknown"),
        (NotStored(EventTooLarge()), 413, "not_stored"),
    ],
)
def test_an_outcome_that_all_events_share_is_the_answers(
    gateway: Served, outcome: NotStored | Unknown, status: int, word: str
) -> None:
    gateway.kafka.judge = _judge(outcome, outcome)
    answer = publish(gateway, "notes", lines(1, 2), NDJSON)
    assert problem(answer, status, outcome.error.code)["outcome"] == word
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


@pytest.mark.parametrize(
    "errors", [(NotAttempted(), TopicUnavailable("No leader.")), (TopicUnavailable("No leader."), NotAttempted())]
)
def test_the_shared_problem_names_the_cause_and_not_who_waited_for_it(
    gateway: Served, errors: tuple[GatewayError, GatewayError]
) -> None:
    gateway.kafka.judge = _judge(*map(NotStored, errors))
    document = problem(publish(gateway, "notes", lines(1, 2), NDJSON), 503, "topic_unavailable")
    assert document["outcome"] == "not_stored"


def test_outcomes_that_differ_are_told_one_by_one_though_nothing_was_stored(gateway: Served) -> None:
    gateway.kafka.judge = _judge(NotStored(KafkaUnavailable()), Unknown(OutcomeUnknown()))
    answer = publish(gateway, "notes", lines(1, 2), NDJSON)
    assert answer.status_code == 207
    assert [result["outcome"] for result in answer.json()["results"]] == ["not_stored", "unknown"]


def test_a_refused_hand_over_is_one_problem(gateway: Served) -> None:
    gateway.kafka.refusal = KafkaUnavailable("Kafka cannot be reached.", retry_after=2.0)
    answer = publish(gateway, "notes", lines(1, 2), NDJSON)
    assert problem(answer, 503, "kafka_unavailable")["outcome"] == "not_stored"
    assert answer.headers["retry-after"] == "2"
