"""The processes of a run: the gateway, the floors, the load."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loadtests import floor_produce
from loadtests.load import Plan, Report

_READY_SECONDS = 30.0
_STOP_SECONDS = 40.0
_LATE_SECONDS = 90.0
_CLI = (sys.executable, "-m", "eventbus_gateway.cli")
SERVE = (*_CLI, "serve")
EITHER = (sys.executable, "-m", "loadtests.either")


class Served(NamedTuple):
    """A server that takes requests.

    Args:
        pid: its process.
        port: where it listens, on the loopback address.
    """

    pid: int
    port: int


@contextlib.contextmanager
def gateway(
    config: Path, ports: tuple[int, int], environ: Mapping[str, str], log: Path, program: Sequence[str] = SERVE
) -> Iterator[Served]:
    """A gateway as it runs in production, in a process of its own.

    Its standard output, the access log, is thrown away by the kernel; its standard error goes to a file.

    Args:
        config: TOML file.
        ports: public and internal port that the file names.
        environ: variables beside those of this process.
        log: where standard error goes.
        program: what is run as the gateway.

    Raises:
        RuntimeError: it does not become ready, or does not end with 0 on SIGTERM.
    """
    command = [*program, "--config", str(config)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=_environ(environ)
        )
    try:
        _wait_until_ready(process, ports[1], log)
        yield Served(process.pid, ports[0])
        _drained(process, log)
    finally:
        _end(process)


@contextlib.contextmanager
def development(folder: Path, log: Path) -> Iterator[Served]:
    """What ``make dev`` runs, with its embedded Kafka, without an access log.

    Args:
        folder: schemas, samples and configuration.
        log: what it says.

    Raises:
        RuntimeError: it does not become ready, or does not end with 0 on SIGTERM.
    """
    command = [*_CLI, "dev", "--port", "0", "--folder", str(folder)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=_environ({"EVENTBUS_HTTP__ACCESS_LOG": "false"}),
        )
    try:
        yield Served(process.pid, _welcomed(process, log))
        _drained(process, log)
    finally:
        _end(process)


@contextlib.contextmanager
def floor_server(body: bytes) -> Iterator[Served]:
    """A bare uvicorn that answers every request with the same body."""
    command = [sys.executable, "-m", "loadtests.floor_server"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            process.stdin.write(body)
            process.stdin.close()
            yield Served(process.pid, int(process.stdout.readline()))
        finally:
            _end(process)


class Listening:
    """One of our programs that listens, while it runs.

    Args:
        process: it.
        port: where it listens, on the loopback address.
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.served = Served(process.pid, port)
        self.base = f"http://127.0.0.1:{port}"
        self.url = f"{self.base}/hook"

    def tell(self, plan: Mapping[str, Any]) -> None:
        """Give it its plan."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(plan)}\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """Wait for what it found.

        Raises:
            RuntimeError: it ended without saying so.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"what receives webhooks ended with {self._process.wait(_STOP_SECONDS)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def listening(module: str) -> Iterator[Listening]:
    """One of our programs that receives webhooks, in a process of its own.

    Args:
        module: its name.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            yield Listening(process, int(process.stdout.readline()))
        finally:
            _end(process)


def load(plan: Plan) -> Report:
    """Make the load of a plan from a process of its own."""
    return Report(**call("loadtests.load", json.dumps(plan._asdict())))


def produce(plan: str) -> floor_produce.Report:
    """Run the plain produce loop in a process of its own."""
    return floor_produce.Report(**call("loadtests.floor_produce", plan))


def call(module: str, given: str) -> dict[str, Any]:
    """Run one of our programs in a process of its own.

    Args:
        module: its name.
        given: its standard input.

    Returns:
        The JSON that it writes.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_LATE_SECONDS,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}:\n{_tail(log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway does not become ready:\n{_tail(log)}")


def _environ(further: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    return {**inherited, **further}


def _welcomed(process: subprocess.Popen[bytes], log: Path) -> int:
    """The public port, once it is printed."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"curl -i http://[^/]*:(\d+)/.*\n", log.read_text(errors="replace"))
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"the gateway does not become ready:\n{_tail(log)}")


def _drained(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    if process.wait(_STOP_SECONDS) != 0:
        raise RuntimeError(f"the gateway ended with {process.returncode}:\n{_tail(log)}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4_000:]
