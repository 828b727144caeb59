"""API keys in Kafka: managed by the command, followed by every process."""

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.broker import Broker, free_port
from tests.end_to_end.process import PATIENCE, GatewayProcess, run, toml

from eventbus_gateway.cli_keys import keys

CONFIGURED = "a key of the configuration"
TOPIC = "keys-e2e"
PREFIX = "_keys"
AT_ONCE = 5.0
"""Seconds within which every replica must have heard of a change."""


def _auth(**changes: Any) -> dict[str, Any]:
    return {
        "mode": "api_keys",
        "key_table": True,
        "api_keys": [{"principal": "fixed", "sha256": hashlib.sha256(CONFIGURED.encode()).hexdigest()}],
        "grants": [{"principal": "labs", "actions": ["publish"], "topics": [TOPIC]}],
        **changes,
    }


def _file(folder: Path, bootstrap: str, prefix: str = PREFIX, **auth: Any) -> str:
    file = folder / "gateway.toml"
    config = {
        "kafka": {"bootstrap_servers": bootstrap},
        "auth": _auth(**auth),
        "topic_defaults": {"format": "json"},
        "subscriptions": {"internal_topic_prefix": prefix},
    }
    file.write_text(toml(config))
    return str(file)


def _gateway(bootstrap: str, prefix: str = PREFIX, *, wait: bool = True) -> GatewayProcess:
    kafka = {"check_seconds": 2}
    internal = {"internal_topic_prefix": prefix}
    return GatewayProcess(bootstrap, wait=wait, auth=_auth(), kafka=kafka, subscriptions=internal)


def _keys(file: str, *arguments: str) -> tuple[int, str, str]:
    command, *rest = arguments
    return run("keys", command, "--config", file, *rest)


def _created(file: str, *arguments: str) -> tuple[str, str]:
    """A new key and its id."""
    status, out, err = _keys(file, *arguments)
    assert status == 0, err
    key, found = out.strip(), re.search(r"The key ([0-9a-f]{16}) was created", err)
    assert found is not None
    assert key not in err
    return key, found[1]


