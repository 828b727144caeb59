"""An OpenID Connect issuer on this machine: real keys, real HTTP, and answers that can be changed."""

import base64
import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import orjson
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

PATIENCE_SECONDS = 20.0
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


class Canned(NamedTuple):
    """An answer; ``cut`` bytes of the body are announced but never sent, and ``drip`` seconds pass between bytes."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    cut: int = 0
    drip: float = 0.0


def rsa_key(bits: int = 2_048) -> RSAKey:
    return RSAKey.generate_key(bits)


def ec_key(curve: str = "P-256") -> ECKey:
    return ECKey.generate_key(curve)


def ed_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


def encoded(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(header: Mapping[str, Any], claims: bytes, key: Key, algorithm: str) -> bytes:
    """A JWS in compact form whose header can say anything, signed with an algorithm in fact."""
    text = encoded(orjson.dumps(header)) + b"." + encoded(claims)
    return text + b"." + encoded(JWSRegistry.algorithms[algorithm].sign(text, key))


class LocalIssuer:
    """Starts at once and can go down and come up again at the same port.

    ``answer`` comes before the content where it returns something. ``hold()`` makes every request wait.
    """

    def __init__(self, now: Callable[[], float] = time.time, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[str], Canned | None] = lambda path: None
        self.keys: dict[str, Key] = {}
        self.document: list[dict[str, Any]] | None = None
        self._now = now
        self._tls = tls
        self._gate = threading.Event()
        self._gate.set()
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._seen: list[str] = []
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
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
        """What its tokens say in ``iss``, and where its discovery document is."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def seen(self) -> list[str]:
        """The paths that were asked for."""
        with self._changed:
            return list(self._seen)

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.seen.count(JWKS)

    def up(self) -> None:
        issuer = self

        class Handler(_Handler):
            owner = issuer

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

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; None takes one away."""
        now = int(self._now())
        claims = {"iss": self.url, "aud": "eventbus", "sub": "caller", "iat": now, "nbf": now, "exp": now + 3_600}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, kid: str, algorithm: str = "RS256", **changes: Any) -> bytes:
        """A good token, but for the claims that are changed."""
        header = {"typ": "JWT", "alg": algorithm, "kid": kid}
        return signed(header, orjson.dumps(self.claims(**changes)), self.keys[kid], algorithm)

    def reply_to(self, path: str) -> Canned:
        with self._changed:
            self._seen.append(path)
            self._changed.notify_all()
        self._gate.wait(PATIENCE_SECONDS)
        scripted = self.answer(path)
        if scripted is not None:
            return scripted
        match path:
            case "/.well-known/openid-configuration":
                return Canned(body=orjson.dumps({"issuer": self.url, "jwks_uri": self.url + JWKS}))
            case "/keys":
                return Canned(body=orjson.dumps({"keys": self.jwks()}))
        return Canned(404, b"<html>no such page</html>")

    def jwks(self) -> list[dict[str, Any]]:
        """The public keys that are published."""
        if self.document is not None:
            return self.document
        return [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave, or do not trust the certificate, are part of what is tried."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS
    disable_nagle_algorithm = True
    owner: LocalIssuer

    def do_GET(self) -> None:
        reply = self.owner.reply_to(self.path)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        body = reply.body[: len(reply.body) - reply.cut]
        if not reply.drip:
            self.wfile.write(body)
        for byte in body if reply.drip else b"":
            self.wfile.write(bytes([byte]))
            if self.owner.ended.wait(reply.drip):
                break
        if reply.cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""
