"""The internal port answers other replicas, and nobody else."""

import asyncio
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import aiohttp
import orjson
import pytest
from tests.peering import (
    OTHER_SECRET,
    PATIENCE,
    SECRET,
    Replica,
    Shelf,
    Shelves,
    connections,
    event,
    references,
    replica,
)

from eventbus_gateway.auth.keys import new_key
from eventbus_gateway.errors import Overloaded
from eventbus_gateway.subscriptions.calls import Ask, Settling, Verb
from eventbus_gateway.subscriptions.peer_wire import ask_to_bytes, credential, settling_to_bytes

RECEIVE = "/internal/v1/shards/s/0/receive"
PATHS = [f"/internal/v1/shards/s/0/{call}" for call in ("receive", "ready", "settle", "status")]
KNOWN = {"authorization": credential(SECRET)}
BODY = ask_to_bytes(Ask(10, 1_000, None))


class Told(NamedTuple):
    """An answer."""

    status: int
    body: bytes

    @property
    def code(self) -> object:
        return orjson.loads(self.body)["code"]


async def post(one: Replica, path: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Told:
    given = {"content-type": "application/json", **(KNOWN if headers is None else headers)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{one.address}{path}", data=BytesIO(body), headers=given) as answer,
    ):
        return Told(answer.status, await answer.read())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {SECRET.get_secret_value()}"},
        {"authorization": credential(OTHER_SECRET)},
        {"authorization": credential(SECRET)[:-1]},
        {"authorization": credential(SECRET) + "0"},
        {"authorization": credential(SECRET).removeprefix("Bearer ")},
        {"authorization": "Bearer \u00fc"},
        {"authorization": f"Bearer {new_key().decode()}"},
        {"x-api-key": credential(SECRET)},
    ],
    ids=[
        "none",
        "empty",
        "no token",
        "the secret",
        "other",
        "shorter",
        "longer",
        "no scheme",
        "latin",
        "an API key",
        "elsewhere",
    ],
)
def test_whoever_cannot_prove_to_be_a_replica_is_refused(path: str, headers: Mapping[str, str]) -> None:
    async def run() -> None:
        shelf = Shelf(b"{}")
        async with replica(Shelves({("s", 0): shelf})) as one:
            answer = await post(one, path, BODY, headers)
            assert (answer.status, answer.code) == (401, "unauthenticated")
            assert not shelf.asked
            assert not shelf.settled
            assert SECRET.get_secret_value().encode() not in answer.body

    asyncio.run(run())


@pytest.mark.parametrize("path", PATHS)
def test_a_replica_without_a_secret_refuses_everybody(path: str) -> None:
    async def run() -> None:
        async with replica(Shelves({("s", 0): Shelf(b"{}")}), secret=None) as one:
            for headers in (KNOWN, {}, {"authorization": "Bearer "}):
                assert (await post(one, path, BODY, headers)).status == 401

    asyncio.run(run())


def test_probes_need_no_secret() -> None:
    async def run() -> None:
        async with replica() as one, aiohttp.ClientSession() as session:
            for path in ("/livez", "/readyz", "/metrics"):
                async with session.get(f"http://{one.address}{path}") as answer:
                    assert answer.status == 200

    asyncio.run(run())


BAD_BODIES = {
    "receive": [b"", b"[]", b'{"max_events":1}', b'{"max_events":0,"max_bytes":1,"lease_seconds":null}'],
    "ready": [b"{", b'{"seconds":"1"}', b"{}"],
    "attempts": [b"{}", b'{"limit":"1"}', b"7"],
    "settle": [
        b"{}",
        b'{"verb":"eat","tokens":[],"seconds":0,"reason":""}',
        b'{"verb":"ack","tokens":["x"],"seconds":0,"reason":""}',
        b'{"verb":"ack","tokens":[7],"seconds":0,"reason":""}',
        b'{"verb":["ack"],"tokens":[],"seconds":0,"reason":""}',
        b'{"verb":"ack","tokens":[],"seconds":"0","reason":""}',
    ],
}


