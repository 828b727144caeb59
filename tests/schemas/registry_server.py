"""A schema registry over real HTTP whose content and manners a test decides."""

import gzip
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from tests.scripted_server import Canned, ScriptedServer, Seen


@dataclass(frozen=True)
class Entry:
    id: int
    text: str
    kind: str
    references: tuple[tuple[str, str, int], ...]

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = {"schema": self.text}
        if self.kind != "AVRO":
            content["schemaType"] = self.kind
        if self.references:
            content["references"] = [
                {"name": name, "subject": subject, "version": version} for name, subject, version in self.references
            ]
        return content


class RegistryServer(ScriptedServer):
    """A registry; ``answer`` comes before the content where it returns something."""

    def __init__(self, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> None:
        self.answer: Callable[[Seen], Canned | None] = lambda seen: None
        self.compress = False
        self._authorization = authorization
        self._subjects: dict[str, dict[int, Entry]] = {}
        self._schemas: dict[int, Entry] = {}
        super().__init__(tls)

    def register(
        self,
        subject: str,
        text: str,
        *,
        kind: str = "AVRO",
        references: tuple[tuple[str, str, int], ...] = (),
    ) -> int:
        """Add a version; the same content has the same id in every subject."""
        known = [entry for entry in self._schemas.values() if (entry.text, entry.references) == (text, references)]
        entry = known[0] if known else Entry(len(self._schemas) + 1, text, kind, references)
        self._schemas[entry.id] = entry
        versions = self._subjects.setdefault(subject, {})
        versions[max(versions, default=0) + 1] = entry
        return entry.id

    def delete(self, subject: str, *, permanently: bool = False) -> None:
        for entry in self._subjects.pop(subject).values():
            if permanently:
                del self._schemas[entry.id]

    def replied(self, seen: Seen) -> Canned:
        """The answer to a request, compressed where that is wanted."""
        reply = self._replied(seen)
        if not self.compress:
            return reply
        return reply._replace(body=gzip.compress(reply.body), headers={**reply.headers, "content-encoding": "gzip"})

    def _replied(self, seen: Seen) -> Canned:
        if self._authorization is not None and seen.headers.get("authorization") != self._authorization:
            return _error(401, 401, "Unauthorized")
        scripted = self.answer(seen)
        if scripted is not None:
            return scripted
        path = unquote_segments(seen.target)
        return self._from_content(path) if seen.method == "GET" else self._looked_up(path, seen.body)

    def _from_content(self, path: list[str]) -> Canned:
        match path:
            case ["subjects"]:
                return _json(sorted(self._subjects))
            case ["subjects", subject, "versions", *rest]:
                return self._of_subject(subject, rest)
            case ["schemas", "ids", number]:
                entry = self._schemas.get(int(number))
                return _json(entry.content()) if entry else _error(404, 40403, "Schema not found")
        return Canned(404, b"<html>no such page</html>", {"content-type": "text/html"})

    def _looked_up(self, path: list[str], body: bytes) -> Canned:
        _, subject = path
        versions = self._subjects.get(subject)
        if versions is None:
            return _error(404, 40401, f"Subject '{subject}' not found.")
        try:
            wanted = orjson.loads(orjson.loads(body)["schema"])
        except orjson.JSONDecodeError:
            return _error(422, 42201, "Invalid schema")
        for number in sorted(versions, reverse=True):
            entry = versions[number]
            if orjson.loads(entry.text) == wanted:
                return _json({"subject": subject, "version": number, "id": entry.id, **entry.content()})
        return _error(404, 40403, "Schema not found")

    def _of_subject(self, subject: str, rest: list[str]) -> Canned:
        versions = self._subjects.get(subject)
        if versions is None:
            return _error(404, 40401, f"Subject '{subject}' not found.")
        if not rest:
            return _json(sorted(versions))
        number = max(versions) if rest == ["latest"] else int(rest[0])
        entry = versions.get(number)
        if entry is None:
            return _error(404, 40402, f"Version {number} not found.")
        return _json({"subject": subject, "version": number, "id": entry.id, **entry.content()})


def unquote_segments(target: str) -> list[str]:
    return [unquote(segment) for segment in re.sub(r"\?.*", "", target).strip("/").split("/")]


def _json(document: Any) -> Canned:
    return Canned(200, orjson.dumps(document), {"content-type": "application/vnd.schemaregistry.v1+json"})


def _error(status: int, code: int, message: str) -> Canned:
    body = orjson.dumps({"error_code": code, "message": message})
    return Canned(status, body, {"content-type": "application/vnd.schemaregistry.v1+json"})
