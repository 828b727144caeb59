"""What the gateway keeps in Kafka can be saved elsewhere and stored again in another place."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import GatewayProcess, run, toml
from tests.leaks import marked

from eventbus_gateway.kafka.saved_entries import SavedEntry, to_lines

pytestmark = pytest.mark.broker

PEER_SECRET = marked("the-replicas-whose-tables-are-saved", "the peer secret")
AUTH = {
    "mode": "api_keys",
    "key_table": True,
    "grants": [{"principal": "labs", "actions": ["publish", "read"], "topics": ["*"]}],
}


def _tables(prefix: str) -> dict[str, Any]:
    subscriptions = {
        "enabled": True,
        "internal_topic_prefix": f"_{prefix}",
        "group_prefix": prefix,
        "slots": 2,
        "peer_secret": PEER_SECRET,
    }
    return {"auth": AUTH, "subscriptions": subscriptions, "audit": {"enabled": False}}


def _file(folder: Path, bootstrap: str, prefix: str) -> str:
    file = folder / f"{prefix}.toml"
    file.write_text(
        toml({"kafka": {"bootstrap_servers": bootstrap}, "topic_defaults": {"format": "json"}, **_tables(prefix)})
    )
    assert run("init", "--config", str(file))[0] == 0
    return str(file)


@contextlib.contextmanager
def _gateway(broker: Broker, prefix: str, key: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(broker.bootstrap, **_tables(prefix)) as gateway:
        gateway.client.headers["authorization"] = f"Bearer {key}"
        gateway.until(lambda: gateway.metric("eventbus_subscription_slots") == 2, "the slots")
        gateway.until(lambda: gateway.metric("eventbus_api_keys_ready") == 1, "the keys")
        yield gateway


def _received(gateway: GatewayProcess) -> list[Any]:
    answer = gateway.client.post("/v1/subscriptions/board/receive", json={"waitSeconds": 20, "maxEvents": 10})
    assert answer.status_code == 200, answer.text
    return [event["data"] for event in answer.json()["events"]]


def _reject_and_redrive(gateway: GatewayProcess) -> None:
    board = "/v1/subscriptions/board"
    answer = gateway.client.post(f"{board}/receive", json={"waitSeconds": 20}).json()
    (event,) = answer["events"]
    assert event["data"] == "before"
    rejected = gateway.client.post(f"{board}/reject", json={"ackTokens": [event["ackToken"]]})
    assert rejected.status_code == 200, rejected.text
    gateway.until(lambda: gateway.client.get(f"{board}/dead-letters").json().get("deadLetters"), "the dead letter")
    assert gateway.client.post(f"{board}/redrive").status_code == 202
    assert gateway.client.get(board).json()["lastRedrive"] is not None


def test_saved_subscriptions_and_keys_are_stored_elsewhere_and_paused_until_somebody_resumes_them(
    broker: Broker, topic: TopicFactory, tmp_path: Path
) -> None:
    name, former, latter = topic(), "save-former", "save-latter"
    first, second = (_file(tmp_path, broker.bootstrap, prefix) for prefix in (former, latter))
    status, key, err = run("keys", "create", "--config", first, "--principal", "labs")
    assert status == 0, err
    key = marked(key.strip(), "an API key")
    with _gateway(broker, former, key) as gateway:
        wanted = {"topics": [name], "start": "earliest"}
        assert gateway.client.put("/v1/subscriptions/board", json=wanted).status_code == 201
        shown = gateway.client.get("/v1/subscriptions/board").json()
        assert gateway.publish(name, '"before"').status_code == 201
        _reject_and_redrive(gateway)

    status, saved, err = run("tables", "save", "--config", first)
    assert (status, err) == (0, "2 entries were saved.\n")
    assert key not in saved
    file = tmp_path / "saved.ndjson"
    file.write_text(saved)

    assert run("tables", "restore", "--config", second, str(file)) == (
        0,
        "",
        "2 entries were stored, 0 were there.\n",
    )
    again = run("tables", "restore", "--config", second, str(file))
    assert again == (0, "", "0 entries were stored, 2 were there.\n")
    with _gateway(broker, latter, key) as gateway:
        found = gateway.client.get("/v1/subscriptions/board").json()
        assert found["paused"]
        # Its bound is a place in the dead letters of another Kafka.
        assert found["lastRedrive"] is None
        same = ("name", "id", "topics", "start", "delivery", "deadLetterTopic", "createdAt")
        assert {member: found[member] for member in same} == {member: shown[member] for member in same}
        sought = gateway.client.post("/v1/subscriptions/board/seek", json={"to": "latest"})
        assert sought.status_code == 200, sought.text
        assert gateway.client.post("/v1/subscriptions/board/resume").status_code == 200
        assert gateway.publish(name, '"after"').status_code == 201
        assert _received(gateway) == ["after"]

    status, out, err = run("tables", "restore", "--config", second, str(file))
    assert (status, out) == (1, "")
    assert "subscriptions has 1 other entries" in err


def test_a_file_that_is_not_whole_stores_nothing(broker: Broker, tmp_path: Path) -> None:
    config = _file(tmp_path, broker.bootstrap, "save-cut")
    file = tmp_path / "saved.ndjson"
    line = {"format": 1, "table": "subscriptions", "key": "labs/board", "value": "{}"}
    file.write_text(json.dumps(line) + "\n")
    status, _, err = run("tables", "restore", "--config", config, str(file))
    assert status == 1
    assert "it is not whole" in err
    file.write_text(json.dumps(line) + '\n{"format": 1, "entries": 1}\n')
    status, _, err = run("tables", "restore", "--config", config, str(file))
    assert status == 1
    assert "a form that this version does not know" in err
    status, out, _ = run("tables", "save", "--config", config)
    assert (status, out) == (0, '{"format": 1, "entries": 0}\n')


def test_what_was_stored_before_a_failure_is_told_and_audited(broker: Broker, tmp_path: Path) -> None:
    config, audit = _file(tmp_path, broker.bootstrap, "save-part"), tmp_path / "audit.ndjson"
    written = Path(config).read_text().replace('"enabled" = false', f'"enabled" = true\n"file" = "{audit}"')
    assert str(audit) in written
    Path(config).write_text(written)
    entries = [
        SavedEntry("subscriptions", "labs/board", b'{"subscription":{"control":{}}}'),
        SavedEntry(
            "subscriptions", "labs/large", b'{"subscription":{"control":{}},"more":"%s"}' % (b"x" * 2_000_000)
        ),
    ]
    file = tmp_path / "saved.ndjson"
    file.write_text("\n".join(to_lines(entries)))
    status, out, err = run("tables", "restore", "--config", config, str(file))
    assert (status, out) == (1, "")
    assert "1 entries were stored before" in err
    (line,) = audit.read_text().splitlines()
    assert json.loads(line)["outcome"] == "partial"
