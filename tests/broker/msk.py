"""What stands before the brokers of Amazon MSK: TLS, sign-in by IAM, sessions that end. Behind it is a plain broker.

It speaks only the part of Kafka's protocol that signing in takes (KIP-43, KIP-255, KIP-368); everything else goes
through untouched.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import ssl
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlsplit

_HANDSHAKE, _API_VERSIONS, _AUTHENTICATE = 17, 18, 36
_REFUSED = 58
"""SASL_AUTHENTICATION_FAILED."""
_CLOCK_SKEW = 300.0
_GRACE_SECONDS = 1.0
"""A session may last so much longer: clients renew it a tenth before its end, and test machines stall."""
_REGION = "us-gov-west-1"


class Identity(NamedTuple):
    """What AWS knows of a key.

    Args:
        secret: the secret access key.
        session: the session token, None for keys of a user.
        arn: whose key it is.
    """

    secret: str
    session: str | None
    arn: str


class RefusedToken(Exception):
    """A token is not taken."""


class Verifier:
    """Checks tokens as AWS does; written from the specification of Signature Version 4, not from the gateway.

    Args:
        identity: what is known of an access key id, None for nothing.
    """

    def __init__(self, identity: Callable[[str], Identity | None]) -> None:
        self.identity = identity
        self.ahead = 0.0
        """Seconds that its clock is ahead of ours."""

    def principal(self, token: str, *, before: str | None = None) -> str:
        """Whose token it is.

        Args:
            token: as it came.
            before: who has signed in on the connection before, None for nobody.

        Raises:
            RefusedToken: why it is not taken.
        """
        host, fields = _parsed(token)
        signature = fields.pop("X-Amz-Signature", "")
        fields.pop("User-Agent", None)
        expected = {"Action": "kafka-cluster:Connect", "X-Amz-Algorithm": "AWS4-HMAC-SHA256"}
        if host != f"kafka.{_REGION}.amazonaws.com" or any(fields.get(n) != v for n, v in expected.items()):
            raise RefusedToken("not a request to connect")
        key, _, scope = fields["X-Amz-Credential"].partition("/")
        known = self.identity(key)
        if known is None or fields.get("X-Amz-Security-Token") != known.session:
            raise RefusedToken("unknown key")
        if not hmac.compare_digest(signature, _signature(host, fields, scope, known.secret)):
            raise RefusedToken("wrong signature")
        signed = datetime.strptime(fields["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        age = time.time() + self.ahead - signed
        if not -_CLOCK_SKEW < age < min(900, int(fields["X-Amz-Expires"])):
            raise RefusedToken("expired")
        if before not in {None, known.arn}:
            raise RefusedToken("cannot change principals")
        return known.arn


def _parsed(token: str) -> tuple[str, dict[str, str]]:
    if "=" in token:
        raise RefusedToken("padded")
    try:
        url = urlsplit(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode())
        fields = parse_qsl(url.query, strict_parsing=True)
    except (binascii.Error, ValueError):
        raise RefusedToken("not a URL") from None
    if url.scheme != "https" or url.path != "/" or len(dict(fields)) != len(fields):
        raise RefusedToken("not a URL of AWS")
    return url.netloc, dict(fields)


def _signature(host: str, fields: dict[str, str], scope: str, secret: str) -> str:
    day, region, service, end = scope.split("/")
    if (region, service, end) != (_REGION, "kafka-cluster", "aws4_request") or not fields["X-Amz-Date"].startswith(
        day
    ):
        raise RefusedToken("wrong scope")
    if fields["X-Amz-SignedHeaders"] != "host":
        raise RefusedToken("wrong headers")
    query = "&".join(
        sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in fields.items())
    )
    canonical = "\n".join(["GET", "/", query, f"host:{host}", "", "host", hashlib.sha256(b"").hexdigest()])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", fields["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )

    def mac(key: bytes, message: str) -> bytes:
        return hmac.new(key, message.encode(), hashlib.sha256).digest()

    signing = mac(mac(mac(mac(b"AWS4" + secret.encode(), day), region), service), end)
    return hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()


class Seen(NamedTuple):
    """What happened at the front so far.

    Args:
        signed_in: connections that signed in.
        again: sessions that were renewed on their connection.
        refused: why tokens were not taken, in order.
        cut: connections that were closed because they went on after the end of their session.
        tokens: different tokens that were taken.
    """

    signed_in: int
    again: int
    refused: tuple[str, ...]
    cut: int
    tokens: int


class MskFront:
    """Listens while the block is open, on a thread of its own.

    Args:
        certificate: PEM file with key and certificate.
        port: where it listens.
        behind: port of the plain broker.
        verifier: of tokens.
        session_seconds: how long a session lasts; 0 for without end.
    """

    def __init__(
        self, certificate: Path, port: int, behind: int, verifier: Verifier, *, session_seconds: float = 0.0
    ) -> None:
        self.verifier = verifier
        self.session_seconds = session_seconds
        self.behind = behind
        self.address = f"localhost:{port}"
        self.signed_in = self.again = self.cut = 0
        self.refused: list[str] = []
        self.tokens: set[str] = set()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def seen(self) -> Seen:
        """What happened so far."""
        return Seen(self.signed_in, self.again, tuple(self.refused), self.cut, len(self.tokens))

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await _Connection(self, reader, writer).run()
            except asyncio.CancelledError:
                pass  # the block ends; the stream's own callback would log it
            finally:
                connections.discard(task)

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, ssl=self._tls)
        self._listening.set()
        await self._stop.wait()
        server.close()
        for task in [*connections]:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


class _Connection:
    """One client and its connection to the broker."""

    def __init__(self, front: MskFront, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._front = front
        self._reader, self._writer = reader, writer
        self._principal: str | None = None
        self._ends = float("inf")
        self._unanswered = 0
        self._answered = asyncio.Event()

    async def run(self) -> None:
        upstream = None
        try:
            down, upstream = await asyncio.open_connection("127.0.0.1", self._front.behind)
            ways = [asyncio.ensure_future(self._requests(upstream)), asyncio.ensure_future(self._answers(down))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the broker is not there
        finally:
            for writer in (self._writer, upstream):
                if writer is not None:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()

    async def _requests(self, upstream: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                frame = await _frame(self._reader)
                key, version, correlation, length = struct.unpack_from(">hhih", frame)
                body = frame[10 + max(0, length) :]
                if key in {_HANDSHAKE, _AUTHENTICATE}:
                    await self._sign_in(key, version, correlation, body)
                elif key != _API_VERSIONS and not self._may_go_on():
                    return
                else:
                    self._unanswered += 1
                    upstream.write(struct.pack(">i", len(frame)) + frame)
                    await upstream.drain()

    def _may_go_on(self) -> bool:
        if self._principal is None:
            return False
        if time.monotonic() < self._ends:
            return True
        self._front.cut += 1
        return False

    async def _answers(self, down: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                frame = await _frame(down)
                self._unanswered -= 1
                self._answered.set()
                self._writer.write(struct.pack(">i", len(frame)) + frame)
                await self._writer.drain()

    async def _sign_in(self, key: int, version: int, correlation: int, body: bytes) -> None:
        # Answers come in the order of requests.
        while self._unanswered:
            self._answered.clear()
            await self._answered.wait()
        if key == _HANDSHAKE:
            answer = struct.pack(">hih", 0, 1, len("OAUTHBEARER")) + b"OAUTHBEARER"
        else:
            answer = self._authenticated(body[4:], version)
        self._writer.write(struct.pack(">ii", 4 + len(answer), correlation) + answer)
        await self._writer.drain()
        if key == _AUTHENTICATE and self._principal is None:
            raise asyncio.IncompleteReadError(b"", None)

    def _authenticated(self, message: bytes, version: int) -> bytes:
        front = self._front
        try:
            token = _bearer(message)
            principal = front.verifier.principal(token, before=self._principal)
        except RefusedToken as error:
            front.refused.append(str(error))
            self._principal = None
            said = str(error).encode()
            return struct.pack(">hh", _REFUSED, len(said)) + said + struct.pack(">i", 0) + _lifetime(version, 0)
        if self._principal is None:
            front.signed_in += 1
        else:
            front.again += 1
        front.tokens.add(token)
        self._principal = principal
        if front.session_seconds:
            self._ends = time.monotonic() + front.session_seconds + _GRACE_SECONDS
        return struct.pack(">hhi", 0, -1, 0) + _lifetime(version, int(front.session_seconds * 1000))


def _bearer(message: bytes) -> str:
    """The token of a client's first message (RFC 7628 section 3.1)."""
    start, *pairs = message.split(b"\x01")
    found = [pair for pair in pairs if pair.startswith(b"auth=Bearer ")]
    if start != b"n,," or len(found) != 1 or pairs[-2:] != [b"", b""]:
        raise RefusedToken("not a bearer's message")
    return found[0].removeprefix(b"auth=Bearer ").decode()


def _lifetime(version: int, milliseconds: int) -> bytes:
    return struct.pack(">q", milliseconds) if version >= 1 else b""


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)
