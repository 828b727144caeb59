"""Which schema a record is encoded with."""

import pytest
from tests.api.publishing import JSON, NDJSON, faults, lines, problem, publish, stored
from tests.serving import Served

FIRST = {"id": "x"}
SECOND = {"id": "x", "count": 1}


def test_the_latest_version_is_used(gateway: Served) -> None:
    assert publish(gateway, "versioned", SECOND).status_code == 201
    assert faults(publish(gateway, "versioned", FIRST)).keys() == {"/count"}


def test_a_topic_can_be_pinned_to_a_version(gateway: Served) -> None:
    assert publish(gateway, "pinned", FIRST).status_code == 201
    assert faults(publish(gateway, "pinned", SECOND)).keys() == {"/count"}


def test_a_request_can_choose_a_version(gateway: Served) -> None:
    chosen = publish(gateway, "versioned", FIRST, schema_version="1")
    assert chosen.status_code == 201
    assert chosen.json()["schemaId"] != publish(gateway, "versioned", SECOND).json()["schemaId"]
    assert publish(gateway, "versioned", lines(FIRST, FIRST), NDJSON, schema_version="1").status_code == 200


def test_the_choice_of_a_request_goes_before_the_topics_pin(gateway: Served) -> None:
    assert publish(gateway, "pinned", SECOND, schema_version="2").status_code == 201


def test_a_choice_holds_for_its_request_only(gateway: Served) -> None:
    publish(gateway, "versioned", FIRST, schema_version="1")
    assert faults(publish(gateway, "versioned", FIRST)).keys() == {"/count"}


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "latest", "", "9999999999", "٣"])
def test_a_version_that_is_no_positive_number_is_refused(gateway: Served, version: str) -> None:
    answer = gateway.client.post(
        "/v1/topics/versioned/events",
        content=b"{}",
        headers={b"content-type": JSON.encode(), b"schema-version": version.encode()},
    )
    assert "Schema-Version" in problem(answer, 400, "invalid_header")["detail"]


def test_a_version_that_is_not_registered_is_refused(gateway: Served) -> None:
    document = problem(publish(gateway, "versioned", FIRST, schema_version="9"), 400, "unknown_schema_version")
    assert document["outcome"] == "not_stored"
    assert "versioned-value" in document["detail"]


def test_a_version_on_a_topic_without_schema_is_refused(gateway: Served) -> None:
    problem(publish(gateway, "notes", {}, schema_version="1"), 400, "invalid_header")


def test_unknown_fields_are_ignored_where_the_topic_says_so(gateway: Served) -> None:
    assert publish(gateway, "forgiving", {"id": "x", "more": 1}).status_code == 201
    assert stored(gateway, "forgiving").value[5:] == b"\x02x"


def test_a_topic_can_speak_the_json_encoding_of_avro(gateway: Served) -> None:
    assert publish(gateway, "tagged", {"note": {"string": "x"}}).status_code == 201
    assert stored(gateway, "tagged").value[5:] == b"\x02\x02x"
    assert faults(publish(gateway, "tagged", {"note": "x"})).keys() == {"/note"}


def test_the_key_is_encoded_with_the_latest_key_schema_whatever_the_request_chooses(gateway: Served) -> None:
    event = {"id": {"tenant": "t", "count": 3}, "count": 1}
    assert publish(gateway, "compound", event, schema_version="1").status_code == 201
