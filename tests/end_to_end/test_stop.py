"""At SIGTERM whoever has sent a request gets its answer, and what is answered as stored is stored."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.wire import Answer, Unanswered, Wire, wire
from tests.kafka.support import read_log

pytestmark = pytest.mark.broker

CONNECTIONS = 128


class Sent(NamedTuple):
    """A request that was sent completely: the id of its event, and what came back."""

    id: str
    answer: Answer | None


class Crowd:
    """Callers with one connection each, who send their next event when the last one is answered.

    Args:
        topic: where to.
    """

    def __init__(self, topic: str) -> None:
        self.sent: list[Sent] = []
        self.under_way = 0
        self._topic = topic
        self._progress = asyncio.Event()

    async def stay(self, one: Wire, caller: int) -> None:
        """Publish until the gateway ends the connection."""
        for number in count():
            event = f"{caller}.{number}"
            self.under_way += 1
            self._progress.set()
            try:
                answer = await one.publish(self._topic, b'"x"', "application/json", {"ce-id": event})
            except Unanswered:
                answer = None
            self.under_way -= 1
            self.sent.append(Sent(event, answer))
            self._progress.set()
            if not one.open:
                return

    async def until_answered(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < number:
                self._progress.clear()
                await self._progress.wait()

    def statuses(self) -> dict[int, int]:
        """How many answers of each status; 0 counts requests without one."""
        found = [sent.answer.status if sent.answer is not None else 0 for sent in self.sent]
        return {status: found.count(status) for status in set(found)}


@asynccontextmanager
async def crowd(gateway: GatewayProcess, topic: str, connections: int) -> AsyncIterator[Crowd]:
    """Callers on that many connections; the end of the block waits until all of them are sent away."""
    one = Crowd(topic)

    async def call(caller: int) -> None:
        async with wire(gateway.port) as connection:
            await one.stay(connection, caller)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as callers:
        for caller in range(connections):
            callers.create_task(call(caller))
        yield one


def listens(gateway: GatewayProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.port), PATIENCE).close()
    except ConnectionError:
        return False
    return True


def check_stored(sent: list[Sent], bootstrap: str, topic: str) -> None:
    """Everything that was answered with 201 is in the log, at its place."""
    log = {(record.partition, record.offset): dict(record.headers)["ce_id"] for record in read_log(bootstrap, topic)}
    for event, answer in sent:
        if answer is not None and answer.status == 201:
            receipt = answer.json()
            assert log[receipt["partition"], receipt["offset"]] == event.encode()


def test_sigterm_under_load_leaves_no_request_without_an_answer(broker: Broker, topic: TopicFactory) -> None:
    name = topic(3)

    async def load(gateway: GatewayProcess) -> Crowd:
        async with crowd(gateway, name, CONNECTIONS) as callers:
            await callers.until_answered(3_000)
            gateway.sigterm()
        return callers

    with GatewayProcess(broker.bootstrap, http={"drain_seconds": 10}) as gateway:
        callers = asyncio.run(load(gateway))
        assert gateway.ended(10) == 0
        lines = [json.loads(line) for line in gateway.out.splitlines()]
    assert callers.statuses() == {201: len(callers.sent)}
    check_stored(callers.sent, broker.bootstrap, name)
    assert len(lines) == len(callers.sent), "every answer has its line in the log"


def test_a_request_that_is_still_arriving_at_sigterm_is_answered(broker: Broker, topic: TopicFactory) -> None:
    name = topic()
    body = b'"' + b"x" * 1_000 + b'"'
    head = (
        f"POST /v1/topics/{name}/events HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()

    async def call(gateway: GatewayProcess) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head + body[:100])
        await writer.drain()
        await asyncio.to_thread(
            gateway.until, lambda: gateway.metric("eventbus_http_in_flight_requests") == 1, "the request to arrive"
        )
        gateway.sigterm()
        await asyncio.to_thread(gateway.until, lambda: not listens(gateway), "the drain to begin")
        writer.write(body[100:])
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer

    with GatewayProcess(broker.bootstrap, http={"drain_seconds": 10}) as gateway:
        answer = asyncio.run(call(gateway))
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"connection: close" in answer.lower()
        assert gateway.ended(10) == 0
    assert len(read_log(broker.bootstrap, name)) == 1


@pytest.mark.parametrize(
    ("delivery_seconds", "drain_seconds"), [(2, 8), (30, 3)], ids=["longer than the deadline", "shorter"]
)
def test_sigterm_while_kafka_hangs_tells_every_caller_that_the_outcome_is_unknown_within_the_drain_time(
    victim: Broker, delivery_seconds: int, drain_seconds: int
) -> None:
    name = f"hung-at-stop-{drain_seconds}"
    victim.create_topic(name, 3)
    settings: dict[str, Any] = {"delivery_timeout_seconds": delivery_seconds, "socket_timeout_seconds": 20}

    async def load(gateway: GatewayProcess) -> Crowd:
        async with crowd(gateway, name, 16) as callers:
            await callers.until_answered(200)
            victim.stop()
            await asyncio.to_thread(
                gateway.until, lambda: gateway.metric("eventbus_kafka_in_flight_records") == 16, "all to wait"
            )
            gateway.sigterm()
        return callers

    with GatewayProcess(victim.bootstrap, kafka=settings, http={"drain_seconds": drain_seconds}) as gateway:
        try:
            started = time.monotonic()
            callers = asyncio.run(load(gateway))
            assert gateway.ended(drain_seconds) == 0
            assert time.monotonic() - started < drain_seconds + 5
        finally:
            victim.cont()
    assert callers.statuses().keys() == {201, 504}
    unknown = [sent.answer.json() for sent in callers.sent if sent.answer is not None and sent.answer.status == 504]
    assert len(unknown) == 16
    assert {(problem["code"], problem["outcome"]) for problem in unknown} == {("outcome_unknown", "unknown")}
    check_stored(callers.sent, victim.bootstrap, name)
