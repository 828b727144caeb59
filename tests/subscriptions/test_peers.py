"""A shard of another replica is asked as if it were here, whatever becomes of that replica."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from tests.broker import free_port
from tests.peering import (
    OTHER_SECRET,
    PATIENCE,
    STATUS,
    Shelf,
    Shelves,
    connections,
    event,
    references,
    references_in,
    replica,
)

from eventbus_gateway.errors import (
    GatewayError,
    KafkaUnavailable,
    NotOwner,
    OutcomeUnknown,
    OwnerUnavailable,
    RegistryUnavailable,
    ShuttingDown,
)
from eventbus_gateway.subscriptions import peer_wire
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, Settling, ShardCalls, Verb
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.peers import Peers
from eventbus_gateway.subscriptions.references import understood
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

ASK = Ask(10, 1_000_000, 12.5)
EVENTS = [event(7, b'{"text":"a\\nb"}'), event(9, '"Grüße, \\",\\"ackToken\\":\\"x"'.encode()), event(12)]


@contextlib.asynccontextmanager
async def served(*events: bytes, **settings: Any) -> AsyncIterator[tuple[Shelf, ShardCalls]]:
    """A shard at another replica, and the way to it."""
    shelf = Shelf(*events)
    async with replica(Shelves({("s", 3): shelf})) as one, connections(**settings) as peers:
        yield shelf, peers.shard(one.address, "s", 3)


def test_events_come_as_the_very_bytes_that_their_owner_made() -> None:
    async def run() -> None:
        async with served(*EVENTS) as (shelf, remote):
            assert (await remote.receive(ASK._replace(max_events=2, lease_seconds=None))).events == EVENTS[:2]
            assert (await remote.receive(ASK)).events == EVENTS[2:]
            assert await remote.receive(ASK) == HandedOut([], [])
            assert shelf.asked == [ASK._replace(max_events=2, lease_seconds=None), ASK, ASK]

    asyncio.run(run())


def test_events_of_another_replica_have_a_token_that_stands_for_all_of_them() -> None:
    async def run() -> None:
        async with served(*EVENTS) as (_, remote):
            (text,) = (await remote.receive(ASK)).ack_tokens
            named = understood([text], 3)
            assert named is not None
            assert list(named.references) == references_in(EVENTS)

    asyncio.run(run())


@pytest.mark.parametrize(
    "broken", [b"{}", b'{"ackToken":"x"}', b'{"data":"x,\\"ackToken\\":\\""}', EVENTS[0].replace(b"AAEA", b"AAIA")]
)
def test_events_without_their_tokens_are_no_answer(broken: bytes) -> None:
    async def run() -> None:
        async with served(EVENTS[0]) as (shelf, remote):
            shelf.raw = [broken]
            with pytest.raises(OwnerUnavailable):
                await remote.receive(ASK)

    asyncio.run(run())


def test_an_answer_of_many_megabytes_comes_whole() -> None:
    events = [event(number, b'"%s"' % (b"x" * 10_000)) for number in range(1_000)]

    async def run() -> None:
        async with served(*events) as (_, remote):
            assert (await remote.receive(Ask(1_000, 100_000_000, None))).events == events

    asyncio.run(run())


def test_what_clients_say_arrives_as_they_said_it_and_each_reference_has_its_outcome() -> None:
    given = references([3] * 1_000)
    outcomes = dict(zip(given, list(Outcome) * 200, strict=True))

    async def run() -> None:
        async with served() as (shelf, remote):
            shelf.outcomes = outcomes
            for verb in Verb:
                settling = Settling(verb, given, 2.5, "no such patient: 'ü'")
                assert await remote.settle(settling) == list(outcomes.values())
                assert shelf.settled[-1] == settling

    asyncio.run(run())


def test_the_status_comes_with_everything_that_it_has() -> None:
    async def run() -> None:
        async with served() as (_, remote):
            assert await remote.status() == STATUS

    asyncio.run(run())


def test_attempts_come_as_the_very_bytes_that_their_owner_made() -> None:
    async def run() -> None:
        async with served() as (shelf, remote):
            shelf.tried = [b'{"at":3}', b'{"at":2}', b'{"at":1}']
            assert await remote.attempts(2) == shelf.tried[:2]
            shelf.tried = []
            assert await remote.attempts(2) == []

    asyncio.run(run())


def test_a_status_of_an_earlier_version_has_no_endpoint() -> None:
    known = orjson.loads(peer_wire.status_to_bytes(STATUS))
    del known["endpoint"]
    assert peer_wire.status_from_bytes(orjson.dumps(known)) == STATUS._replace(endpoint=None)
    strange = orjson.dumps({**known, "endpoint": {"state": "open", "in_flight": 1, "limit": 2.0, "mood": "bad"}})
    assert peer_wire.status_from_bytes(strange).endpoint == EndpointStatus("open", 1, 2.0)
    with pytest.raises(peer_wire.NotUnderstood):
        peer_wire.status_from_bytes(orjson.dumps({**known, "endpoint": {"state": 1}}))


def test_whoever_waits_hears_of_the_first_event() -> None:
    async def run() -> None:
        async with served() as (shelf, remote):
            waiting = asyncio.create_task(remote.ready(PATIENCE))
            await shelf.until_waiting(1)
            shelf.put(EVENTS[0])
            assert await waiting
            assert await remote.ready(0.0)
            await remote.receive(ASK)
            assert not await remote.ready(0.0)
            assert not await remote.ready(0.05)

    asyncio.run(run())


def test_a_cancelled_wait_ends_at_the_owner_too() -> None:
    async def run() -> None:
        async with served() as (shelf, remote):
            waiting = asyncio.create_task(remote.ready(PATIENCE))
            await shelf.until_waiting(1)
            waiting.cancel()
            async with asyncio.timeout(PATIENCE / 6):  # sooner than any wait ends by itself
                await shelf.until_waiting(0)

    asyncio.run(run())


def test_all_who_wait_for_one_shard_share_one_wait_at_its_owner() -> None:
    async def run() -> None:
        async with served(max_peer_connections=1) as (shelf, remote):
            waits = [asyncio.create_task(remote.ready(PATIENCE)) for _ in range(50)]
            await shelf.until_waiting(1)
            for waiting in waits[:40]:
                waiting.cancel()
            await asyncio.gather(*waits[:40], return_exceptions=True)
            assert not await remote.ready(0.05), "others still wait, and have lost nothing"
            assert shelf.waiting == 1
            shelf.put(EVENTS[0])
            assert await asyncio.gather(*waits[40:]) == [True] * 10

    asyncio.run(run())


def test_an_ack_does_not_queue_behind_waits_that_use_all_connections() -> None:
    async def run() -> None:
        shelves = {("s", number): Shelf() for number in range(4)}
        async with replica(Shelves(shelves)) as one, connections(max_peer_connections=2) as peers:
            waits = [asyncio.create_task(peers.shard(one.address, "s", n).ready(PATIENCE)) for n in range(4)]
            for number in range(2):
                await shelves["s", number].until_waiting(1)
            settling = Settling(Verb.ACK, references([3]))
            async with asyncio.timeout(PATIENCE / 3):
                assert await peers.shard(one.address, "s", 3).settle(settling) == [Outcome.OK]
            for waiting in waits:
                waiting.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(run())


Calls = list[Callable[[ShardCalls], Awaitable[object]]]
CALLS: Calls = [
    lambda shard: shard.receive(ASK),
    lambda shard: shard.ready(5.0),
    lambda shard: shard.ready(0.0),
    lambda shard: shard.settle(Settling(Verb.ACK, references([3]))),
    lambda shard: shard.status(),
]
NAMES = ["receive", "ready", "ready now", "settle", "status"]


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize(
    "trouble",
    [
        NotOwner(),
        KafkaUnavailable("Kafka is away.", retry_after=7.0),
        RegistryUnavailable("No schema now.", retry_after=2.0),
        ShuttingDown("Over."),
        OutcomeUnknown("Who knows."),
    ],
    ids=lambda error: str(error.code),
)
def test_what_the_owner_raises_is_raised_here(
    trouble: GatewayError, call: Callable[[ShardCalls], Awaitable[object]]
) -> None:
    async def run() -> None:
        async with served() as (shelf, remote):
            shelf.trouble = trouble
            with pytest.raises(type(trouble)) as caught:
                await call(remote)
            assert type(caught.value) is type(trouble)
            assert caught.value.detail == trouble.detail
            assert caught.value.retry_after in {trouble.retry_after, 1.0 if trouble.retry_after is None else 0.0}

    asyncio.run(run())


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_a_replica_that_does_not_serve_the_shard_is_not_the_owner(
    call: Callable[[ShardCalls], Awaitable[object]],
) -> None:
    async def run() -> None:
        async with replica() as one, connections() as peers:
            with pytest.raises(NotOwner):
                await call(peers.shard(one.address, "s", 3))

    asyncio.run(run())


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_where_nobody_listens_nothing_was_done(call: Callable[[ShardCalls], Awaitable[object]]) -> None:
    async def run() -> None:
        async with connections() as peers:
            with pytest.raises(NotOwner):
                await call(peers.shard(f"127.0.0.1:{free_port()}", "s", 3))

    asyncio.run(run())


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_a_replica_with_another_secret_is_unavailable(call: Callable[[ShardCalls], Awaitable[object]]) -> None:
    async def run() -> None:
        shelf = Shelf(*EVENTS)
        async with replica(Shelves({("s", 3): shelf})) as one, connections(peer_secret=OTHER_SECRET) as peers:
            with pytest.raises(OwnerUnavailable) as caught:
                await call(peers.shard(one.address, "s", 3))
            assert not isinstance(caught.value, NotOwner)
            assert not shelf.asked
            assert not shelf.settled

    asyncio.run(run())


@pytest.mark.parametrize("call", [*CALLS[:1], *CALLS[2:]], ids=[*NAMES[:1], *NAMES[2:]])
def test_a_replica_that_hangs_is_unavailable_in_time_and_then_left_alone_for_a_while(
    call: Callable[[ShardCalls], Awaitable[object]],
) -> None:
    now = 1_000.0

    async def run() -> None:
        nonlocal now
        # Takes connections, as a stopped process does, and says nothing.
        with socket.create_server(("127.0.0.1", 0)) as hung:
            peers = Peers(SubscriptionSettings(peer_secret=OTHER_SECRET, peer_timeout_seconds=0.2), clock=lambda: now)
            await peers.start()
            remote = peers.shard("127.0.0.1:{}".format(*hung.getsockname()[1:]), "s", 3)
            async with asyncio.timeout(PATIENCE / 3):
                with pytest.raises(OwnerUnavailable) as caught:
                    await call(remote)
                assert not isinstance(caught.value, NotOwner), "it may have been done"
                with pytest.raises(NotOwner):
                    await call(remote)
                now += 1.0
                with pytest.raises(OwnerUnavailable) as caught:
                    await call(remote)
                assert not isinstance(caught.value, NotOwner), "it was asked again"
            await peers.close()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Something that is no replica: it gives the same answer to whatever is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield "127.0.0.1:{}".format(*server.sockets[0].getsockname()[1:])


def _answer(body: bytes, media: str = "application/json", status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


PROBLEM = "application/problem+json"
NONSENSE = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "half an answer": _answer(b'{"ready":true}')[:-3],
    "another media type": _answer(b"<html>hello</html>", "text/html"),
    "no JSON": _answer(b"{{"),
    "no object": _answer(b"[1]"),
    "other members": _answer(b'{"answer":42}'),
    "wrong types": _answer(b'{"ready":1,"outcomes":["fine"],"counts":{},"partitions":[],"trouble":null}'),
    "too few outcomes": _answer(b'{"outcomes":[]}'),
    "lines that are no events": _answer(b"{}\n\n{}", "application/x-ndjson"),
    "a redirect": _answer(b"", status="307 Elsewhere", extra="location: http://127.0.0.1:1/\r\n"),
    "a problem of nobody": _answer(b'{"code":"bad_gateway","detail":"x"}', PROBLEM, "502 Bad Gateway"),
    "a problem of ours that no shard has": _answer(b'{"code":"invalid_event","detail":"x"}', PROBLEM, "422 X"),
    "a problem that is none": _answer(b'{"code":7}', PROBLEM, "500 X"),
}


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_whatever_is_no_answer_of_a_replica_leaves_open_what_was_done(
    answer: bytes, call: Callable[[ShardCalls], Awaitable[object]]
) -> None:
    async def run() -> None:
        async with answering(answer) as address, connections() as peers:
            with pytest.raises(OwnerUnavailable) as caught:
                await call(peers.shard(address, "s", 3))
            assert not isinstance(caught.value, NotOwner)

    asyncio.run(run())


def test_an_answer_without_end_is_given_up() -> None:
    line = b"x" * 1_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(line)
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with (
            server,
            connections(max_receive_bytes=65_536, peer_timeout_seconds=60) as peers,
            asyncio.timeout(PATIENCE),
        ):
            with pytest.raises(OwnerUnavailable):
                await peers.shard("127.0.0.1:{}".format(*server.sockets[0].getsockname()[1:]), "s", 3).receive(ASK)

    asyncio.run(run())


def test_the_end_of_this_process_ends_its_waits() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with replica(Shelves({("s", 3): shelf})) as one:
            async with connections() as peers:
                waiting = asyncio.create_task(peers.shard(one.address, "s", 3).ready(PATIENCE))
                await shelf.until_waiting(1)
            with pytest.raises(ShuttingDown):
                await waiting
            await shelf.until_waiting(0)

    asyncio.run(run())


def test_an_owner_that_ends_says_so_to_those_who_wait_and_they_look_elsewhere() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with replica(Shelves({("s", 3): shelf})) as one, connections() as peers:
            waiting = asyncio.create_task(peers.shard(one.address, "s", 3).ready(PATIENCE))
            await shelf.until_waiting(1)
            await one.stop()
            with pytest.raises(NotOwner):
                await waiting

    asyncio.run(run())


def test_connections_need_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        Peers(SubscriptionSettings())
