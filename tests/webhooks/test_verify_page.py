"""The snippets of docs/webhooks-verify.md, each run by its own language against what the gateway signs."""

import base64
import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventbus_gateway.cli import receive
from eventbus_gateway.webhooks.signing import TOLERANCE_SECONDS, Secret, Signer

PAGE = (Path(__file__).parent.parent.parent / "docs" / "webhooks-verify.md").read_text()
CURRENT, OLD, OTHER = Secret(b"\xfb\xff" * 16), Secret(b"2" * 24), Secret(b"3" * 64)
BODY = '{"name": "Zoë", "note": "a.b.c"}'.encode()


class Case(NamedTuple):
    """One request, and what its receiver knows and should say."""

    genuine: bool
    headers: dict[str, str]
    body: bytes = BODY
    secrets: tuple[Secret, ...] = (CURRENT,)


def cases() -> dict[str, Case]:
    """Requests signed now."""
    now = int(time.time())
    good = Signer([CURRENT]).headers("msg_1", now, BODY)
    signature = good["webhook-signature"]

    def aged(seconds: int) -> dict[str, str]:
        return Signer([CURRENT]).headers("msg_1", now - seconds, BODY)

    return {
        "good": Case(True, good),
        "good, not new": Case(True, aged(250)),
        "good, from a fast clock": Case(True, aged(-250)),
        "good, empty body": Case(True, Signer([CURRENT]).headers("msg_1", now, b""), b""),
        "good, longest secret": Case(True, Signer([OTHER]).headers("msg_1", now, BODY), secrets=(OTHER,)),
        "rotated, receiver with the new secret": Case(True, Signer([CURRENT, OLD]).headers("msg_1", now, BODY)),
        "rotated, receiver with the old secret": Case(
            True, Signer([CURRENT, OLD]).headers("msg_1", now, BODY), secrets=(OLD,)
        ),
        "receiver with both secrets": Case(True, good, secrets=(OLD, CURRENT)),
        "beside another version": Case(True, {**good, "webhook-signature": f"v1a,AAAA {signature} v2,BBBB"}),
        "changed body": Case(False, good, BODY.replace("Zoë".encode(), b"Zoe")),
        "longer body": Case(False, good, BODY + b"\n"),
        "changed id": Case(False, {**good, "webhook-id": "msg_2"}),
        "changed timestamp": Case(False, {**good, "webhook-timestamp": str(now - 1)}),
        "changed signature": Case(False, {**good, "webhook-signature": f"v1,{'A' * 43}="}),
        "shortened signature": Case(False, {**good, "webhook-signature": signature[:-4]}),
        "signature without version": Case(False, {**good, "webhook-signature": signature[3:]}),
        "signature in another version": Case(False, {**good, "webhook-signature": "v2" + signature[2:]}),
        "signed with another secret": Case(False, Signer([OTHER]).headers("msg_1", now, BODY)),
        "too old": Case(False, aged(310)),
        "too new": Case(False, aged(-310)),
        "timestamp without meaning": Case(False, {**good, "webhook-timestamp": "soon"}),
        **{
            f"without {name}": Case(False, {other: value for other, value in good.items() if other != name})
            for name in good
        },
    }


# The package decodes every body.
BYTES = "good, no text"
NAMES = [*cases(), BYTES]


def with_bytes() -> dict[str, Case]:
    """All requests, and one whose body is no text."""
    raw = b"\xff\x00\xfe"
    return {**cases(), BYTES: Case(True, Signer([CURRENT]).headers("msg_1", int(time.time()), raw), raw)}


def snippet(language: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(code, str)
    return code


def as_json(requests: Mapping[str, Case]) -> str:
    return json.dumps(
        [
            [case.headers, base64.b64encode(case.body).decode(), [secret.reveal() for secret in case.secrets]]
            for case in requests.values()
        ]
    )


def ran(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_python(requests: Mapping[str, Case]) -> list[bool]:
    harness = """
import json, sys
print(json.dumps([verify(h, base64.b64decode(b), s) for h, b, s in json.load(sys.stdin)]))
"""
    # -S: nothing that is installed can be imported.
    answers: list[bool] = json.loads(
        ran([sys.executable, "-I", "-S", "-c", snippet("python") + harness], as_json(requests))
    )
    return answers


def by_javascript(requests: Mapping[str, Case]) -> list[bool]:
    harness = """
    const requests = JSON.parse(require("node:fs").readFileSync(0));
    console.log(JSON.stringify(requests.map(([h, b, s]) => verify(h, Buffer.from(b, "base64"), s))));
    """
    answers: list[bool] = json.loads(ran(["node", "-e", snippet("javascript") + harness], as_json(requests)))
    return answers


def by_java(requests: Mapping[str, Case]) -> list[bool]:
    imports, found, verifier = snippet("java").partition("final class")
    # Of one file the first class is run.
    harness = """
    class Main {
        public static void main(String[] none) throws Exception {
            var lines = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
            for (String line; (line = lines.readLine()) != null; ) {
                var headers = new java.util.HashMap<String, String>();
                String[] fields = line.split("\\t", -1);
                for (int at = 2; at < fields.length; at += 2) headers.put(fields[at], fields[at + 1]);
                byte[] body = Base64.getDecoder().decode(fields[0]);
                System.out.println(WebhookVerifier.verify(headers, body, List.of(fields[1].split(" "))));
            }
        }
    }
    """
    lines = [
        "\t".join(
            [
                base64.b64encode(case.body).decode(),
                " ".join(secret.reveal() for secret in case.secrets),
                *(part for header in case.headers.items() for part in header),
            ]
        )
        for case in requests.values()
    ]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "Main.java")
        source.write_text(imports + harness + found + verifier)
        printed = ran(["java", "-XX:TieredStopAtLevel=1", str(source)], "\n".join(lines) + "\n")
    return [{"true": True, "false": False}[line] for line in printed.split()]


LANGUAGES: dict[str, tuple[str, Callable[[Mapping[str, Case]], list[bool]]]] = {
    "python": (sys.executable, by_python),
    "javascript": ("node", by_javascript),
    "java": ("javac", by_java),  # a runtime without the compiler cannot run a source file
}


@functools.cache
def answers(language: str) -> dict[str, tuple[bool, bool]]:
    """What the snippet of a language says of all requests, beside what it should say."""
    requests = with_bytes()
    said = LANGUAGES[language][1](requests)
    return {name: (answer, case.genuine) for (name, case), answer in zip(requests.items(), said, strict=True)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_snippet_takes_what_is_genuine_and_nothing_else(language: str, name: str) -> None:
    if shutil.which(LANGUAGES[language][0]) is None:
        pytest.skip(f"{LANGUAGES[language][0]} is not installed")
    said, genuine = answers(language)[name]
    assert said is genuine


def test_the_snippet_with_the_package_takes_what_is_genuine_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(compile(snippet("python package"), "webhooks-verify.md", "exec"), names)  # noqa: S102 - our own page
    for name, case in cases().items():
        secrets = [secret.reveal() for secret in case.secrets]
        assert names["verify"](case.headers, case.body, secrets) is case.genuine, name


def test_the_page_says_the_tolerance_that_the_gateway_has_itself() -> None:
    assert TOLERANCE_SECONDS == 5 * 60
    assert "older or newer than five minutes" in PAGE


def test_the_command_of_the_page_has_the_options_that_the_page_names() -> None:
    options = {option for parameter in receive.params for option in parameter.opts}
    named = set(re.findall(r"(--\w+)", PAGE.partition("## What to check")[0]))
    assert named == {"--port", "--pretty", "--status"}
    assert named <= options
