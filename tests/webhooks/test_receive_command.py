"""``eventbus receive``: the first webhook of a team is verified and read within a minute."""

import http.client
import json
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import IO

import pytest
from click.testing import CliRunner
from tests.end_to_end.process import CLI, PATIENCE, run
from tests.webhooks.receiving import Receiving, receiving, send, signed

from eventbus_gateway.cli import main
from eventbus_gateway.webhooks.receiver import BODY_SECONDS, MAX_BODY_BYTES
from eventbus_gateway.webhooks.signing import Secret

SECRET, NEXT, OTHER = Secret(b"1" * 24), Secret(b"2" * 32), Secret(b"3" * 64)
EVENT = {"specversion": "1.0", "id": "7", "source": "/clinic", "type": "booked", "data": {"patient": "Zoë"}}
STRUCTURED = {"content-type": "application/cloudevents+json"}
# Below the time that a body may take, and far above what an end takes, since test machines stall.
AT_ONCE = BODY_SECONDS / 2
HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"
BATCH = {"content-type": "application/cloudevents-batch+json"}
BODY = json.dumps(EVENT).encode()
LINE = 'booked /clinic 7 data={"patient":"Zoë"}'
BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "7",
    "ce-source": "/clinic",
    "ce-type": "booked",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiving]:
    with receiving("--secret", SECRET.reveal(), "--secret", NEXT.reveal()) as receiver:
        yield receiver


@pytest.fixture
def receiver(shared: Receiving) -> Iterator[Receiving]:
    """The shared one, and the assurance that a test left it alive without a complaint of its own."""
    yield shared
    assert shared.running
    assert "Traceback" not in shared.err
    assert '"level"' not in shared.err


def test_a_structured_event_is_printed_before_it_is_answered(receiver: Receiving) -> None:
    before = len(receiver.lines())
    answer = receiver.send(BODY, signed(BODY, STRUCTURED, SECRET), path="/any/path?at=all")
    assert (answer.status, answer.text) == (204, "")
    assert receiver.lines()[before:] == [LINE]


def test_a_binary_event_is_printed(receiver: Receiving) -> None:
    before = len(receiver.lines())
    body = '{"patient": "Zoë"}'.encode()
    headers = signed(body, {**BINARY, "ce-subject": "a%20b"}, SECRET)
    assert receiver.send(body, headers).status == 204
    assert receiver.lines()[before:] == [LINE.replace(" data", ' subject="a b" data')]


def test_each_event_of_a_batch_is_printed_in_order(receiver: Receiving) -> None:
    before = len(receiver.lines())
    body = json.dumps([{**EVENT, "id": str(number)} for number in range(3)]).encode()
    assert receiver.send(body, signed(body, BATCH, SECRET)).status == 204
    assert receiver.lines()[before:] == [LINE.replace(" 7 ", f" {number} ") for number in range(3)]


def test_either_secret_may_have_signed_while_it_is_rotated(receiver: Receiving) -> None:
    for secrets in ([SECRET], [NEXT], [OTHER, NEXT]):
        assert receiver.send(BODY, signed(BODY, STRUCTURED, *secrets)).status == 204


