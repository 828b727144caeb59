"""``eventbus serve --workers``: several processes behind one port, started, watched and ended together."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.broker import Broker, free_port, free_run
from tests.conftest import TopicFactory
from tests.end_to_end.process import PATIENCE, GatewayProcess, run, toml
from tests.kafka.support import read_log

CONNECTIONS = 64


class Crew(GatewayProcess):
    """Workers and their parent.

    Args:
        bootstrap: Kafka's address.
        number: how many.
        tables: tables of the configuration that say more than the defaults.
    """

    def __init__(self, bootstrap: str, number: int = 2, **tables: Mapping[str, Any]) -> None:
        self.first = free_run(number)
        given: dict[str, Any] = {**tables, "http": {"internal_port": self.first, **tables.get("http", {})}}
        super().__init__(bootstrap, wait=False, arguments=["--workers", str(number)], **given)
        try:
            self.until(lambda: "workers" in self.err and f"with {number} workers" in self.err, "all to serve")
        except BaseException:
            self.close()
            raise

    def workers(self) -> dict[int, tuple[int, int]]:
        """Process and internal port of each worker that has begun to serve, the latest of each number."""
        found = re.findall(r"worker (\d+) is process (\d+), probes and metrics on 127\.0\.0\.1:(\d+)", self.err)
        return {int(number): (int(pid), int(port)) for number, pid, port in found}


@contextlib.contextmanager
def connections(port: int, number: int = CONNECTIONS) -> Iterator[list[http.client.HTTPConnection]]:
    opened = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for _ in range(number)]
    try:
        for connection in opened:
            connection.connect()
        yield opened
    finally:
        for connection in opened:
            connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes]:
    connection.request(method, path, body, {"content-type": "application/json"} if body is not None else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def internal(port: int, path: str) -> tuple[int, bytes]:
    with connections(port, 1) as (connection,):
        return ask(connection, "GET", path)


def published(port: int) -> float:
    """How many publishes a worker has answered with 201."""
    text = internal(port, "/metrics")[1].decode()
    lines = [line for line in text.splitlines() if "requests_total{" in line and "POST" in line and '"201"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent's interest does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"Z", "X"}
    return False


def until_dead(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                assert select.select([descriptor], [], [], PATIENCE)[0], "it still runs"
            finally:
                os.close(descriptor)
        assert not alive(pid)


@pytest.mark.broker
def test_callers_of_one_port_are_shared_among_the_workers(broker: Broker, topic: TopicFactory) -> None:
    name = topic(2)
    with Crew(broker.bootstrap, 3) as crew:
        workers = crew.workers()
        assert {number: port - crew.first for number, (_, port) in workers.items()} == {0: 0, 1: 1, 2: 2}
        assert len({pid for pid, _ in workers.values()} | {crew.pid}) == 4
        with connections(crew.port) as opened:
            for connection in opened:
                assert ask(connection, "POST", f"/v1/topics/{name}/events", b'"x"')[0] == 201
        shares = [published(port) for _, port in workers.values()]
        assert sum(shares) == CONNECTIONS
        assert min(shares) > 0
        assert all(internal(port, "/readyz")[0] == 200 for _, port in workers.values())
        crew.sigterm()
        assert crew.ended() == 0
    assert len(read_log(broker.bootstrap, name)) == CONNECTIONS


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_end_of_the_parent_lets_every_worker_answer_what_it_has_accepted(
    broker: Broker, topic: TopicFactory, number: int
) -> None:
    name = topic(1)
    lines = [f"POST /v1/topics/{name}/events HTTP/1.1", "host: x", "content-type: application/json"]
    head = "\r\n".join([*lines, "content-length: 3", "", ""]).encode()
    with Crew(broker.bootstrap) as crew, contextlib.ExitStack() as stack:
        pids = [pid for pid, _ in crew.workers().values()]
        callers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", crew.port), PATIENCE))
            for _ in range(CONNECTIONS)
        ]
        for caller in callers:
            caller.sendall(head + b'"x')
        crew.until(lambda: _in_flight(crew) == CONNECTIONS, "all requests to arrive")
        os.kill(crew.pid, number)
        crew.until(lambda: crew.err.count("draining") == 2, "both to drain")
        for caller in callers:
            caller.sendall(b'"')
            assert caller.recv(65_536).startswith(b"HTTP/1.1 201 ")
        assert crew.ended() == 0
        until_dead(*pids)
    assert len(read_log(broker.bootstrap, name)) == CONNECTIONS


def _in_flight(crew: Crew) -> float:
    texts = [internal(port, "/metrics")[1].decode() for _, port in crew.workers().values()]
    found = [re.search(r"^eventbus_http_in_flight_requests (\S+)$", text, re.MULTILINE) for text in texts]
    return sum(float(each[1]) for each in found if each is not None)


def test_a_worker_that_was_killed_is_replaced_while_the_others_go_on() -> None:
    with Crew(f"127.0.0.1:{free_port()}", kafka={"metadata_timeout_seconds": 0.5}) as crew:
        before = crew.workers()
        os.kill(before[1][0], signal.SIGKILL)
        crew.until(lambda: crew.workers()[1][0] != before[1][0], "another worker to serve")
        after = crew.workers()
        assert after[0] == before[0]
        assert after[1][1] == before[1][1], "at the same internal port"
        assert internal(after[1][1], "/readyz")[0] == 200
        assert "worker 1 has ended with signal 9" in crew.err
        assert crew.err.count("with 2 workers") == 1
        with connections(crew.port) as opened:
            assert {ask(connection, "GET", "/v1/topics")[0] for connection in opened} <= {200, 503}
        crew.sigterm()
        assert crew.ended() == 0
        until_dead(after[0][0], after[1][0])


@pytest.mark.broker
def test_each_worker_hands_out_what_any_of_them_serves_also_after_one_was_killed(
    broker: Broker, topic: TopicFactory
) -> None:
    name = topic(6)
    subscriptions = {
        "enabled": True,
        "peer_secret": "workers prove to each other what they are",
        "internal_topic_prefix": "_workers",
        "slots": 6,
        "session_timeout_seconds": 6,
    }
    with Crew(broker.bootstrap, subscriptions=subscriptions) as crew:
        crew.until(lambda: _slots(crew) == [3, 3], "both to serve shards")
        with connections(crew.port, 8) as callers:
            spec = {"topics": [name], "start": "earliest", "parallelism": 6, "delivery": {"type": "pull"}}
            status, body = ask(callers[0], "PUT", "/v1/subscriptions/all", json.dumps(spec).encode())
            assert status == 201, body
            for turn, caller in enumerate(callers):
                sent = _published(caller, name, range(100 * turn, 100 * turn + 20))
                assert _received(caller, sent) == sorted(sent)
        os.kill(crew.workers()[1][0], signal.SIGKILL)
        with contextlib.ExitStack() as stack:
            caller = _reached(crew, stack)
            sent = _published(caller, name, range(1_000, 1_020))
            # What was acked just before the end may come again.
            assert set(_received(caller, sent)) >= sent
        crew.sigterm()
        assert crew.ended() == 0


def _reached(crew: Crew, stack: contextlib.ExitStack) -> http.client.HTTPConnection:
    """A connection to a worker that lives: for a moment the system goes on giving new ones to a killed one."""
    answering: list[http.client.HTTPConnection] = []

    def answers() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            [caller] = stack.enter_context(connections(crew.port, 1))
            if ask(caller, "GET", "/v1/topics")[0] == 200:
                answering.append(caller)
        return bool(answering)

    crew.until(answers, "a worker to answer")
    return answering[0]


def _slots(crew: Crew) -> list[int]:
    """How many slots each worker owns."""
    texts = [internal(port, "/metrics")[1].decode() for _, port in crew.workers().values()]
    found = [re.search(r"^eventbus_subscription_slots (\S+)$", text, re.MULTILINE) for text in texts]
    return [int(float(each[1])) for each in found if each is not None]


def _published(caller: http.client.HTTPConnection, topic: str, numbers: range) -> set[int]:
    for number in numbers:
        assert ask(caller, "POST", f"/v1/topics/{topic}/events", b"%d" % number)[0] == 201
    return set(numbers)


def _received(caller: http.client.HTTPConnection, wanted: set[int]) -> list[int]:
    """The data of events, received and acked by one caller until all that are wanted were among them; sorted."""
    data: list[int] = []
    deadline = time.monotonic() + PATIENCE
    while not wanted <= set(data):
        assert time.monotonic() < deadline, f"{len(wanted - set(data))} have not come"
        status, body = ask(caller, "POST", "/v1/subscriptions/all/receive", b'{"waitSeconds":5}')
        if status == 503:
            continue  # a shard whose next owner is not known yet
        assert status == 200, body
        events = json.loads(body)["events"]
        data += [event["data"] for event in events]
        tokens = json.dumps({"ackTokens": [event["ackToken"] for event in events]}).encode()
        if events:
            status, body = ask(caller, "POST", "/v1/subscriptions/all/ack", tokens)
            assert (status, json.loads(body)) == (200, {"succeeded": len(events), "failed": []})
    return sorted(data)


def test_workers_end_when_their_parent_is_killed() -> None:
    with Crew(f"127.0.0.1:{free_port()}", kafka={"metadata_timeout_seconds": 0.5}) as crew:
        pids = [pid for pid, _ in crew.workers().values()]
        assert all(map(alive, pids))
        crew.kill()
        until_dead(*pids)
        assert crew.err.count("draining") == 2


def test_a_worker_that_cannot_start_ends_all_and_says_why() -> None:
    internal_port = free_run(2)
    with socket.create_server(("127.0.0.1", internal_port + 1)):
        crew = GatewayProcess(
            f"127.0.0.1:{free_port()}",
            wait=False,
            arguments=["--workers", "2"],
            http={"internal_port": internal_port},
            kafka={"metadata_timeout_seconds": 0.5},
        )
        with crew:
            assert crew.ended() == 1
            assert "Cannot listen" in crew.err
            assert "worker 1 could not start" in crew.err
            assert "with 2 workers" not in crew.err


def test_a_public_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = run("serve", "--workers", "2", "--config", _file(tmp_path, taken.getsockname()[1], 0))
    assert (status, out) == (1, "")
    said = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(said) == 1
    assert re.search("listen.*in use", said[0])


def test_workers_on_free_ports_cannot_have_one_fixed_address(tmp_path: Path) -> None:
    subscriptions = {"enabled": True, "peer_secret": "s" * 32, "advertised_address": "gateway-0:8081"}
    file = _file(tmp_path, 0, 0, subscriptions=subscriptions)
    status, out, err = run("serve", "--workers", "2", "--config", file)
    assert (status, out) == (1, "")
    assert "http.internal_port" in err


def test_a_broken_configuration_starts_no_worker(tmp_path: Path) -> None:
    status, out, err = run("serve", "--workers", "2", "--config", _file(tmp_path, 99_999, 0))
    assert (status, out) == (2, "")
    assert err.count("http.port") == 1


def _file(folder: Path, port: int, internal_port: int, **tables: Mapping[str, Any]) -> str:
    config = {
        "http": {"port": port, "internal_port": internal_port},
        "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"},
        "auth": {"mode": "anonymous"},
        "topic_defaults": {"format": "json"},
        **tables,
    }
    file = folder / "gateway.toml"
    file.write_text(toml(config))
    return str(file)
