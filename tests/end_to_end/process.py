"""Processes under test: a gateway as production runs it, and the one for development."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tests.broker import free_port
from tests.broker.watchdog import watchdog
from tests.leaks import heard, heard_answer

ROOT = Path(__file__).resolve().parents[2]
CLI = (sys.executable, "-m", "eventbus_gateway.cli")
PATIENCE = 60.0
"""Seconds that a test waits for what must happen; far above what it takes, since test machines stall."""

_PAUSE = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A child process whose output goes to files; killed at the end of the block, or when this process dies.

    Args:
        command: program and arguments.
        environ: variables beside those of this process; those that configure a gateway are not inherited.
        cwd: working directory.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="eventbus-gateway-"))
        inherited = {name: value for name, value in os.environ.items() if not re.match("EVENTBUS_|PORT$", name)}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env={**inherited, **(environ or {})},
                start_new_session=True,
            )
        watchdog().watch(self._process.pid, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _out(self) -> Path:
        return self.folder / "stdout"

    @property
    def _err(self) -> Path:
        return self.folder / "stderr"

    @property
    def out(self) -> str:
        """What it has written to standard output."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has written to standard error."""
        return self._err.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def sigterm(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered; returns when all threads stand still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def cont(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end; its exit status.

        Raises:
            AssertionError: it has not ended within so many seconds.
        """
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process still runs after {within} s:\n{self.err[-4_000:]}") from None

    def until(self, condition: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
        """Wait until something holds while it runs.

        Raises:
            AssertionError: the process ended, or the time is over.
        """
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}\n{self.err[-4_000:]}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(_PAUSE)
                raise AssertionError(f"the process ended with {status}:\n{self.err[-4_000:]}")

    def rss_mib(self) -> float:
        """Resident memory."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def tell(self) -> None:
        """Have what it has written searched for leaks; what its user is to see is not."""
        with contextlib.suppress(FileNotFoundError):
            heard("standard error of a process", self._err.read_bytes())

    def close(self) -> None:
        """Kill it and remove its files; safe to call again."""
        if self.running:
            self.kill()
        self.tell()
        watchdog().forget(self.pid)
        shutil.rmtree(self.folder, ignore_errors=True)


class GatewayProcess(Child):
    """``eventbus serve`` on free ports.

    Args:
        bootstrap: Kafka's address.
        registry_url: the schema registry's address; none when left out, then topics have no schema by default.
        environ: variables beside those of this process.
        wait: whether to return only when it is ready.
        arguments: of the command line, beside the configuration.
        tables: tables of the configuration that say more than the defaults.
    """

    def __init__(
        self,
        bootstrap: str,
        registry_url: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        wait: bool = True,
        arguments: Sequence[str] = (),
        **tables: Mapping[str, Any],
    ) -> None:
        self.port, self.internal_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = _configuration(bootstrap, registry_url, self.port, self.internal_port, tables)
        with tempfile.NamedTemporaryFile("w", prefix="eventbus-", suffix=".toml", delete=False) as file:
            file.write(toml(config))
        self._config = Path(file.name)
        super().__init__([*CLI, "serve", "--config", file.name, *arguments], environ)
        hooks = {"response": [heard_answer]}
        self.client = httpx2.Client(base_url=self.url, timeout=PATIENCE, trust_env=False, event_hooks=hooks)
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.close()
                raise

    def wait_ready(self, within: float = PATIENCE) -> None:
        """Block until ``/readyz`` says so."""
        self.until(lambda: self.probe("/readyz") == 200, "the gateway to be ready", within)

    def probe(self, path: str) -> int:
        """Status of a path on the internal port; 0 where nobody answers within two seconds."""
        try:
            return self._internal(path)[0]
        except OSError:
            return 0

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of ``/metrics`` by name and labels."""
        families = text_string_to_metric_families(self.exposition())
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}

    def metric(self, name: str, **labels: str) -> float:
        """One sample of ``/metrics``; 0 where there is none yet."""
        return self.metrics().get((name, tuple(sorted(labels.items()))), 0.0)

    def exposition(self) -> str:
        """The text of ``/metrics``."""
        status, body = self._internal("/metrics")
        assert status == 200
        heard("the metrics of a gateway", body)
        return body.decode()

    def publish(
        self, topic: str, content: bytes | str, media: str = "application/json", **headers: str
    ) -> httpx2.Response:
        """Publish one body; names of headers have ``_`` for ``-``."""
        given = {"content-type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.post(f"/v1/topics/{topic}/events", content=content, headers=given)

    def tell(self) -> None:
        super().tell()
        with contextlib.suppress(FileNotFoundError):
            heard("standard output of a gateway", self._out.read_bytes())

    def close(self) -> None:
        self.client.close()
        self._config.unlink(missing_ok=True)
        super().close()

    def _internal(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.internal_port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


class Welcome(NamedTuple):
    """What ``eventbus dev`` prints when it is ready."""

    url: str
    bootstrap: str
    registry: str
    internal: str
    curl: str


class DevProcess(Child):
    """``eventbus dev``.

    Args:
        arguments: of the command line.
        environ: variables beside those of this process.
        cwd: working directory.
    """

    def __init__(self, *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
        super().__init__([*CLI, "dev", *arguments], environ, cwd)

    def welcome(self) -> Welcome:
        """Wait for it and read it."""
        self.until(lambda: "\n  curl " in self.out and self.out.endswith("\n"), "the welcome")
        text = self.out
        curl = _found(r"^ +(curl .*)$", text)
        return Welcome(
            _found(r"(http://[^/ ]+)/v1", curl),
            _found(r"Kafka bootstrap +(\S+)", text),
            _found(r"schema registry +(\S+)", text),
            _found(r"probes, metrics +(\S+)", text),
            curl,
        )


def run(*arguments: str, environ: Mapping[str, str] | None = None, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Run ``eventbus`` to its end: exit status, standard output, standard error."""
    with Child([*CLI, *arguments], environ, cwd) as child:
        return child.ended(), child.out, child.err


def toml(config: Mapping[str, Any]) -> str:
    """A configuration as a TOML document."""
    return "".join(_toml(config))


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def _configuration(
    bootstrap: str, registry_url: str | None, port: int, internal_port: int, tables: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The smallest sensible one for tests on a machine that stalls, and what a test wants to have otherwise."""
    config: dict[str, dict[str, Any]] = {
        "http": {"port": port, "internal_port": internal_port},
        "kafka": {"bootstrap_servers": bootstrap, "probe_seconds": 0.2, "reconnect_backoff_max_seconds": 0.2},
        "auth": {"mode": "anonymous"},
        "registry": {"url": registry_url} if registry_url else {},
        "topic_defaults": {} if registry_url else {"format": "json"},
    }
    return {name: {**config.get(name, {}), **tables.get(name, {})} for name in {**config, **tables}}


def _toml(table: Mapping[str, Any], path: str = "") -> list[str]:
    """A TOML document; strings, numbers, booleans and arrays of them are written as in JSON."""
    lines, below = [], []
    for name, value in table.items():
        full = f"{path}.{json.dumps(name)}" if path else json.dumps(name)
        if isinstance(value, Mapping):
            below += [f"[{full}]\n", *_toml(value, full)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            below += [line for each in value for line in (f"[[{full}]]\n", *_toml(each, full))]
        else:
            lines.append(f"{json.dumps(name)} = {json.dumps(value)}\n")
    return lines + below
