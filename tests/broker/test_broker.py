"""The harness itself: what the fault tests rely on."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from tests.broker import Broker, BrokerCluster, free_port
from tests.conftest import TopicFactory

_ROOT = Path(__file__).resolve().parents[2]


def _write(bootstrap: str, topic: str, values: list[bytes]) -> list[int]:
    offsets: list[int] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 30_000})
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, m: offsets.append(m.offset() or 0))
    assert producer.flush(30) == 0
    return offsets


def _read(bootstrap: str, topic: str, number: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "t", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(number, 30)]
    finally:
        consumer.close()


@pytest.mark.broker
def test_a_killed_broker_comes_back_with_its_data_on_its_port() -> None:
    with Broker() as broker:
        broker.create_topic("kept")
        assert _write(broker.bootstrap, "kept", [b"1", b"2"]) == [0, 1]
        before = broker.pid
        broker.kill()
        assert not broker.running
        broker.restart()
        assert broker.pid != before
        assert _read(broker.bootstrap, "kept", 2) == [b"1", b"2"]


def test_a_stopped_broker_answers_only_after_it_continues(broker: Broker, topic: TopicFactory) -> None:
    name = topic()
    broker.stop()
    try:
        with pytest.raises(KafkaException):
            broker.admin.list_topics(timeout=0.3)
    finally:
        broker.cont()
    assert name in broker.admin.list_topics(timeout=30).topics


def test_a_cluster_takes_writes_while_one_of_three_is_dead(cluster3: BrokerCluster) -> None:
    cluster3.create_topic("replicated")
    assert _write(cluster3.bootstrap, "replicated", [b"1"]) == [0]
    leader = cluster3.leader("replicated")
    leader.kill()
    assert _write(cluster3.bootstrap, "replicated", [b"2"]) == [1]
    leader.restart()
    cluster3.wait_in_sync("replicated")
    assert _read(cluster3.bootstrap, "replicated", 2) == [b"1", b"2"]


@pytest.mark.broker
def test_brokers_do_not_outlive_a_process_that_is_killed() -> None:
    code = "import sys; from tests.broker import Broker; b = Broker(); print(b.pid, flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        broker = int(child.stdout.readline())
        handle = os.pidfd_open(broker)
        child.kill()
        child.wait(30)
    try:
        assert select.select([handle], [], [], 30)[0], "the broker still runs"
    finally:
        os.close(handle)
        with contextlib.suppress(ProcessLookupError):
            os.kill(broker, signal.SIGKILL)


def test_a_port_is_given_to_one_process_only_while_that_lives() -> None:
    code = (
        "import sys; from tests.broker import free_port; "
        "print([free_port() for _ in range(400)], flush=True); sys.stdin.read()"
    )
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(3)
        ]
        ports = [port for child in children if child.stdout for port in json.loads(child.stdout.readline())]
    assert len(set(ports)) == len(ports) == 3 * 400


def test_whoever_was_given_a_port_can_listen_on_it_and_nobody_does_before() -> None:
    port = free_port()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    with socket.create_server(("127.0.0.1", port), reuse_port=True), socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with (
            socket.create_server(("127.0.0.1", port), reuse_port=True),
            socket.create_connection(("127.0.0.1", port)),
        ):
            pass
