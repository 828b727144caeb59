"""``eventbus dev``: from nothing to the first stored event in seconds, with nothing to install."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from tests.broker import free_port
from tests.end_to_end.process import CLI, ROOT, DevProcess, Welcome, run

EXAMPLES = ROOT / "examples"
MAX_SECONDS = 3.0
LIBRARIES = "import aiohttp, click, confluent_kafka, httpx2, prometheus_client, pydantic, uvicorn"
START_OVER_LIBRARIES = 5.0


def patience() -> float:
    """How long a start may take: three seconds, and more on a machine that is slow at this moment.

    Importing the libraries alone takes 0.4 s where a start takes 1 s.
    """
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return max(MAX_SECONDS, START_OVER_LIBRARIES * (time.monotonic() - started))


def shell(command: str, cwd: Path = ROOT) -> str:
    """Standard output of a line typed into a shell."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_back(welcome: Welcome, topic: str) -> list[str]:
    """What a consumer in another process reads, one line per event."""
    command = [sys.executable, str(EXAMPLES / "read_back.py"), welcome.bootstrap, welcome.registry, topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_line_stores_the_sample_event_soon_and_a_consumer_reads_it_along() -> None:
    allowed = patience()
    started = time.monotonic()
    with DevProcess("--port", "0") as dev:
        welcome = dev.welcome()
        answer = shell(welcome.curl)
        assert time.monotonic() - started < allowed
        assert answer.startswith("HTTP/1.1 201 ")
        assert len(read_back(welcome, "appointments")) == 1
        assert shell(welcome.curl).startswith("HTTP/1.1 201 ")
        lines = read_back(welcome, "appointments")
        sample = json.loads((EXAMPLES / "appointments.json").read_text())
        assert len(lines) == 2
        for line in lines:
            assert line.split(" ")[1] == sample["appointmentId"], "the key"
            assert sample["clinic"]["name"] in line
            assert "Decimal('25.00')" in line
        assert dev.err == ""
        dev.sigterm()
        assert dev.ended(10) == 0
        assert dev.err == ""


def test_probes_and_metrics_are_at_the_printed_address() -> None:
    with DevProcess("--port", "0") as dev:
        internal = dev.welcome().internal
        assert httpx2.get(f"{internal}/readyz", trust_env=False).status_code == 200
        assert "eventbus_kafka_up 1.0" in httpx2.get(f"{internal}/metrics", trust_env=False).text


def test_the_port_can_come_from_the_environment() -> None:
    port = free_port()
    with DevProcess(environ={"PORT": str(port)}) as dev:
        assert dev.welcome().url == f"http://127.0.0.1:{port}"


def test_the_printed_line_holds_in_a_folder_with_blanks_and_quotes_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's my folder"
    shutil.copytree(EXAMPLES, folder)
    with DevProcess("--port", "0", "--folder", str(folder)) as dev:
        assert shell(dev.welcome().curl, tmp_path).startswith("HTTP/1.1 201 ")


def test_a_folder_of_ones_own_is_served_with_its_topics(tmp_path: Path) -> None:
    (tmp_path / "clinic.visits.avsc").write_text('"string"')
    (tmp_path / "beds-key.avsc").write_text('"long"')
    (tmp_path / "beds.avsc").write_text('{"type": "map", "values": "int"}')
    with DevProcess("--port", "0", "--folder", ".", cwd=tmp_path) as dev:
        welcome = dev.welcome()
        with httpx2.Client(base_url=welcome.url, trust_env=False) as client:
            headers = {"content-type": "application/json"}
            for topic, data in (("clinic.visits", '"hello"'), ("beds", '{"north": 3}')):
                answer = client.post(f"/v1/topics/{topic}/events", content=data, headers=headers)
                assert answer.status_code == 201, answer.text
            assert client.post("/v1/topics/beds/events", content='{"a": "b"}', headers=headers).status_code == 422
            assert client.post("/v1/topics/other/events", content="{}", headers=headers).status_code == 404
        assert len(read_back(welcome, "clinic.visits")) == 1


def test_it_ends_at_once_on_ctrl_c() -> None:
    with DevProcess("--port", "0") as dev:
        dev.welcome()
        dev.interrupt()
        assert dev.ended(5) == 0
        assert dev.err == ""


def refusal(*arguments: str, cwd: Path = ROOT) -> str:
    """What it says when it does not start: one line without a traceback."""
    status, out, err = run("dev", *arguments, cwd=cwd)
    assert status != 0
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "in use" in refusal("--port", str(port))


def test_a_folder_without_schemas_is_told_in_one_line(tmp_path: Path) -> None:
    assert ".avsc" in refusal("--port", "0", "--folder", str(tmp_path))


def test_a_schema_that_is_none_is_told_in_one_line_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "visits.avsc").write_text("{")
    assert "visits.avsc" in refusal("--port", "0", "--folder", str(tmp_path))


def test_a_folder_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    status, out, err = run("dev", cwd=tmp_path)
    assert status == 2
    assert out == ""
    assert "examples" in err
    assert "Traceback" not in err


def test_help_names_the_three_commands() -> None:
    done = subprocess.run([*CLI, "--help"], capture_output=True, text=True, check=True, timeout=30)
    assert [command for command in ("serve", "dev", "check-config") if command not in done.stdout] == []
