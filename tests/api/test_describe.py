"""What callers can find out about topics."""

import contextlib
import json
from collections.abc import Iterator

import pytest
from tests.api.guarded import ARCHIVE, CLINIC, NOBODY, bearer, guarded
from tests.api.publishing import SCHEMAS, TOPICS, problem
from tests.serving import Served, Way


@pytest.fixture(scope="module")
def running(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with contextlib.closing(guarded(way, tmp_path_factory.mktemp("schemas"))) as gateway:
        yield gateway


def test_only_topics_with_a_grant_are_listed(gateway: Served) -> None:
    answer = gateway.client.get("/v1/topics", headers=bearer(CLINIC))
    assert answer.status_code == 200
    assert {topic["name"]: topic["actions"] for topic in answer.json()["topics"]} == {
        "appointments": ["publish"],
        "bare": ["publish"],
        "notes": ["publish", "read", "subscribe", "manage"],
    }
    assert [topic["name"] for topic in _listed(gateway, ARCHIVE)] == sorted(TOPICS)
    assert _listed(gateway, NOBODY) == []


def _listed(gateway: Served, key: str) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = gateway.client.get("/v1/topics", headers=bearer(key)).json()["topics"]
    return listed


def test_a_listed_topic_says_where_and_how_to_publish(gateway: Served) -> None:
    (notes,) = (topic for topic in _listed(gateway, CLINIC) if topic["name"] == "notes")
    assert notes == {
        "name": "notes",
        "partitions": 4,
        "format": "json",
        "actions": ["publish", "read", "subscribe", "manage"],
        "events": "/v1/topics/notes/events",
    }


def test_a_topic_is_shown_with_its_schema_and_settings(gateway: Served) -> None:
    answer = gateway.client.get("/v1/topics/appointments", headers=bearer(CLINIC))
    assert answer.status_code == 200
    topic = answer.json()
    schema = topic.pop("schema")
    assert schema.pop("schema") == json.loads(SCHEMAS["appointments.avsc"])
    assert isinstance(schema.pop("id"), int)
    assert schema == {"subject": "appointments-value", "version": 1}
    assert topic == {
        "name": "appointments",
        "partitions": 4,
        "format": "avro",
        "actions": ["publish"],
        "events": "/v1/topics/appointments/events",
        "key": "/appointmentId",
        "keyRequired": True,
        "keyFormat": "string",
        "keySchema": None,
        "unknownFields": "refuse",
        "dialect": "plain",
    }


def test_a_topic_with_avro_keys_shows_their_schema(gateway: Served) -> None:
    topic = gateway.client.get("/v1/topics/numbered", headers=bearer(ARCHIVE)).json()
    assert topic["schema"] is None
    assert topic["keySchema"]["subject"] == "numbered-key"
    assert topic["keySchema"]["schema"] == "long"


def test_a_pinned_topic_shows_the_version_that_it_is_pinned_to(gateway: Served) -> None:
    topic = gateway.client.get("/v1/topics/pinned", headers=bearer(ARCHIVE)).json()
    assert (topic["schema"]["version"], topic["schema"]["schema"]["name"]) == (1, "First")


@pytest.mark.parametrize(("topic", "code"), [("bare", "schema_missing"), ("broken", "schema_unusable")])
def test_a_topic_whose_schema_is_no_use_is_shown_with_the_reason(gateway: Served, topic: str, code: str) -> None:
    answer = gateway.client.get(f"/v1/topics/{topic}", headers=bearer(ARCHIVE))
    assert answer.status_code == 200
    schema = answer.json()["schema"]
    assert (schema["subject"], schema["code"]) == (f"{topic}-value", code)
    assert schema["detail"]


def test_a_topic_without_a_grant_is_hidden_whether_it_exists_or_not(gateway: Served) -> None:
    answers = [gateway.client.get(f"/v1/topics/{topic}", headers=bearer(CLINIC)) for topic in ("keyed", "nowhere")]
    documents = [problem(answer, 403, "forbidden") | {"instance": ""} for answer in answers]
    assert documents[0] == documents[1]
    assert "outcome" not in documents[0]


def test_a_granted_topic_that_does_not_exist_is_unknown(gateway: Served) -> None:
    assert "outcome" not in problem(
        gateway.client.get("/v1/topics/ghost", headers=bearer(CLINIC)), 404, "unknown_topic"
    )


@pytest.mark.parametrize("path", ["/v1/topics", "/v1/topics/notes"])
def test_callers_without_a_key_see_nothing(gateway: Served, path: str) -> None:
    problem(gateway.client.get(path), 401, "unauthenticated")
    problem(gateway.client.get(path, headers=bearer("wrong")), 401, "unauthenticated")
