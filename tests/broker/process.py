"""One real Kafka broker in KRaft mode, as a child process."""

import atexit
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic
from tests.broker import distribution
from tests.broker.ports import free_port
from tests.broker.watchdog import watchdog

READY_SECONDS = 60.0
"""How long a broker may take to answer; far above the usual 3 s, since test machines stall."""

_LOST = frozenset({KafkaError._DESTROY_BROKER, KafkaError._TRANSPORT})
"""The client has let go of a broker that was killed or came back, with what was asked of it."""

_JVM = (
    "-Xmx400m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.apache.logging.log4j.level=WARN",
)
_SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    # A broker that was killed may register again only after the session of its former life.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Brokers that nobody uses at the moment take two thirds of their time for these two.
    "metadata.max.idle.interval.ms": "0",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "controlled.shutdown.enable": "false",
    # Records of tests may be of any time, also of years ago.
    "log.retention.ms": "-1",
}


@dataclass(frozen=True, slots=True)
class Node:
    """Place of one broker in its cluster.

    Args:
        id: KRaft node id.
        port: where clients connect.
        controller_port: where the other controllers connect.
    """

    id: int
    port: int
    controller_port: int


def new_node(node_id: int) -> Node:
    """A node on free ports."""
    return Node(node_id, free_port(), free_port())


