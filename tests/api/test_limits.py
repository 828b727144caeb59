"""What a principal may use, and that a greedy one leaves the others theirs, as callers see it."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.api.publishing import JSON, NDJSON, lines, problem, publish
from tests.api.pulling import Desk, ask
from tests.serving import Served, Way, served

from eventbus_gateway.api.settings import HttpSettings, ReadSettings, TopicSettings
from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings, GrantSettings, LimitSettings
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Outcome, Record

TOPICS = {"greedy": TopicSettings(format="json"), "modest": TopicSettings(format="json")}
PATIENCE = 20.0


def key_of(principal: str) -> str:
    return f"the key of {principal} and of nobody else".replace(" ", "-")


def authorization(principal: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(principal)}"}


def auth(*terms: dict[str, Any], **options: Any) -> AuthSettings:
    names = ("greedy", "modest")
    keys = [
        ApiKeySettings(principal=each, sha256=hashlib.sha256(key_of(each).encode()).hexdigest()) for each in names
    ]
    grants = [GrantSettings(principal="*", actions=("publish", "read"), topics=("*",))]
    limits = [LimitSettings.model_validate({"principal": "*", **each}) for each in terms]
    return AuthSettings.model_validate({"api_keys": keys, "grants": grants, "limits": limits, **options})


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def limited(*terms: dict[str, Any], **options: Any) -> Iterator[tuple[Served, Clock]]:
    clock = Clock()
    kafka = MemoryKafka({"greedy": 1, "modest": 1})
    with served(auth=auth(*terms), topics=TOPICS, kafka=kafka, clock=clock, **options) as gateway:
        yield gateway, clock


def send(gateway: Served, principal: str = "greedy", *events: Any) -> httpx2.Response:
    if events:
        return publish(gateway, principal, lines(*events), NDJSON, **authorization(principal))
    return publish(gateway, principal, {}, **authorization(principal))


# Buckets


@pytest.mark.parametrize("way", ["protocol", "asgi"])
@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"requests_per_second": 0.5, "burst_requests": 2}, '"requests";q=2;w=4'),
        ({"events_per_second": 0.5, "burst_events": 2}, '"events";q=2;w=4;qu="events"'),
        ({"max_polls": 3, "requests_per_second": 0.5, "burst_requests": 2}, '"polls";q=3;qu="concurrent-requests"'),
    ],
)
def test_beyond_a_limit_a_caller_is_told_which_and_when_to_come_back(
    way: Way, terms: dict[str, Any], named: str
) -> None:
    with limited(terms, way=way) as (gateway, clock):
        answers = [send(gateway) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert "ratelimit" not in answers[0].headers, "half of it is left"
        assert answers[1].headers["ratelimit"].endswith(";r=0")
        refused = send(gateway)
        assert problem(refused, 429, "rate_limited")["outcome"] == "not_stored"
        assert refused.headers["retry-after"] == "2"
        assert named in refused.headers["ratelimit-policy"]
        assert refused.headers["ratelimit"].endswith(";r=0")
        assert send(gateway, "modest").status_code == 201
        clock.now += 2.0
        assert send(gateway).status_code == 201
        assert len(gateway.kafka.records("greedy")) == 3


def test_every_route_that_knows_its_caller_counts_as_a_request_even_if_it_is_refused_then() -> None:
    with limited({"requests_per_second": 0.001, "burst_requests": 3}) as (gateway, _):
        client = gateway.client
        assert client.get("/v1/topics", headers=authorization("greedy")).status_code == 200
        assert client.get("/v1/topics/nowhere", headers=authorization("greedy")).status_code == 404
        assert send(gateway).status_code == 201
        problem(client.get("/v1/topics", headers=authorization("greedy")), 429, "rate_limited")
        problem(client.get("/v1/topics", headers=authorization("nobody")), 401, "unauthenticated")


def test_bodies_and_answers_count_as_bytes() -> None:
    with limited({"bytes_per_second": 1_000, "burst_bytes": 20_000}) as (gateway, clock):
        assert send(gateway, "greedy", "x" * 10_000).status_code == 200
        path = "/v1/topics/greedy/events"
        assert gateway.client.get(path, headers=authorization("greedy")).status_code == 200
        refused = gateway.client.get(path, headers=authorization("greedy"))
        problem(refused, 429, "rate_limited")
        assert '"bytes";q=20000;w=20;qu="content-bytes"' in refused.headers["ratelimit-policy"]
        clock.now += float(refused.headers["retry-after"])
        assert gateway.client.get(path, headers=authorization("greedy")).status_code == 200


def test_a_stream_is_silent_but_for_signs_of_life_as_long_as_too_many_bytes_were_sent() -> None:
    read = ReadSettings(heartbeat_seconds=0.05)
    with limited({"bytes_per_second": 10, "burst_bytes": 1_024}, read=read) as (gateway, clock):
        clock.now += 1_000
        send(gateway, "greedy", *["x" * 200] * 5)
        clock.now += 1_000
        headers = {**authorization("greedy"), "accept": "text/event-stream"}
        with gateway.client.stream("GET", "/v1/topics/greedy/events?limit=1", headers=headers) as answer:
            assert answer.status_code == 200
            told = answer.iter_lines()
            seen: list[str] = []
            while seen.count(": still here") < 3:
                seen.append(next(told))
            assert 0 < _events(seen) < 5
            clock.now += 10_000
            while _events(seen) < 5:
                seen.append(next(told))


def _events(told: Sequence[str]) -> int:
    return sum(line.startswith("data:") for line in told)


# Polls


def test_streams_under_way_are_bounded_for_each_principal() -> None:
    with limited({"max_polls": 1}) as (gateway, _):
        path = "/v1/topics/greedy/events"
        headers = {**authorization("greedy"), "accept": "text/event-stream"}
        with gateway.client.stream("GET", path, headers=headers) as open_one:
            assert open_one.status_code == 200
            for accept in ("text/event-stream", JSON):
                refused = gateway.client.get(path, headers={**authorization("greedy"), "accept": accept})
                problem(refused, 429, "rate_limited")
                assert int(refused.headers["retry-after"]) > 0
            assert gateway.client.get(path, headers=authorization("modest")).status_code == 200
        _until(lambda: gateway.read.polls == 0)
        assert gateway.client.get(path, headers=authorization("greedy")).status_code == 200


def test_receives_that_wait_are_bounded_for_each_principal_and_no_other_request_is() -> None:
    desk = Desk(owner="greedy")
    with limited({"max_polls": 1}, further=desk.routes) as (gateway, _), ThreadPoolExecutor() as pool:
        headers = authorization("greedy")
        poll = pool.submit(ask, gateway, "receive", {"waitSeconds": 60}, headers=headers)
        _until(lambda: gateway.call(lambda: desk.shard.waiting) == 1)
        refused = ask(gateway, "receive", {}, headers=headers)
        assert "receives and reads" in problem(refused, 429, "rate_limited")["detail"]
        assert send(gateway).status_code == 201
        assert ask(gateway, "ack", {"ackTokens": ["x"]}, headers=headers).status_code == 400
        desk.put(1)
        assert len(poll.result(PATIENCE).json()["events"]) == 1
        assert ask(gateway, "receive", {}, headers=headers).status_code == 200


# A greedy tenant beside a modest one


class SlowFor(MemoryKafka):
    """A Kafka that confirms nothing of one topic."""

    def __init__(self, slow: str) -> None:
        super().__init__({"greedy": 1, "modest": 1})
        self._slow = slow
        self.unconfirmed: list[asyncio.Future[list[Outcome]]] = []

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        if topic != self._slow:
            return super().send(topic, records)
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.unconfirmed.append(future)
        return future


class Greedy:
    """A tenant that asks on many connections again and again, whatever it is answered."""

    def __init__(self, gateway: Served, connections: int) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _go(self) -> None:
        with httpx2.Client(base_url=self._gateway.url, timeout=PATIENCE, trust_env=False) as client:
            headers = {**authorization("greedy"), "content-type": JSON}
            while not self._stop.is_set():
                answer = client.post("/v1/topics/greedy/events", content=b"{}", headers=headers)
                self.statuses.append(answer.status_code)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def _until(holds: Any) -> None:
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE, deadline.set)
    timer.start()
    try:
        while not holds():
            assert not deadline.is_set()
    finally:
        timer.cancel()


@contextlib.contextmanager
def _crowded(way: Way, reserved_share: float) -> Iterator[tuple[Served, Greedy]]:
    """A gateway that a greedy tenant has filled and goes on asking, while Kafka confirms nothing of it."""
    kafka = SlowFor("greedy")
    http = HttpSettings(max_in_flight_requests=10, max_connections=64)
    options: dict[str, Any] = {"http": http, "topics": TOPICS, "kafka": kafka, "way": way}
    with served(auth=auth(reserved_share=reserved_share), **options) as gateway:
        greedy = Greedy(gateway, 24)
        try:
            _until(lambda: len(greedy.statuses) > 50)
            yield gateway, greedy
        finally:
            # No request may be left waiting, or its thread would not end.
            greedy._stop.set()
            _until(lambda: _confirmed(gateway, kafka, greedy))
            greedy.stop()


def _confirmed(gateway: Served, kafka: SlowFor, greedy: Greedy) -> bool:
    def confirm() -> None:
        for future in kafka.unconfirmed:
            if not future.done():
                future.set_result([kafka._store("greedy", 0, Record(None, b"{}", []))])

    gateway.call(confirm)
    return not any(thread.is_alive() for thread in greedy._threads)


@pytest.mark.parametrize("way", ["protocol", "asgi"])
def test_a_modest_tenant_is_served_beside_a_greedy_one_that_has_filled_the_gateway(way: Way) -> None:
    with _crowded(way, 0.1) as (gateway, greedy):
        assert set(greedy.statuses) == {429}
        for _ in range(100):
            assert send(gateway, "modest").status_code == 201
        assert gateway.kafka.records("modest")
        assert isinstance(gateway.kafka, SlowFor)
        assert len(gateway.kafka.unconfirmed) == 9, "all but the reserve"


def test_without_a_reserve_it_is_not() -> None:
    with _crowded("protocol", 0.0) as (gateway, _):
        answers = [send(gateway, "modest") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {503}