def test_what_was_not_signed_so_is_refused_with_a_sentence_and_not_printed(receiver: Receiving) -> None:
    good = signed(BODY, STRUCTURED, SECRET)
    refusals = [
        (BODY, signed(BODY, STRUCTURED, OTHER), "no v1 signature"),
        (BODY + b" ", good, "no v1 signature"),
        (BODY, {**good, "webhook-id": "msg_2"}, "no v1 signature"),
        (BODY, signed(BODY, STRUCTURED, SECRET, age=400), "too old"),
        (BODY, signed(BODY, STRUCTURED, SECRET, age=-400), "in the future"),
        (BODY, STRUCTURED, "is missing"),
    ]
    before, complaints = receiver.out, receiver.lines("err")
    for body, headers, sentence in refusals:
        answer = receiver.send(body, headers)
        assert answer.status == 401
        assert sentence in answer.text
        complaints.append(f"refused with 401: {answer.text.rstrip()}")
        assert receiver.lines("err") == complaints
    assert receiver.out == before


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", STRUCTURED, 400),
        (BODY, {"content-type": "application/json"}, 415),
        (BODY, {**STRUCTURED, "content-encoding": "gzip"}, 415),
        (b"x" * (MAX_BODY_BYTES + 1), STRUCTURED, 413),
    ],
)
def test_a_signed_request_without_an_event_is_refused(
    receiver: Receiving, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = receiver.out
    answer = receiver.send(body, signed(body, headers, SECRET))
    assert answer.status == status
    assert receiver.lines("err")[-1] == f"refused with {status}: {answer.text.rstrip()}"
    assert receiver.out == before


def test_a_batch_with_one_broken_event_prints_none(receiver: Receiving) -> None:
    before = receiver.out
    body = json.dumps([EVENT, {}]).encode()
    assert receiver.send(body, signed(body, BATCH, SECRET)).status == 400
    assert receiver.out == before


def test_the_handshake_grants_what_is_asked_for(receiver: Receiving) -> None:
    asked = {"WebHook-Request-Origin": "gateway.example", "WebHook-Request-Rate": "120"}
    answer = receiver.send(headers=asked, method="OPTIONS", path="/hook")
    assert answer.status == 204
    assert answer.headers["webhook-allowed-origin"] == "gateway.example"
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert "POST" in answer.headers["allow"]


def test_who_does_not_ask_is_granted_nothing(receiver: Receiving) -> None:
    assert not any(name.startswith("webhook-") for name in receiver.send(method="OPTIONS").headers)


def test_other_methods_are_refused(receiver: Receiving) -> None:
    answer = receiver.send(method="GET")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"


def test_without_a_secret_it_takes_everything_only_when_that_is_said() -> None:
    with receiving("--insecure", "--status", "503", "--pretty") as receiver:
        assert receiver.lines("err")[1:] == ["signatures are not checked"]
        assert receiver.send(BODY, STRUCTURED).status == 503
        assert receiver.out == json.dumps(EVENT, ensure_ascii=False, indent=2) + "\n"


def test_the_secrets_can_come_from_the_environment() -> None:
    both = f"{SECRET.reveal()} {NEXT.reveal()}"
    with receiving(environ={"EVENTBUS_WEBHOOK_SECRET": both}) as receiver:
        for secret, status in ((SECRET, 204), (NEXT, 204), (OTHER, 401)):
            assert receiver.send(BODY, signed(BODY, STRUCTURED, secret)).status == status


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--insecure"),
        (["--insecure", "--secret", SECRET.reveal()], "not both"),
        (["--secret", "whsec_c2hvcnQ="], "must have 24 to 64 bytes"),
        (["--secret", SECRET.reveal(), "--secret", "plain text"], "must be whsec_ and base64"),
    ],
)
def test_it_does_not_start_without_a_sound_choice_and_quotes_no_secret(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["receive", "--port", "0", *arguments], env={"EVENTBUS_WEBHOOK_SECRET": None})
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert not any(argument in result.output for argument in arguments if not argument.startswith("--"))


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, out, err = run("receive", "--insecure", "--port", port)
        assert (status, out) == (1, "")
        assert err.startswith("Error: Cannot listen: Address already in use")
        assert err.count("\n") == 1


def test_ctrl_c_ends_it_at_once_while_requests_are_open() -> None:
    with Receiving("--insecure") as receiver, socket.create_connection(("127.0.0.1", receiver.port)) as idle:
        idle.sendall(HALF)
        assert receiver.send(method="GET").status == 405, "the open request was taken before this one"
        receiver.interrupt()
        assert receiver.ended(AT_ONCE) == 0
        assert "Traceback" not in receiver.err


def piped() -> subprocess.Popen[bytes]:
    command = [*CLI, "receive", "--port", "0", "--insecure"]
    inherited = {name: value for name, value in os.environ.items() if name != "EVENTBUS_WEBHOOK_SECRET"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=inherited)


def port_of(process: subprocess.Popen[bytes]) -> int:
    return int(stream(process.stderr).readline().rpartition(b":")[2])


def stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def test_sigterm_ends_it_at_once_while_nobody_reads_what_it_prints() -> None:
    body = json.dumps({**EVENT, "data": "x" * 1_000_000}).encode()

    def try_to_send(port: int) -> None:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            send(port, body, STRUCTURED)

    with piped() as process:
        try:
            sender = threading.Thread(target=try_to_send, args=(port_of(process),))
            sender.start()
            assert select.select([stream(process.stdout)], [], [], PATIENCE)[0], (
                "it has begun to print more than a pipe holds"
            )
            process.terminate()
            assert process.wait(AT_ONCE) == 0
            sender.join(PATIENCE)
            assert not sender.is_alive()
            assert b"Traceback" not in stream(process.stderr).read()
        finally:
            process.kill()


def test_it_ends_when_whoever_reads_is_gone_and_the_event_counts_as_not_received() -> None:
    with piped() as process:
        try:
            port = port_of(process)
            stream(process.stdout).close()
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(HALF)
                assert send(port, BODY, STRUCTURED).status == 503
                assert process.wait(AT_ONCE) == 1, "the half request is not waited for"
            assert b"Traceback" not in stream(process.stderr).read()
        finally:
            process.kill()
