"""Pages whose commands a test types as a reader does, and whose answers it compares with those shown."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.broker import free_port
from tests.end_to_end.process import CLI, PATIENCE, ROOT, Child, DevProcess

_BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"\w+=\S+")
_VARYING = frozenset({"latencyMs"})


class Block(NamedTuple):
    """One fenced block.

    Args:
        language: ``sh`` is typed, the others are what comes of it.
        role: what stands behind the language: ``start`` and ``receiver`` go on in a shell of their own.
        text: its lines.
    """

    language: str
    role: str
    text: str


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [Block(*found) for found in _BLOCK.findall(markdown)]


class Reader:
    """Somebody who types what a page says, in a folder that has what the project's has.

    Args:
        folder: an empty one.
        instead: what is typed in place of something on the page.
    """

    def __init__(self, folder: Path, instead: Mapping[str, str] | None = None) -> None:
        self._instead = instead or {}
        self._folder = folder
        (folder / "examples").symlink_to(ROOT / "examples")
        self._ports = {shown: free_port() for shown in (8080, 8090, 9000)}
        self._shells = ExitStack()
        self._bootstrap = ""
        self._seen: list[str] = []
        self._receiver: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._shells.close()

    def start(self) -> None:
        """``make dev``, for pages that take a gateway for granted."""
        self._begin("make dev", "start")

    def go_through(self, page: list[Block]) -> int:
        """Type everything, and compare; how many answers were."""
        compared, printed = 0, ""
        for block in page:
            if block.language == "sh" and block.role:
                self._begin(self._filled_in(block.text), block.role)
            elif block.language == "sh":
                printed = self._typed(self._filled_in(block.text))
                self._seen += re.findall(r'"([^"]{8,})"', printed)
            elif block.language in {"json", "http", "text"} and block.role != "example":
                answer = self._received(block.text) if block.role == "receiver" else printed
                differing = list(differences(block, answer))
                assert not differing, f"{differing}\n{answer}"
                compared += 1
        return compared

    def _filled_in(self, command: str) -> str:
        """A command with this run's addresses, programs, and what was shown in place of what ends in ``…``."""
        for shown, typed in self._instead.items():
            command = command.replace(shown, typed)
        for port, taken in self._ports.items():
            command = re.sub(rf"\b{port}\b", str(taken), command)
        command = command.replace("127.0.0.1:<port>", self._bootstrap)
        command = command.replace(".venv/bin/python", sys.executable)
        command = re.sub(r"(\w+)…", self._shown, command)
        assert "…" not in command, command
        return command

    def _shown(self, start: re.Match[str]) -> str:
        return next(text for text in reversed(self._seen) if text.startswith(start[1]))

    def _typed(self, command: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
        environ["GATEWAY"] = f"http://127.0.0.1:{self._ports[8080]}"
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self._folder,
            env=environ,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def _begin(self, command: str, role: str) -> None:
        words = shlex.split(command)
        environ = {}
        while _ASSIGNMENT.fullmatch(words[0]):
            name, _, environ[name] = words.pop(0).partition("=")
        if words == ["make", "dev"]:
            words, environ = [".venv/bin/eventbus", "dev"], {"PORT": str(self._ports[8080])}
        assert words.pop(0) == ".venv/bin/eventbus"
        if role == "receiver":
            self._receiver = self._shells.enter_context(Child([*CLI, *words], environ, self._folder))
            said = self._receiver
            said.until(lambda: "receiving at" in said.err, "the receiver")
        else:
            assert words.pop(0) == "dev"
            dev = self._shells.enter_context(DevProcess(*words, environ=environ, cwd=self._folder))
            welcome = dev.welcome()
            self._bootstrap = self._bootstrap or welcome.bootstrap

    def _received(self, shown: str) -> str:
        receiver, count = self._receiver, shown.count("\n")
        assert receiver is not None
        receiver.until(lambda: receiver.out.count("\n") >= count, "what the receiver prints")
        return receiver.out


def differences(block: Block, answer: str) -> Iterator[str]:
    """Where an answer is not what a block shows; ``…`` stands for anything."""
    if block.language == "json":
        yield from _of_values("", json.loads(block.text), json.loads(answer))
    elif block.language == "http":
        head, _, body = block.text.partition("\n\n")
        got_head, _, got_body = answer.replace("\r\n", "\n").partition("\n\n")
        got_lines = got_head.split("\n")
        if not _like(head.split("\n")[0], got_lines[0]):
            yield got_lines[0]
        yield from (line for line in head.split("\n")[1:] if not any(_like(line, got) for got in got_lines))
        yield from _of_values("", json.loads(body), json.loads(got_body))
    else:
        assert block.language == "text", block.language
        lines, got = block.text.splitlines(), answer.splitlines()
        further = lines[-1] == "…"
        if len(got) < len(lines) if further else len(got) != len(lines):
            yield f"{len(got)} lines"
        yield from (line for line, one in zip(lines, got, strict=False) if not _like(line, one))


def _of_values(pointer: str, shown: Any, got: Any) -> Iterator[str]:
    if isinstance(shown, dict) and isinstance(got, dict):
        yield from _of_objects(pointer, shown, got)
    elif isinstance(shown, list) and isinstance(got, list):
        further = shown[-1:] == ["…"]
        if len(got) < len(shown) if further else len(got) != len(shown):
            yield f"{pointer}: {len(got)} elements"
        for index, (each, one) in enumerate(zip(shown[:-1] if further else shown, got, strict=False)):
            yield from _of_values(f"{pointer}/{index}", each, one)
    elif isinstance(shown, str) and isinstance(got, str):
        if not _like(shown, got):
            yield f"{pointer}: another text"
    elif (type(shown), shown) != (type(got), got):
        yield f"{pointer}: another value"


def _of_objects(pointer: str, shown: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[str]:
    if missing := shown.keys() - got.keys() - {"…"}:
        yield f"{pointer}: without {sorted(missing)}"
    if "…" not in shown and (more := got.keys() - shown.keys()):
        yield f"{pointer}: with {sorted(more)}"
    for name in shown.keys() & got.keys():
        if name in _VARYING:
            if type(shown[name]) is not type(got[name]):
                yield f"{pointer}/{name}: another type"
        else:
            yield from _of_values(f"{pointer}/{name}", shown[name], got[name])


def _like(shown: str, got: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), got, re.DOTALL) is not None
