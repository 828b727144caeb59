"""``?dryRun=true`` validates and does nothing else."""

import json

import pytest
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENT,
    CLOUDEVENTS,
    NDJSON,
    cloudevent,
    faults,
    lines,
    problem,
    publish,
)
from tests.serving import Served, served

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.auth.settings import AuthSettings


def test_a_dry_run_stores_nothing(gateway: Served) -> None:
    answer = publish(gateway, "appointments", APPOINTMENT, query="?dryRun=true")
    assert answer.status_code == 200
    document = answer.json()
    assert isinstance(document.pop("schemaId"), int)
    assert document == {"valid": True, "events": 1, "schemaVersion": 1}
    assert gateway.kafka.logs == {}


@pytest.mark.parametrize(
    ("media", "body", "events"),
    [
        (NDJSON, lines(1, 2), 2),
        (CLOUDEVENT, json.dumps(cloudevent(1)).encode(), 1),
        (CLOUDEVENTS, json.dumps([cloudevent(1)] * 3).encode(), 3),
    ],
)
def test_a_dry_run_counts_the_events(gateway: Served, media: str, body: bytes, events: int) -> None:
    answer = publish(gateway, "notes", body, media, query="?dryRun=true")
    assert answer.json() == {"valid": True, "events": events, "schemaId": None, "schemaVersion": None}


def test_a_dry_run_finds_the_faults_that_a_publish_would(gateway: Served) -> None:
    wrong = APPOINTMENT | {"status": "LOST"}
    assert faults(publish(gateway, "appointments", wrong, query="?dryRun=true")).keys() == {"/status"}
    problem(publish(gateway, "appointments", b"{", query="?dryRun=true"), 400, "invalid_json")
    problem(publish(gateway, "nowhere", {}, query="?dryRun=true"), 404, "unknown_topic")
    keyed = publish(gateway, "notes", {}, query="?dryRun=true", idempotency_key="not one key")
    problem(keyed, 400, "invalid_header")


@pytest.mark.parametrize("query", ["?dryRun=false", "?", "?dryRun=false&dryRun=false"])
def test_everything_else_is_stored(gateway: Served, query: str) -> None:
    assert publish(gateway, "notes", {}, query=query).status_code == 201
    assert len(gateway.kafka.records("notes")) == 1


@pytest.mark.parametrize(
    "query",
    [
        "?dryRun",
        "?dryRun=",
        "?dryRun=1",
        "?dryRun=TRUE",
        "?dryRun=true&dryRun=false",
        "?dryrun=true",
        "?dryRun=true&validate=all",
        "?dryRun=%FF",
        "?" + "&".join(["dryRun=true"] * 50),
    ],
)
def test_what_might_have_been_meant_as_a_dry_run_is_never_stored(gateway: Served, query: str) -> None:
    document = problem(publish(gateway, "notes", {}, query=query), 400, "invalid_parameter")
    assert document["outcome"] == "not_stored"
    assert gateway.kafka.logs == {}


def test_a_dry_run_leaves_the_idempotency_key_free(gateway: Served) -> None:
    publish(gateway, "notes", {"a": 1}, query="?dryRun=true", idempotency_key="dry-1")
    answer = publish(gateway, "notes", {"a": 2}, idempotency_key="dry-1")
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


def test_a_dry_run_takes_nothing_from_the_rate_limit() -> None:
    limited = AuthSettings(mode="anonymous", events_per_second=0.001, burst_events=1)
    with served(auth=limited, topics={"appointments": TopicSettings(format="json")}) as gateway:
        for _ in range(5):
            assert publish(gateway, "appointments", {}, query="?dryRun=true").status_code == 200
        assert publish(gateway, "appointments", {}).status_code == 201
        problem(publish(gateway, "appointments", {}), 429, "rate_limited")
