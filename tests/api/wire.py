"""Bytes on a real socket: what the tests of the HTTP edge send and how they read what comes back."""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
import pytest
from tests.serving import Served, Way

from eventbus_gateway.api.connection import Connection
from eventbus_gateway.api.settings import HttpSettings, TopicSettings
from eventbus_gateway.kafka.memory import MemoryKafka

# Both ways through the gateway's own connections.
EDGE_WAYS: tuple[Way, ...] = ("protocol", "asgi")
both_ways = pytest.mark.parametrize("way", EDGE_WAYS)

TOPIC = "appointments"
TARGET = b"/v1/topics/appointments/events"
PATIENCE = 5.0


class Heard(NamedTuple):
    """One answer as it came over the wire.

    Args:
        status: status code.
        headers: lower-case names and values in order.
        body: the whole body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may come once at most."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, name
        return found[0] if found else None

    @property
    def code(self) -> str:
        """The stable code of a problem document."""
        found: str = self.json["code"]
        return found

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)

    @property
    def closes(self) -> bool:
        """Whether it announces the end of the connection."""
        return self.header("connection") == "close"


class Caller:
    """A connection of a caller that decides about every byte.

    Args:
        gateway: whom to connect to.
        receive_buffer: bytes that the kernel takes for a caller that does not read.
    """

    def __init__(self, gateway: Served, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", gateway.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def send(self, *parts: bytes) -> None:
        """Send everything, each part in a packet of its own."""
        for part in parts:
            self._socket.sendall(part)

    def flood(self, block: bytes, most: int) -> int:
        """Send until the gateway takes no more or the connection is gone; the bytes that were sent."""
        sent = 0
        self._socket.settimeout(0.5)
        with contextlib.suppress(OSError):
            while sent < most:
                sent += self._socket.send(block)
        self._socket.settimeout(PATIENCE)
        return sent

    def answer(self, method: str = "POST") -> Heard:
        """The next answer."""
        head = self._until(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [entry.split(": ", 1) for entry in rest]
        headers = [(name, value) for name, value in pairs]
        assert all(name == name.lower() for name, _ in headers)
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        body = self._take(length) if method != "HEAD" else b""
        return Heard(int(status), headers, body)

    def answers(self, count: int) -> list[Heard]:
        """The next answers, in the order in which they came."""
        return [self.answer() for _ in range(count)]

    def ask(self, *parts: bytes) -> Heard:
        """Send and wait for the answer."""
        self.send(*parts)
        return self.answer()

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        if self._heard:
            return False
        self._socket.settimeout(seconds)
        try:
            self._heard = self._socket.recv(65_536)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self._socket.settimeout(PATIENCE)

    def closed(self, within: float = PATIENCE) -> bool:
        """Whether the connection ends within so many seconds, with nothing more said."""
        if self._heard:
            return False
        self._socket.settimeout(within)
        try:
            return self._socket.recv(65_536) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(PATIENCE)

    def everything(self) -> bytes:
        """All that comes until the connection ends."""
        found = self._heard
        with contextlib.suppress(ConnectionResetError):
            while data := self._socket.recv(65_536):
                found += data
        self._heard = b""
        return found

    def finish_sending(self) -> None:
        """Tell that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go away without saying goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._socket.close()

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._heard:
            self._more()
        found, _, self._heard = self._heard.partition(mark)
        return found

    def _take(self, count: int) -> bytes:
        while len(self._heard) < count:
            self._more()
        found, self._heard = self._heard[:count], self._heard[count:]
        return found

    def _more(self) -> None:
        data = self._socket.recv(1_048_576)
        if not data:
            raise EOFError(f"the connection ended behind {self._heard[:200]!r}")
        self._heard += data


@contextlib.contextmanager
def calling(gateway: Served, receive_buffer: int | None = None) -> Iterator[Caller]:
    """A caller while the context is open."""
    caller = Caller(gateway, receive_buffer)
    try:
        yield caller
    finally:
        caller.close()


class _Complaints(logging.Handler):
    """Collects what a server only logs when something went wrong inside it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


class Pool:
    """Gateways that wait for the next test with the same settings, since starting one takes longer than most tests.

    Args:
        size: gateways that wait at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: dict[str, Served] = {}
        self._ending: list[Served] = []

    def take(self, key: str) -> Served | None:
        """A gateway with these settings, None where there is none."""
        return self._waiting.pop(key, None)

    def give_back(self, key: str, gateway: Served) -> None:
        """Keep a gateway that is at rest."""
        gateway.kafka.logs.clear()
        gateway.access.lines.clear()
        if (other := self.take(key)) is not None:
            self.end(other)
        self._waiting[key] = gateway
        if len(self._waiting) > self._size:
            self.end(self._waiting.pop(next(iter(self._waiting))))

    def end(self, gateway: Served) -> None:
        """Stop a gateway without waiting for it."""
        gateway.stop()
        self._ending.append(gateway)

    def close(self) -> None:
        """Stop all and wait for them."""
        for gateway in self._waiting.values():
            self.end(gateway)
        self._waiting.clear()
        for gateway in self._ending:
            gateway.close()
        self._ending.clear()


