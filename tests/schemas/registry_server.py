"""A schema registry over real HTTP whose content and manners a test decides."""

import contextlib
import gzip
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import orjson

PATIENCE_SECONDS = 20.0


class Seen(NamedTuple):
    """A request as it came: the target with its percent-encoding, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Canned:
    """An answer; ``cut`` bytes of the body are announced but never sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


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


class RegistryServer:
    """Starts at once and can go down and come up again at the same port.

    ``answer`` comes before the content where it returns something. ``hold()`` makes every request wait.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> None:
        self.answer: Callable[[Seen], Canned | None] = lambda seen: None
        self.compress = False
        self._tls = tls
        self._authorization = authorization
        self._subjects: dict[str, dict[int, Entry]] = {}
        self._schemas: dict[int, Entry] = {}
        self._gate = threading.Event()
        self._gate.set()
        self._changed = threading.Condition()
        self._seen: list[Seen] = []
        self._port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.set()
        self.down()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def seen(self) -> list[Seen]:
        with self._changed:
            return list(self._seen)

    @property
    def targets(self) -> list[str]:
        return [seen.target for seen in self.seen]

    def up(self) -> None:
        registry = self

        class Handler(_Handler):
            owner = registry

        self._server = _Server(("127.0.0.1", self._port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(PATIENCE_SECONDS)
            self._server.end_connections()
            self._server.server_close()
        self._server = None

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

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Requests that arrive inside are answered when the block ends."""
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def wait_for_requests(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._seen) >= count, PATIENCE_SECONDS), self._seen

    def reply_to(self, seen: Seen) -> Canned:
        with self._changed:
            self._seen.append(seen)
            self._changed.notify_all()
        self._gate.wait(PATIENCE_SECONDS)
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[Any] = set()
        self._lock = threading.Lock()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request_thread(request, client_address)
        with self._lock:
            self._open.discard(request)

    def end_connections(self) -> None:
        with self._lock:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave, or do not trust the certificate, are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS
    disable_nagle_algorithm = True
    owner: RegistryServer

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        seen = Seen(self.command, self.path, headers, body)
        reply = self.owner.reply_to(seen)
        headers, body = dict(reply.headers), reply.body
        if self.owner.compress:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body)
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - reply.cut])
        if reply.cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def unquote_segments(target: str) -> list[str]:
    return [unquote(segment) for segment in re.sub(r"\?.*", "", target).strip("/").split("/")]


def _json(document: Any) -> Canned:
    return Canned(200, orjson.dumps(document), {"content-type": "application/vnd.schemaregistry.v1+json"})


def _error(status: int, code: int, message: str) -> Canned:
    body = orjson.dumps({"error_code": code, "message": message})
    return Canned(status, body, {"content-type": "application/vnd.schemaregistry.v1+json"})