@pytest.mark.parametrize("call", BAD_BODIES)
def test_a_body_that_is_not_understood_is_refused_and_does_nothing(call: str) -> None:
    async def run() -> None:
        shelf = Shelf(b"{}")
        async with replica(Shelves({("s", 0): shelf})) as one:
            for body in BAD_BODIES[call]:
                answer = await post(one, f"/internal/v1/shards/s/0/{call}", body)
                assert (answer.status, answer.code) == (400, "invalid_parameter"), body
            assert not shelf.asked
            assert not shelf.settled

    asyncio.run(run())


def test_members_that_a_later_version_has_are_passed_over() -> None:
    async def run() -> None:
        shelf = Shelf(event(1))
        async with replica(Shelves({("s", 0): shelf})) as one:
            body = orjson.dumps({"max_events": 1, "max_bytes": 1, "lease_seconds": 2.0, "colour": "blue"})
            assert await post(one, RECEIVE, body) == Told(200, event(1))
            assert shelf.asked == [Ask(1, 1, 2.0)]

    asyncio.run(run())


def test_a_body_beyond_the_bound_is_refused_unread() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with replica(Shelves({("s", 0): shelf})) as one:
            too_many = references([0] * 20_000)
            settling = Settling(Verb.ACK, too_many)
            answer = await post(one, PATHS[2], settling_to_bytes(settling) + b" " * 300_000)
            assert (answer.status, answer.code) == (413, "body_too_large")
            # As many as one answer can have handed out fit.
            most = settling._replace(references=too_many[:10_000])
            assert (await post(one, PATHS[2], settling_to_bytes(most))).status == 200
            assert shelf.settled == [most]

    asyncio.run(run())


@pytest.mark.parametrize("shard", ["1", "x", "-0", "99999", "999999999999999999999", "%C2%B2"])
def test_a_shard_that_is_not_served_here_has_another_owner_or_is_none(shard: str) -> None:
    async def run() -> None:
        async with replica(Shelves({("s", 0): Shelf()})) as one:
            answer = await post(one, f"/internal/v1/shards/s/{shard}/status")
            known = shard in {"1", "99999"}
            assert (answer.status, answer.code) == ((503, "not_owner") if known else (400, "invalid_parameter"))

    asyncio.run(run())


def test_a_wait_ends_when_its_caller_goes_away() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with replica(Shelves({("s", 0): shelf})) as one:
            call = asyncio.create_task(post(one, PATHS[1], b'{"seconds":60}'))
            await shelf.until_waiting(1)
            call.cancel()
            await shelf.until_waiting(0)

    asyncio.run(run())


def test_waits_end_with_the_process_and_new_ones_do_not_begin() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with replica(Shelves({("s", 0): shelf})) as one:
            call = asyncio.create_task(post(one, PATHS[1], b'{"seconds":60}'))
            await shelf.until_waiting(1)
            one.drain.begin()
            answer = await call
            assert (answer.status, answer.code) == (503, "not_owner")
            await shelf.until_waiting(0)
            async with asyncio.timeout(PATIENCE / 3):
                assert (await post(one, PATHS[1], b'{"seconds":60}')).code == "not_owner"
            # What is served until the shards are given back.
            assert (await post(one, PATHS[1], b'{"seconds":0}')).body == b'{"ready":false}'
            assert (await post(one, RECEIVE, BODY)).status == 200

    asyncio.run(run())


def test_requests_beyond_the_bound_are_refused_and_probes_are_not() -> None:
    async def run() -> None:
        shelf = Shelf()
        async with (
            replica(Shelves({("s", 0): shelf}), max_requests=2) as one,
            connections() as peers,
            aiohttp.ClientSession() as session,
        ):
            calls = [asyncio.create_task(post(one, PATHS[1], b'{"seconds":60}')) for _ in range(2)]
            await shelf.until_waiting(2)
            with pytest.raises(Overloaded):
                await peers.shard(one.address, "s", 0).status()
            async with session.get(f"http://{one.address}/livez") as answer:
                assert answer.status == 200
            shelf.put(event(1))
            assert {(await call).body for call in calls} == {b'{"ready":true}'}
            assert one.routes.requests == 0
            await peers.shard(one.address, "s", 0).status()

    asyncio.run(run())