pool = Pool(size=8)


@contextlib.contextmanager
def edge(way: Way = "protocol", kafka: MemoryKafka | None = None, **options: Any) -> Iterator[Served]:
    """A gateway with one topic without schema, which neither complains about anything nor keeps anything.

    Args:
        way: how requests reach the handlers.
        kafka: where records go; the gateway is a new one then.
        options: settings of the edge; ``publish`` and ``auth`` go to the gateway as they are.
    """
    key = f"{way} {sorted(options.items())!r}"
    rest = {name: options.pop(name) for name in ("publish", "auth") if name in options}
    gateway = pool.take(key) if kafka is None else None
    if gateway is None:
        gateway = Served(
            way=way,
            kafka=kafka if kafka is not None else MemoryKafka({TOPIC: 1}),
            topics={TOPIC: TopicSettings(format="json")},
            http=HttpSettings(**options),
            **rest,
        )
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        yield gateway
        if gateway.edge.is_draining:
            gateway.close()
        else:
            assert at_rest(gateway)
        assert complaints.found == []
    except BaseException:
        pool.end(gateway)
        raise
    finally:
        logging.getLogger().removeHandler(complaints)
    if kafka is None and gateway.kafka.held is None and not gateway.edge.is_draining:
        pool.give_back(key, gateway)
    else:
        pool.end(gateway)


def post(body: bytes = b'{"a":1}', *headers: bytes, target: bytes = TARGET) -> bytes:
    """A publish with a declared length."""
    return head(*headers, b"Content-Length: %d" % len(body), target=target) + body


def head(*headers: bytes, target: bytes = TARGET, version: bytes = b"1.1", host: bytes | None = b"a") -> bytes:
    """The head of a publish."""
    named = [b"Host: " + host] if host is not None else []
    lines = [b"POST %s HTTP/%s" % (target, version), *named, b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunked(*chunks: bytes, headers: tuple[bytes, ...] = ()) -> bytes:
    """A publish whose body comes in chunks."""
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b"")]
    return head(*headers, b"Transfer-Encoding: chunked") + b"".join(parts)


def get(target: bytes = b"/v1/topics", *headers: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body."""
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), b"Host: a", *headers]) + b"\r\n\r\n"


def eventually(reached: Callable[[], bool], within: float = PATIENCE) -> bool:
    """Whether something comes true in time."""
    limit = time.monotonic() + within
    while not reached():
        if time.monotonic() > limit:
            return False
    return True


def at_rest(gateway: Served) -> bool:
    """Whether everything that the edge counts comes back to nothing."""

    admission, shared = gateway.admission, gateway.edge
    return eventually(lambda: (admission.requests, admission.bytes, len(shared.connections)) == (0, 0, 0))


def connections(gateway: Served) -> list[Connection]:
    """The gateway's side of all connections."""
    found = gateway.call(lambda: list(gateway.edge.connections))
    return [connection for connection in found if isinstance(connection, Connection)]


def in_work(gateway: Served, requests: int) -> bool:
    """Whether so many requests come to be worked on."""
    return eventually(lambda: gateway.admission.requests == requests)


def hold(gateway: Served) -> None:
    """Let Kafka acknowledge nothing from now on."""
    gateway.kafka.held = []


def held(gateway: Served, records: int) -> bool:
    """Whether so many requests come to wait for Kafka."""
    return eventually(lambda: len(gateway.kafka.held or []) == records)


def let_go(gateway: Served) -> None:
    """Let Kafka acknowledge everything, and all that follows."""

    def acknowledge() -> None:
        gates, gateway.kafka.held = gateway.kafka.held or [], None
        for gate in gates:
            gate.set_result(None)

    gateway.call(acknowledge)


def stored(gateway: Served) -> int:
    """Records in Kafka."""
    return len(gateway.kafka.records(TOPIC))


def logged(gateway: Served) -> list[dict[str, Any]]:
    """The access log so far."""
    return [orjson.loads(line) for line in gateway.access.lines]
