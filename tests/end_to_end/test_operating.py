"""What operators see and set: access by key, metrics, logs, and nothing in them that belongs to callers."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import GatewayProcess
from tests.leaks import marked
from tests.schemas.registry_server import RegistryServer

pytestmark = pytest.mark.broker

KEY = marked("ebk_live_kq7Zs3cretKeyOfScheduling", "an API key")
READER_KEY = marked("ebk_live_kq7Zs3cretKeyOfReading", "an API key")
MARK = "zq7payloadzq7"
SCHEMA = (
    '{"type": "record", "name": "Visit", "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": "int"}]}'
)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def test_a_key_lets_its_principal_do_what_it_was_granted_and_shows_nowhere(
    broker: Broker, topic: TopicFactory
) -> None:
    own, other = topic(), topic()
    auth: dict[str, Any] = {
        "mode": "api_keys",
        "api_keys": [
            {"principal": "scheduling", "sha256": digest(KEY)},
            {"principal": "reading", "sha256": digest(READER_KEY)},
        ],
        "grants": [
            {"principal": "scheduling", "actions": ["publish"], "topics": [own]},
            {"principal": "reading", "actions": ["read"], "topics": ["*"]},
        ],
    }
    with GatewayProcess(broker.bootstrap, auth=auth) as gateway:

        def status(name: str, **headers: str) -> int:
            answer = gateway.publish(name, '"hello"', **headers)
            assert answer.status_code == 201 or answer.json()["outcome"] == "not_stored"
            assert KEY not in answer.text
            assert KEY not in str(answer.headers)
            return int(answer.status_code)

        assert status(own) == 401
        assert status(own, authorization="Bearer wrong") == 401
        assert status(own, authorization=f"Bearer {KEY}x") == 401
        assert status(own, authorization=f"Bearer {digest(KEY)}") == 401, "the hash is not the key"
        assert status(own, x_api_key=KEY, authorization=f"Bearer {KEY}") == 401
        assert status(own, authorization=f"Bearer {KEY}") == 201
        assert status(own, x_api_key=KEY) == 201
        assert status(other, x_api_key=KEY) == 403
        assert status("not-there", x_api_key=KEY) == 403
        assert status(own, x_api_key=READER_KEY) == 403
        stored = gateway.metric("eventbus_publish_events_total", topic=own, outcome="stored")
        assert stored == 2
        exposition = gateway.exposition()
        gateway.sigterm()
        assert gateway.ended(10) == 0
        lines = [json.loads(line) for line in gateway.out.splitlines()]
        for text in (exposition, gateway.out, gateway.err):
            for key in (KEY, READER_KEY, digest(KEY)):
                assert key not in text
    assert {line["principal"] for line in lines if line["status"] == 201} == {"scheduling"}


def test_a_process_keeps_to_limits_and_writes_refused_access_to_the_file_of_its_audit(
    broker: Broker, topic: TopicFactory, tmp_path: Path
) -> None:
    own, path = topic(), tmp_path / "audit.log"
    auth: dict[str, Any] = {
        "mode": "api_keys",
        "api_keys": [{"principal": "scheduling", "sha256": digest(KEY)}],
        "grants": [{"principal": "scheduling", "actions": ["publish"], "topics": [own]}],
        "limits": [{"principal": "scheduling", "requests_per_second": 0.001, "burst_requests": 3}],
    }
    with GatewayProcess(broker.bootstrap, auth=auth, audit={"file": str(path)}) as gateway:
        answers = [
            gateway.publish(name, '"hello"', x_api_key=key)
            for name, key in ((own, KEY), (own, "wrong"), ("other", KEY), (own, KEY), (own, KEY))
        ]
        assert [answer.status_code for answer in answers] == [201, 401, 403, 201, 429]
        assert int(answers[-1].headers["retry-after"]) > 100
        assert answers[-1].headers["ratelimit"] == '"requests";r=0'
        gateway.sigterm()
        assert gateway.ended(10) == 0
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        told = [(line["principal"], line["resource"], line["status"], line["peer"]) for line in lines]
        assert told == [
            (None, f"topics/{own}", 401, "127.0.0.1"),
            ("scheduling", "topics/other", 403, "127.0.0.1"),
        ]
        assert [line["request_id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers[1:3]]
        assert KEY not in path.read_text()
        assert '"audit"' not in gateway.out


def test_nothing_that_callers_send_gets_into_logs_or_metrics(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    avro, plain = topic(), topic()
    registry.register(f"{avro}-value", SCHEMA)
    good = json.dumps({"id": MARK, "n": 1})
    envelope = {"specversion": "1.0", "id": MARK, "type": MARK, "source": MARK, "subject": MARK, "data": {"id": MARK}}
    marked = {
        "ce_id": MARK,
        "ce_source": MARK,
        "ce_subject": MARK,
        "ce_partitionkey": MARK,
        "ce_extension": MARK,
        "idempotency_key": MARK,
        "cookie": MARK,
        "user_agent": MARK,
        "authorization": f"Bearer {MARK}",
        "x_api_key": MARK,
        "tracestate": f"a={MARK}",
        "x_request_id": f"not usable {MARK}",
    }
    requests: list[tuple[int, str, str | bytes, str, dict[str, str]]] = [
        (201, avro, good, "application/json", marked),
        (201, plain, json.dumps([MARK] * 10), "application/json", {}),
        (201, avro, gzip.compress(good.encode()), "application/json", {"content_encoding": "gzip"}),
        (200, avro, f"{good}\n{good}", "application/x-ndjson", {}),
        (422, avro, json.dumps({"id": MARK, "n": MARK}), "application/json", {}),
        (422, avro, json.dumps({"id": MARK, "n": 1, MARK: MARK}), "application/json", {}),
        (422, avro, f"{good}\n{MARK}", "application/x-ndjson", {}),
        (422, avro, json.dumps([envelope]), "application/cloudevents-batch+json", {}),
        (422, avro, json.dumps(envelope), "application/cloudevents+json", {}),
        (400, avro, f'{{"id": "{MARK}"', "application/json", {}),
        (400, avro, f"\xff{MARK}".encode("latin-1"), "application/json", {}),
        (400, avro, MARK, "application/json", {"content_encoding": "gzip"}),
        (400, avro, good, "application/json", {"ce_specversion": MARK}),
        (400, avro, good, "application/json", {"ce_time": MARK}),
        (400, avro, good, "application/json", {"schema_version": MARK}),
        (415, avro, good, f"application/{MARK}", {}),
        (415, avro, good, "application/json", {"content_encoding": MARK}),
        (413, avro, MARK * 200_000, "application/json", {}),
        (431, avro, good, "application/json", {"x_big": MARK * 2_000}),
    ]
    with GatewayProcess(broker.bootstrap, registry.url, topics={plain: {"format": "json"}}) as gateway:
        for status, name, content, media, headers in requests:
            answer = gateway.publish(name, content, media, **headers)
            assert answer.status_code == status, answer.text
        target = f"/v1/topics/{avro}/events?dryRun={MARK}"
        wrong = gateway.client.post(target, content=good, headers={"content-type": "application/json"})
        assert wrong.status_code == 400
        assert gateway.client.get(f"/{MARK}").status_code == 404
        assert gateway.client.get(f"/v1/topics/{avro}/events/{MARK}").status_code == 404
        unknown = gateway.publish(MARK, good)
        assert unknown.status_code == 404
        exposition = gateway.exposition()
        gateway.sigterm()
        assert gateway.ended(10) == 0
        out, err = gateway.out, gateway.err
    assert MARK not in exposition
    assert MARK not in err
    shown = [json.loads(line) for line in out.splitlines() if MARK in line]
    assert all(line.pop("topic") == MARK for line in shown), "a topic that a path names identifies the request"
    assert MARK not in json.dumps(shown)
    assert len(out.splitlines()) == len(requests) + 4


def test_the_metrics_of_a_process_show_its_traffic(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    name = topic()
    registry.register(f"{name}-value", SCHEMA)
    with GatewayProcess(broker.bootstrap, registry.url) as gateway:
        for _ in range(3):
            assert gateway.publish(name, '{"id": "a", "n": 1}').status_code == 201
        lines = "\n".join(['{"id": "a", "n": 1}'] * 10)
        assert gateway.publish(name, lines, "application/x-ndjson").status_code == 200
        assert gateway.publish(name, "{}").status_code == 422
        assert gateway.publish("not-there", "{}").status_code == 404
        families = {family.name: family for family in text_string_to_metric_families(gateway.exposition())}
        found = gateway.metrics()
    assert all(family.documentation for family in families.values())
    route = "/v1/topics/{topic}/events"
    by_status = {
        dict(labels)["status"]: value
        for (sample, labels), value in found.items()
        if sample == "eventbus_http_requests_total" and dict(labels)["route"] == route
    }
    assert by_status == {"201": 3, "200": 1, "422": 1, "404": 1}
    assert found["eventbus_publish_events_total", (("outcome", "stored"), ("topic", name))] == 13
    assert found["eventbus_publish_ack_duration_seconds_count", ()] == 4
    assert 0 < found["eventbus_publish_ack_duration_seconds_sum", ()] < 10
    assert found["eventbus_publish_ack_duration_seconds_bucket", (("le", "+Inf"),)] == 4
    assert found["eventbus_http_request_duration_seconds_count", ()] == 6
    assert found["eventbus_kafka_up", ()] == 1
    assert found["eventbus_http_connections", ()] == 1
    for idle in (
        "http_in_flight_requests",
        "http_in_flight_bytes",
        "kafka_in_flight_records",
        "kafka_in_flight_bytes",
    ):
        assert found[f"eventbus_{idle}", ()] == 0
    assert 0 <= found["eventbus_event_loop_lag_seconds", ()] < 5