def _listed(file: str) -> list[dict[str, Any]]:
    status, out, err = _keys(file, "list", "--json")
    assert (status, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def _status(gateway: GatewayProcess, key: str, topic: str = TOPIC) -> int:
    return gateway.publish(topic, b"{}", authorization=f"Bearer {key}").status_code


def _until(gateways: list[GatewayProcess], key: str, status: int) -> float:
    """Wait until every gateway answers a key so; seconds that took."""
    began = time.monotonic()
    for gateway in gateways:
        gateway.until(lambda gateway=gateway: _status(gateway, key) == status, f"{status} for the key")  # type: ignore[misc]
    return time.monotonic() - began


@pytest.mark.broker
def test_a_revoked_key_stops_working_on_every_replica_within_five_seconds(broker: Broker, tmp_path: Path) -> None:
    broker.create_topic(TOPIC, 1)
    file = _file(tmp_path, broker.bootstrap)
    with _gateway(broker.bootstrap) as one, _gateway(broker.bootstrap) as other:
        both = [one, other]
        key, key_id = _created(file, "create", "--principal", "labs", "--role", "writer")
        assert _until(both, key, 201) < AT_ONCE
        next_key, _ = _created(file, "rotate", "--principal", "labs", "--after", "30d", "--expires-in", "90d")
        assert _until(both, next_key, 201) < AT_ONCE
        assert [_status(gateway, key) for gateway in both] == [201, 201]
        status, out, err = _keys(file, "revoke", key_id)
        assert (status, out) == (0, "")
        assert "labs" in err
        assert _until(both, key, 401) < AT_ONCE
        assert [_status(gateway, next_key) for gateway in both] == [201, 201]
        assert [_status(gateway, CONFIGURED) for gateway in both] == [403, 403]
        refused = one.publish(TOPIC, b"{}", authorization=f"Bearer {key}")
        assert refused.headers["www-authenticate"] == 'Bearer realm="eventbus", error="invalid_token"'
        assert one.metric("eventbus_api_keys_ready") == 1
        assert one.metric("eventbus_api_keys") == 2
        one.until(lambda: f"the topic {PREFIX}.keys can lose" in one.err, "the table's topic to be looked at")
        for gateway in both:
            gateway.sigterm()
            assert gateway.ended() == 0
            for secret in (key, next_key, CONFIGURED):
                assert secret not in gateway.err
                assert secret not in gateway.out


@pytest.mark.broker
def test_the_command_manages_keys_and_never_shows_one_again(broker: Broker, tmp_path: Path) -> None:
    file = _file(tmp_path, broker.bootstrap, "_keys-command")
    status, out, err = _keys(file, "list")
    assert (status, out) == (1, "")
    assert "_keys-command.keys does not exist" in err
    assert "eventbus init" in err
    status, out, _ = run("init", "--config", file)
    assert status == 0
    assert "_keys-command.keys was created" in out

    assert _listed(file) == []
    key, key_id = _created(file, "create", "--principal", "labs", "--role", "b", "--role", "a", "--expires-in", "90d")
    [listed] = _listed(file)
    assert listed.keys() == {"id", "principal", "roles", "created", "expires", "state"}
    assert (listed["principal"], listed["roles"], listed["state"]) == ("labs", ["a", "b"], "live")
    second, second_id = _created(file, "rotate", "--principal", "labs", "--after", "1s")
    status, out, err = _keys(file, "list")
    assert (status, err) == (0, "")
    heading, *lines = out.splitlines()
    assert heading.split() == ["ID", "PRINCIPAL", "ROLES", "CREATED", "EXPIRES", "STATE"]
    assert {line.split()[0] for line in lines} == {key_id, second_id}
    shown = json.dumps(_listed(file)) + out
    for secret in (key, second):
        assert hashlib.sha256(secret.encode()).hexdigest() not in shown
        assert secret[9:17] not in shown
        assert secret[-6:] not in shown
    status, out, err = _keys(file, "revoke", "0" * 16)
    assert (status, out, err) == (1, "", "Error: There is no key of this id.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--principal", "a b"],
        ["create", "--principal", "anonymous"],
        ["create", "--principal", "a", "--role", "ü"],
        ["create", "--principal", "a", "--expires-in", "soon"],
        ["create", "--principal", "a", "--expires-in", "0s"],
        ["create", "--principal", "a", "--expires-in", "99999d"],
        ["rotate", "--principal", "a", "--after", "-1s"],
        ["revoke"],
    ],
)
def test_what_is_asked_for_wrongly_is_refused_before_anything_is_read(arguments: list[str]) -> None:
    done = CliRunner().invoke(keys, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Usage" in done.stderr


def test_a_kafka_that_does_not_answer_and_a_table_that_is_off_are_told_apart(tmp_path: Path) -> None:
    bootstrap = f"127.0.0.1:{free_port()}"
    status, out, err = _keys(_file(tmp_path, bootstrap), "create", "--principal", "labs", "--timeout", "1")
    assert (status, out) == (3, "")
    assert err.splitlines()[-1].startswith("Error: Kafka did not")
    status, out, err = _keys(_file(tmp_path, bootstrap, key_table=False, grants=[]), "list")
    assert (status, out) == (1, "")
    assert "auth.key_table is false" in err
    status, out, err = _keys(_file(tmp_path, bootstrap, mode="none"), "list")
    assert (status, out) == (2, "")
    assert "auth.mode" in err


@pytest.mark.broker
def test_an_outage_of_kafka_locks_nobody_out_who_was_known_and_lets_nobody_in_who_is_not(
    victim: Broker, tmp_path: Path
) -> None:
    file = _file(tmp_path, victim.bootstrap, "_keys-outage")
    assert run("init", "--config", file)[0] == 0
    key, _ = _created(file, "create", "--principal", "labs")
    mistyped = key[:-1] + ("a" if key[-1] != "a" else "b")
    with _gateway(victim.bootstrap, "_keys-outage") as known:
        assert _status(known, key, "not-granted") == 403
        victim.kill()
        try:
            known.until(lambda: known.metric("eventbus_kafka_up") == 0, "the outage to be noticed")
            assert _status(known, key, "not-granted") == 403
            with _gateway(victim.bootstrap, "_keys-outage") as started:
                answer = started.publish("not-granted", b"{}", x_api_key=key)
                assert answer.status_code == 503
                assert answer.json()["code"] == "kafka_unavailable"
                assert int(answer.headers["retry-after"]) >= 1
                assert started.metric("eventbus_api_keys_ready") == 0
                assert _status(started, CONFIGURED, "not-granted") == 403
                assert _status(started, mistyped, "not-granted") == 401
                assert _status(started, "unknown", "not-granted") == 401
                victim.restart()
                started.until(lambda: _status(started, key, "not-granted") == 403, "the key to be known", PATIENCE)
                assert started.metric("eventbus_api_keys_ready") == 1
        finally:
            if not victim.running:
                victim.restart()


def test_every_change_of_keys_has_a_line_in_the_audit_and_no_key_in_it(broker: Broker, tmp_path: Path) -> None:
    file, audit = _file(tmp_path, broker.bootstrap, "_keys-audit"), tmp_path / "audit.log"
    with Path(file).open("a") as config:
        config.write(toml({"audit": {"file": str(audit)}}))
    run("init", "--config", file)
    first, first_id = _created(file, "create", "--principal", "labs", "--role", "batch")
    second, second_id = _created(file, "rotate", "--principal", "labs")
    assert _keys(file, "revoke", first_id)[0] == 0
    assert _keys(file, "revoke", first_id)[0] == 1, "nothing changed, which needs no line"
    assert _keys(file, "list")[0] == 0
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["operation"], line["resource"], line["outcome"]) for line in lines] == [
        ("key.create", f"keys/labs/{first_id}", "done"),
        ("key.rotate", f"keys/labs/{second_id}", "done"),
        ("key.revoke", f"keys/labs/{first_id}", "done"),
    ]
    assert all(line["principal"].startswith("os:") for line in lines)
    assert first not in audit.read_text()
    assert second not in audit.read_text()


def test_no_key_is_changed_where_the_audit_cannot_be_written(broker: Broker, tmp_path: Path) -> None:
    file = _file(tmp_path, broker.bootstrap, "_keys-audit")
    with Path(file).open("a") as config:
        config.write(toml({"audit": {"file": str(tmp_path / "no" / "where")}}))
    status, out, err = _keys(file, "create", "--principal", "nurses")
    assert (status, out) == (2, "")
    assert "audit.file: is not a file that can be written, nor can it be made" in err