class Broker:
    """A broker with its own data folder, started at once, ended by ``close()``, at exit, or when this process dies.

    Args:
        config: broker properties that replace the defaults.
        node: where it listens; a node on free ports when left out.
        voters: all nodes of the cluster; the broker alone when left out.
        jvm: further JVM options.
        wait: whether to return only when the broker answers.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        node: Node | None = None,
        voters: Sequence[Node] = (),
        jvm: Sequence[str] = (),
        wait: bool = True,
    ) -> None:
        self.node = node or new_node(0)
        self.bootstrap = f"127.0.0.1:{self.node.port}"
        self._jvm = tuple(jvm)
        self._folder = Path(tempfile.mkdtemp(prefix="eventbus-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: AdminClient | None = None
        atexit.register(self.close)
        try:
            _write_storage(self._folder, self.node)
            _write_properties(self._folder, self.node, voters or (self.node,), config or {})
            if not distribution.has_class_archive():
                self._record_classes()
            self._launch()
            if wait:
                self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def admin(self) -> AdminClient:
        """An admin client of this broker, kept until ``close()``."""
        if self._admin is None:
            self._admin = admin_client(self.bootstrap)
        return self._admin

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone; its data stays."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, and wait until the process is gone; its data stays."""
        self._end(signal.SIGTERM)

    def stop(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered; returns when all threads stand still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def cont(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, *, wait: bool = True) -> None:
        """Start again on the same ports with the same data; a running process is killed first."""
        self.kill()
        self._launch()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Block until the broker answers metadata requests.

        Raises:
            RuntimeError: it ended or did not answer in time; the message has the end of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise RuntimeError(f"the broker ended while starting:\n{self.log_tail()}")
            with contextlib.suppress(KafkaException):
                if any(b.id == self.node.id for b in self.admin.list_topics(timeout=1.0).brokers.values()):
                    return
        raise RuntimeError(f"the broker does not answer:\n{self.log_tail()}")

    def create_topic(
        self, name: str, partitions: int = 1, *, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition has a leader."""
        create_topic(self.admin, NewTopic(name, partitions, replication, config=dict(config or {})))

    def add_partitions(self, name: str, total: int) -> None:
        """Give a topic more partitions."""
        self.admin.create_partitions([NewPartitions(name, total)], operation_timeout=30)[name].result(30)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until the broker knows it no more."""
        self.admin.delete_topics([name], operation_timeout=30)[name].result(30)
        deadline = time.monotonic() + READY_SECONDS
        while name in self.admin.list_topics(timeout=5).topics:
            if time.monotonic() > deadline:
                raise RuntimeError("the deleted topic is still there")

    def delete_records(self, name: str, partition: int, before: int) -> None:
        """Delete the records of a partition below an offset, as retention does."""
        place = TopicPartition(name, partition, before)
        self.admin.delete_records([place])[place].result(30)

    def log_tail(self, size: int = 4_000) -> str:
        """The end of what the broker printed."""
        log = self._folder / "stdout.log"
        return log.read_text(errors="replace")[-size:] if log.exists() else ""

    def close(self) -> None:
        """Kill the broker and remove its data; safe to call again."""
        self.kill()
        self._admin = None
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)

    def _launch(self, options: Sequence[str] | None = None) -> None:
        with contextlib.ExitStack() as stack:
            cds = options if options is not None else stack.enter_context(distribution.class_archive())
            command = ["java", *_JVM, *cds, *self._jvm, "-cp", distribution.classpath(), "kafka.Kafka"]
            log = stack.enter_context((self._folder / "stdout.log").open("ab"))
            self._process = subprocess.Popen(
                [*command, str(self._folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        watchdog().watch(self._process.pid, self._folder)

    def _record_classes(self) -> None:
        """The first start of all writes the class archive when it ends, so that all later ones take a third less."""
        with distribution.class_archive() as options:
            self._launch(options)
            if self._process is not None and self.node.id == 0:
                with contextlib.suppress(RuntimeError):
                    self.wait_ready()
            self.terminate()

    def _end(self, sig: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.kill(process.pid, sig)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
        watchdog().forget(process.pid)


def admin_client(bootstrap: str) -> AdminClient:
    """An admin client that reconnects fast and does not write its errors to the terminal."""
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "reconnect.backoff.ms": 50,
        "socket.timeout.ms": 3_000,
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
        "error_cb": lambda error: None,
    }
    return AdminClient(config)


def create_topic(admin: AdminClient, topic: NewTopic) -> None:
    """Create a topic and wait until every partition has a leader.

    Raises:
        RuntimeError: a partition stayed without leader.
    """
    deadline = time.monotonic() + READY_SECONDS
    _create(admin, topic, deadline)
    while time.monotonic() < deadline:
        try:
            found = admin.list_topics(topic=topic.topic, timeout=5).topics[topic.topic]
        except KafkaException as error:
            if error.args[0].code() not in _LOST:
                raise
            continue
        if found.error is None and len(found.partitions) == topic.num_partitions:
            leaders = [partition.leader for partition in found.partitions.values()]
            if all(leader >= 0 for leader in leaders) and _answers(admin, topic):
                return
    raise RuntimeError("the new topic has partitions without leader")


def _create(admin: AdminClient, topic: NewTopic, deadline: float) -> None:
    lost = False
    while True:
        try:
            admin.create_topics([topic], operation_timeout=30, request_timeout=30)[topic.topic].result(30)
        except KafkaException as error:
            code = error.args[0].code()
            if lost and code == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            lost = code in _LOST
            if not lost or time.monotonic() > deadline:
                raise
        else:
            return


def _answers(admin: AdminClient, topic: NewTopic) -> bool:
    """Whether the leaders know themselves that they are: that comes a moment after everybody is told so."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the binding says no types here
    places = {TopicPartition(topic.topic, number): latest for number in range(topic.num_partitions)}
    asked = admin.list_offsets(places, request_timeout=5)
    with contextlib.suppress(KafkaException):
        return all(found.result(10).offset == 0 for found in asked.values())
    return False


def _write_storage(folder: Path, node: Node) -> None:
    data = folder / "data"
    shutil.copytree(distribution.storage_template(), data)
    meta = data / "meta.properties"
    lines = meta.read_text().splitlines()
    ids = {"node.id": str(node.id), "directory.id": base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")}
    kept = [line for line in lines if line.partition("=")[0] not in ids and not line.startswith("#")]
    meta.write_text("\n".join(kept + [f"{name}={value}" for name, value in ids.items()]) + "\n")


def _write_properties(folder: Path, node: Node, voters: Sequence[Node], config: Mapping[str, str]) -> None:
    copies = str(len(voters))
    quorum = str(len(voters) // 2 + 1)
    settings = {
        **_SETTINGS,
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(f"{v.id}@127.0.0.1:{v.controller_port}" for v in voters),
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
        "log.dirs": str(folder / "data"),
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": quorum,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": quorum,
        "default.replication.factor": copies,
        "min.insync.replicas": quorum,
        **config,
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    (folder / "server.properties").write_text(text)
