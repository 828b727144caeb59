"""An HTTP server that a test watches, holds up, and takes down and up again."""

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

PATIENCE_SECONDS = 20.0


class Seen(NamedTuple):
    """A request as it came: the target with its percent-encoding, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


class Canned(NamedTuple):
    """An answer; ``cut`` bytes of the body are announced but never sent, and ``drip`` seconds pass between bytes."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    cut: int = 0
    drip: float = 0.0


class ScriptedServer:
    """Starts at once and can go down and come up again at the same port; ``hold()`` makes every request wait.

    What is answered is for those who are made of it.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.ended = threading.Event()
        self._tls = tls
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
        self.ended.set()
        self.down()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def seen(self) -> list[Seen]:
        with self._changed:
            return list(self._seen)

    @property
    def targets(self) -> list[str]:
        return [seen.target for seen in self.seen]

    def up(self) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self._server = _Server(("127.0.0.1", self._port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(PATIENCE_SECONDS)
            self._server.end_connections()
            self._server.server_close()
        self._server = None

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
        return self.replied(seen)

    def replied(self, seen: Seen) -> Canned:
        """The answer to a request."""
        raise NotImplementedError


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
        """Clients that leave, or do not trust the certificate, are part of what is tried."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS
    disable_nagle_algorithm = True
    owner: ScriptedServer

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        reply = self.owner.reply_to(Seen(self.command, self.path, headers, body))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self._send(reply.body[: len(reply.body) - reply.cut], reply.drip)
        if reply.cut:
            self.close_connection = True

    def _send(self, body: bytes, drip: float) -> None:
        if not drip:
            self.wfile.write(body)
            return
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.owner.ended.wait(drip):
                break

    def log_message(self, *_: object) -> None:
        """Stay silent."""
