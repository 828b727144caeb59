"""A key that is revoked while somebody waits with it gives out nothing any more."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.api.publishing import problem
from tests.api.pulling import Desk, ask
from tests.api.test_streams import Source, source, store
from tests.api.wire import PATIENCE, eventually
from tests.serving import Served, Way

from eventbus_gateway.api.settings import ReadSettings, TopicSettings
from eventbus_gateway.auth.key_entries import StoredKey
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.keys import digest, new_key
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.kafka.memory import MemoryKafka

OWNER = "labs"
AUTH = AuthSettings.model_validate({"grants": ({"principal": OWNER, "actions": ("read",), "topics": ("*",)},)})
TARGET = "/v1/topics/appointments/events"


class Guarded:
    """A gateway that knows one key, until a test says otherwise."""

    def __init__(self, way: Way) -> None:
        self.text = new_key().decode()
        self._stored = StoredKey("0" * 16, digest(self.text.encode()), frozenset(), 0.0, None)
        self._ring = KeyRing([])
        self._ring.replace(OWNER, (), (self._stored,))
        self.desk = Desk(owner=OWNER)
        self.gateway = Served(
            way=way,
            kafka=MemoryKafka({"appointments": 1}),
            topics={"appointments": TopicSettings(format="json")},
            read=ReadSettings(heartbeat_seconds=0.2),
            auth=AUTH,
            keys=self._ring,
            further=self.desk.routes,
        )
        self.headers = {"authorization": f"Bearer {self.text}"}

    def revoke(self) -> None:
        self.gateway.call(lambda: self._ring.replace(OWNER, (self._stored,), ()))

    def change(self) -> None:
        """Give the key a role."""
        changed = self._stored._replace(roles=frozenset({"other"}))
        self.gateway.call(lambda: self._ring.replace(OWNER, (self._stored,), (changed,)))


@pytest.fixture(params=["protocol", "uvicorn"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    one = Guarded(request.param)
    try:
        yield one
    finally:
        one.gateway.close()


ENDS = pytest.mark.parametrize("end", [Guarded.revoke, Guarded.change], ids=["revoked", "changed"])


@ENDS
def test_a_read_that_waits_gives_no_event(guarded: Guarded, end: Callable[[Guarded], None]) -> None:
    def read() -> httpx2.Response:
        return guarded.gateway.client.get(TARGET, params={"from": "latest", "wait": 60}, headers=guarded.headers)

    with ThreadPoolExecutor() as pool:
        poll = pool.submit(read)
        assert eventually(lambda: guarded.gateway.reader.waiting == 1)
        end(guarded)
        store(guarded.gateway, b'"secret"')
        answer = poll.result(PATIENCE)
    problem(answer, 401, "unauthenticated")
    assert "secret" not in answer.text


@ENDS
def test_a_receive_that_waits_gives_no_event(guarded: Guarded, end: Callable[[Guarded], None]) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(ask, guarded.gateway, "receive", {"waitSeconds": 60}, headers=guarded.headers)
        assert eventually(lambda: guarded.desk.waiting() == 1)
        end(guarded)
        guarded.desk.put("secret")
        answer = poll.result(PATIENCE)
    problem(answer, 401, "unauthenticated")
    assert "secret" not in answer.text


@ENDS
def test_a_stream_ends_and_gives_no_event(guarded: Guarded, end: Callable[[Guarded], None]) -> None:
    def events(stream: Source, until: str) -> Any:
        while True:
            message = stream.message()
            if message.data is not None:
                assert message.event == until
                return message.data

    with source(guarded.gateway, "?from=latest", headers=guarded.headers) as stream:
        assert stream.head()[0] == 200
        store(guarded.gateway, b'"first"')
        assert events(stream, "message")["data"] == "first"
        end(guarded)
        store(guarded.gateway, b'"secret"')
        document = events(stream, "problem")
        assert document["code"] == "unauthenticated"
        assert stream.ends()
    assert eventually(lambda: guarded.gateway.read.streams == 0)


def test_a_stream_without_events_ends_too(guarded: Guarded) -> None:
    with source(guarded.gateway, "?from=latest", headers=guarded.headers) as stream:
        assert stream.head()[0] == 200
        guarded.revoke()
        while (message := stream.message()).event != "problem":
            assert message.data is None
        assert stream.ends()
