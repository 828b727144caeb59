"""The README's first steps are run as they stand there, on another port."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator

import pytest
from tests.broker import free_port
from tests.end_to_end.process import CLI, ROOT, Child, DevProcess, Welcome
from tests.end_to_end.test_dev import shell

README = (ROOT / "README.md").read_text()
START = "make dev"


def commands() -> list[str]:
    """The fenced blocks of "Try it" that are commands, in their order."""
    section = README.split("\n## Try it\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [block.strip() for block in blocks if not block.startswith("HTTP/1.1 ")]


@pytest.fixture(scope="module")
def welcome() -> Iterator[Welcome]:
    with DevProcess("--port", "0") as dev:
        yield dev.welcome()


def typed(command: str, welcome: Welcome) -> str:
    """A command with this run's addresses and interpreter, and its output."""
    command = command.replace("http://127.0.0.1:8080", welcome.url).replace("127.0.0.1:<port>", welcome.bootstrap)
    assert "<" not in command.replace("<<", ""), "nothing is left to fill in"
    return shell(command.replace(".venv/bin/python", sys.executable))


def received(command: str, count: int) -> list[str]:
    """What a receiver prints, once that are so many lines."""
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/eventbus"
    with Child([*CLI, *arguments]) as receiver:
        receiver.until(lambda: receiver.out.count("\n") >= count, "the events")
        return receiver.out.splitlines()


def shown_answer() -> tuple[str, set[str]]:
    """Status line and members of the answer that the README shows."""
    found = re.search(r"^(HTTP/1\.1 .*?)\n.*?^(\{.*\})$", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1], set(json.loads(found[2]))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_steps_do_what_the_readme_says(welcome: Welcome) -> None:
    start, one, broken, many, subscribe, receive, push, listen, back = commands()
    assert start == START

    status, members = shown_answer()
    answer = typed(one, welcome)
    head, _, body = answer.partition("\n\n") if "\r\n" not in answer else answer.partition("\r\n\r\n")
    assert head.splitlines()[0] == status
    assert "x-request-id: " in head.lower()
    receipt = json.loads(body)
    assert set(receipt) == members
    assert receipt["topic"] == "appointments"

    problem = json.loads(typed(broken, welcome))
    assert (problem["status"], problem["code"], problem["outcome"]) == (422, "invalid_event", "not_stored")
    pointers = {fault["pointer"] for fault in problem["errors"]}
    assert {"/appointmentId", "/status"} <= pointers
    assert all(fault["detail"] for fault in problem["errors"])
    assert "LATE" not in json.dumps(problem)

    results = json.loads(typed(many, welcome))["results"]
    assert [result["outcome"] for result in results] == ["stored"] * 100
    assert len({result["partition"] for result in results}) == 1

    assert json.loads(typed(subscribe, welcome))["topics"] == ["appointments"]
    (event,) = json.loads(typed(receive, welcome))["events"]
    assert (event["id"], event["offset"], event["deliveryCount"]) == (receipt["id"], receipt["offset"], 1)
    assert event["data"] == json.loads((ROOT / "examples" / "appointments.json").read_text())
    url = f"{welcome.url}/v1/subscriptions/billing/ack"
    body = json.dumps({"ackTokens": [event["ackToken"]]})
    acked = shell(f"curl -s {url} -H 'content-type: application/json' -d '{body}'")
    assert json.loads(acked) == {"succeeded": 1, "failed": []}

    port = str(free_port())
    secret = json.loads(typed(push.replace("9000", port), welcome))["signingSecret"]
    pushed = received(listen.replace("9000", port).replace("whsec_…", secret), 101)
    assert pushed[0].split()[3] == str(receipt["id"])
    assert len(set(pushed)) == 101

    lines = typed(back, welcome).splitlines()
    assert len(lines) == 101
    assert lines[0].startswith(f"{receipt['partition']}:{receipt['offset']} ")


def test_make_dev_is_the_command_that_these_tests_start() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^dev:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    assert recipe[1].strip().removeprefix("@") == "$(BIN)/eventbus dev"
    assert re.search(r'^eventbus = "eventbus_gateway.cli:main"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
