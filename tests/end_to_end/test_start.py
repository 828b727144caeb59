"""A process starts whatever state its surroundings are in, or says in a few lines why it cannot."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.broker import Broker, free_port
from tests.end_to_end.process import GatewayProcess, run, toml
from tests.leaks import marked

AT_ONCE = 2.0


@pytest.fixture
def later(victim: Broker) -> Iterator[Broker]:
    """A broker that is not there yet."""
    victim.kill()
    yield victim
    if not victim.running:
        victim.restart()


@pytest.mark.broker
def test_a_kafka_that_is_down_at_the_start_is_answered_with_503_until_it_comes(later: Broker) -> None:
    kafka = {"metadata_timeout_seconds": 1}
    with GatewayProcess(later.bootstrap, kafka=kafka, topics={"down-at-start": {}}) as gateway:
        for _ in range(3):
            answer = gateway.publish("down-at-start", '"hello"')
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert answer.json()["outcome"] == "not_stored"
            assert int(answer.headers["retry-after"]) >= 1
        assert gateway.probe("/livez") == gateway.probe("/readyz") == 200
        assert gateway.metric("eventbus_kafka_up") == 0
        later.restart()
        later.create_topic("down-at-start", 2)
        gateway.until(
            lambda: gateway.publish("down-at-start", '"hello"').status_code == 201, "the gateway to heal", 20
        )
        assert gateway.metric("eventbus_kafka_up") == 1
        gateway.sigterm()
        assert gateway.ended() == 0


@pytest.mark.broker
def test_the_topics_of_a_kafka_that_came_late_are_shown_without_anybody_publishing(later: Broker) -> None:
    # Longer than the process waits for warm caches.
    kafka = {"metadata_refresh_seconds": 1, "metadata_timeout_seconds": 5.5}
    with GatewayProcess(later.bootstrap, kafka=kafka) as gateway:
        assert gateway.client.get("/v1/topics").json()["topics"] == []
        later.restart()
        later.create_topic("came-late", 3)
        gateway.until(lambda: "came-late" in gateway.client.get("/v1/topics").text, "the list of topics", 20)


def test_a_topic_that_was_never_seen_is_refused_at_once_while_kafka_is_down() -> None:
    with GatewayProcess(f"127.0.0.1:{free_port()}", kafka={"metadata_timeout_seconds": 3}) as gateway:
        started = time.monotonic()
        assert gateway.publish("visits", "{}").json()["code"] == "kafka_unavailable"
        assert time.monotonic() - started < AT_ONCE


def test_a_process_is_ready_soon_without_kafka_and_without_a_registry() -> None:
    started = time.monotonic()
    nobody = f"127.0.0.1:{free_port()}"
    kafka = {"metadata_timeout_seconds": 4}
    with GatewayProcess(nobody, f"http://{nobody}", kafka=kafka, topics={"visits": {}}) as gateway:
        assert time.monotonic() - started < 4 + 3, "it looks for Kafka once"
        gateway.sigterm()
        assert gateway.ended(10) == 0


BROKEN = {
    "http": {"port": 99_999, "prot": 1},
    "kafka": {"bootstrap_servers": "", "sasl_password": marked("a-password-of-mine", "the SASL password")},
    "auth": {"api_keys": [{"principal": "scheduling", "sha256": "not-a-hash-of-mine"}]},
    "topics": {"visits": {"key": "no-pointer"}},
}
FAULTS = [
    "http.port",
    "http.prot",
    "kafka.bootstrap_servers",
    "kafka.sasl_password",
    "auth.api_keys[0].sha256",
    "topics.visits.key",
]


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_broken_configuration_is_refused_with_every_fault_at_once(command: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(toml(BROKEN))
    status, out, err = run(command, "--config", str(file))
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    assert [fault for fault in FAULTS if fault not in err] == []
    assert "-of-mine" not in err, "values are not shown"


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_file_that_is_no_toml_or_not_there_is_refused_in_a_few_lines(command: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[http\nport = ")
    for path in (file, tmp_path / "missing.toml", tmp_path):
        status, out, err = run(command, "--config", str(path))
        assert status == 2
        assert out == ""
        assert "Traceback" not in err
        assert 1 <= len(err.splitlines()) <= 5


def test_the_configuration_that_would_be_used_is_shown_with_secrets_masked(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    config = {
        "kafka": {
            "bootstrap_servers": "broker:9092",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "gateway",
            "sasl_password": "s3cret-of-mine",
        },
        "auth": {"mode": "anonymous"},
        "topic_defaults": {"format": "json"},
    }
    file.write_text(toml(config))
    status, out, err = run("check-config", "--config", str(file), environ={"EVENTBUS_HTTP__PORT": "1234"})
    assert (status, err) == (0, "")
    assert "1234" in out
    assert "broker:9092" in out
    assert "s3cret-of-mine" not in out


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = tmp_path / "gateway.toml"
        config = {
            "http": {"port": taken.getsockname()[1], "internal_port": 0},
            "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"},
            "auth": {"mode": "anonymous"},
            "topic_defaults": {"format": "json"},
        }
        file.write_text(toml(config))
        status, out, err = run("serve", "--config", str(file))
    assert status != 0
    assert out == ""
    said = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(said) == 1
    assert re.search("listen.*in use", said[0])


def test_the_version_is_that_of_the_package() -> None:
    script = Path(sys.executable).with_name("eventbus")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split()[-1] == version("eventbus-gateway")
    assert "eventbus" in done.stdout


def test_what_the_process_logs_are_json_lines() -> None:
    kafka = {"metadata_timeout_seconds": 0.5}
    with GatewayProcess(f"127.0.0.1:{free_port()}", kafka=kafka) as gateway:
        assert gateway.publish("visits", "{}").status_code == 503
        gateway.sigterm()
        assert gateway.ended(10) == 0
        logged = [json.loads(line) for line in [*gateway.err.splitlines(), *gateway.out.splitlines()]]
    assert any(line["message"].startswith("serving ") for line in logged)
    assert any(line.get("status") == 503 for line in logged)
