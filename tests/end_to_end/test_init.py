"""``eventbus init``: what the gateway needs in Kafka is there afterwards, or an administrator knows what to do."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from tests.broker import Broker, free_port
from tests.end_to_end.process import run, toml
from tests.leaks import marked

SECRET = marked("a secret of replicas that only tests use", "the peer secret")


def configured(folder: Path, bootstrap: str, **subscriptions: Any) -> str:
    """A configuration file."""
    file = folder / "gateway.toml"
    config = {
        "kafka": {"bootstrap_servers": bootstrap},
        "auth": {"mode": "anonymous"},
        "topic_defaults": {"format": "json"},
        "subscriptions": {"enabled": True, "peer_secret": SECRET, "slots": 8, **subscriptions},
    }
    file.write_text(toml(config))
    return str(file)


def partitions(broker: Broker, prefix: str) -> dict[str, int]:
    """Topics that begin so, and how many partitions they have."""
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if name.startswith(prefix)}


@pytest.mark.broker
def test_missing_topics_are_created_and_those_that_are_there_are_left_alone(broker: Broker, tmp_path: Path) -> None:
    file = configured(tmp_path, broker.bootstrap, internal_topic_prefix="_init")
    status, out, err = run("init", "--config", file)
    assert (status, err) == (0, "")
    created = {"_init.subscriptions": 1, "_init.owners": 1, "_init.slots": 8}
    assert partitions(broker, "_init.") == created
    assert all(f"{name} was created" in out for name in created)
    status, out, err = run("init", "--config", file)
    assert (status, err) == (0, "")
    assert "created" not in out
    assert "3 topics" in out


@pytest.mark.broker
def test_a_topic_that_cannot_be_used_is_named_and_not_touched(broker: Broker, tmp_path: Path) -> None:
    broker.create_topic("_init-wrong.slots", 3)
    broker.create_topic("_init-wrong.owners", 1, config={"cleanup.policy": "delete"})
    file = configured(tmp_path, broker.bootstrap, internal_topic_prefix="_init-wrong")
    status, out, err = run("init", "--config", file)
    assert status == 1
    said = err.splitlines()
    assert len(said) == 2
    assert any("_init-wrong.slots has 3 partitions and must have 8" in line for line in said)
    assert any("_init-wrong.owners has cleanup.policy delete and must have compact" in line for line in said)
    assert "_init-wrong.subscriptions was created" in out
    assert partitions(broker, "_init-wrong.slots") == {"_init-wrong.slots": 3}


@pytest.mark.broker
def test_what_cannot_be_created_is_told_with_the_commands_of_an_administrator(broker: Broker, tmp_path: Path) -> None:
    file = configured(tmp_path, broker.bootstrap, internal_topic_prefix="_init-many", replication_factor=3)
    status, out, err = run("init", "--config", file)
    assert status == 1
    assert err.count("too few brokers") == 3
    commands = out.splitlines()
    assert [command.split()[:2] for command in commands] == [["kafka-topics.sh", "--bootstrap-server"]] * 3
    assert all("--replication-factor 3" in command for command in commands)
    assert partitions(broker, "_init-many") == {}


def test_the_commands_are_printed_without_asking_kafka(tmp_path: Path) -> None:
    bootstrap = f"127.0.0.1:{free_port()}"
    status, out, err = run("init", "--print", "--config", configured(tmp_path, bootstrap))
    assert (status, err) == (0, "")
    topics, owners, slots = out.splitlines()
    start = f"kafka-topics.sh --bootstrap-server {bootstrap} --create --if-not-exists --topic"
    assert topics.startswith(f"{start} _eventbus.subscriptions --partitions 1 ")
    assert owners.startswith(f"{start} _eventbus.owners --partitions 1 ")
    assert slots.startswith(f"{start} _eventbus.slots --partitions 8 ")
    assert all("cleanup.policy=compact" in line for line in (topics, owners))


def test_a_kafka_that_does_not_answer_is_told_with_the_reason(tmp_path: Path) -> None:
    file = configured(tmp_path, f"127.0.0.1:{free_port()}")
    status, out, err = run("init", "--timeout", "1", "--config", file)
    assert (status, out) == (3, "")
    *logged, said = err.splitlines()
    assert said == "Error: Kafka did not say in time which topics there are."
    assert any("Connection refused" in line for line in logged)
    assert "Traceback" not in err


def test_without_subscriptions_nothing_is_needed(tmp_path: Path) -> None:
    file = configured(tmp_path, f"127.0.0.1:{free_port()}", enabled=False)
    for arguments in ([], ["--print"]):
        status, out, err = run("init", *arguments, "--config", file)
        assert (status, err) == (0, "")
        assert "subscriptions.enabled" in out


def test_a_broken_configuration_is_refused(tmp_path: Path) -> None:
    file = configured(tmp_path, f"127.0.0.1:{free_port()}", peer_secret="short")
    status, out, err = run("init", "--print", "--config", file)
    assert (status, out) == (2, "")
    assert "subscriptions.peer_secret" in err
