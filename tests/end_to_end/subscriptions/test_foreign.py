"""What is foreign, stale or made up is refused, reveals nothing and moves nothing."""

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.consuming import Caller, pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed, subscribed

pytestmark = pytest.mark.broker

Events = list[dict[str, Any]]

HIDDEN = (404, "unknown_subscription")
LOST = (410, "lease_lost")
FORBIDDEN = (403, "forbidden")


def tokens_of(events: Events) -> list[str]:
    return [event["ackToken"] for event in events]


def with_leases(replicas: Replicas, attempt: Callable[[Subscribed, Events], Awaitable[None]]) -> None:
    """Try something while a consumer has leased all events: afterwards it still has them, and can ack them."""

    async def scenario() -> None:
        async with subscribed(replicas) as one:
            await one.publish(30)
            events = await one.receive_all(30, leaseSeconds=600)
            await attempt(one, events)
            status = await one.status()
            assert sum(shard["counts"]["leased"] for shard in status["shards"]) == 30
            assert await one.receive(waitSeconds=0) == []
            await one.ack(events)

    asyncio.run(scenario())


def test_another_principal_finds_no_such_subscription_and_settles_nothing_with_its_tokens(replicas: Replicas) -> None:
    async def attempt(one: Subscribed, events: Events) -> None:
        async with subscribed(replicas, owner="billing") as theirs:
            stranger, body = theirs.caller, {"ackTokens": tokens_of(events)}
            bodies: dict[str, Any] = {
                "ack": body,
                "release": body,
                "extend": {**body, "leaseSeconds": 1},
                "reject": body,
            }
            for verb, each in bodies.items():
                assert await stranger.refused("POST", f"{one.path}/{verb}", each) == HIDDEN
                # As if they were tokens of a subscription of their own.
                assert await stranger.refused("POST", f"{theirs.path}/{verb}", each) == LOST
            for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/status"), ("GET", "/dead-letters")):
                assert await stranger.refused(method, one.path + below) == HIDDEN
            for below in ("receive", "pause", "resume", "redrive"):
                assert await stranger.refused("POST", f"{one.path}/{below}") == HIDDEN
            assert await stranger.refused("POST", f"{one.path}/seek", {"to": "latest"}) == HIDDEN
            assert await stranger.refused("GET", f"{one.path}-that-nobody-has") == HIDDEN
            listed = (await stranger.ok("GET", "/subscriptions"))["subscriptions"]
            assert [about["name"] for about in listed] == [theirs.name]

    with_leases(replicas, attempt)


def test_without_a_key_nothing_is_answered(replicas: Replicas) -> None:
    async def attempt(one: Subscribed, events: Events) -> None:
        nobody = Caller(replicas.members)
        body = {"ackTokens": tokens_of(events)}
        assert await nobody.refused("POST", f"{one.path}/ack", body) == (401, "unauthenticated")
        assert await nobody.refused("GET", one.path) == (401, "unauthenticated")
        nobody.close()

    with_leases(replicas, attempt)


def test_a_made_up_token_settles_nothing(replicas: Replicas) -> None:
    async def attempt(one: Subscribed, events: Events) -> None:
        token, path = events[0]["ackToken"], f"{one.path}/ack"
        for text in ("", "x", token[:-1], token + "A", "!" * 40, secrets.token_urlsafe(30)):
            assert await one.caller.refused("POST", path, {"ackTokens": [text]}) == (400, "invalid_ack_token")
        raw = base64.urlsafe_b64decode(token)
        of_another_state = base64.urlsafe_b64encode(raw[:4] + secrets.token_bytes(8) + raw[12:]).decode()
        assert await one.caller.refused("POST", path, {"ackTokens": [of_another_state]}) == LOST
        of_another_shard = base64.urlsafe_b64encode(raw[:2] + b"\xff\xff" + raw[4:]).decode()
        assert await one.caller.refused("POST", path, {"ackTokens": [of_another_shard]}) == LOST
        of_an_event_to_come = base64.urlsafe_b64encode(raw[:18] + bytes([0, 0, 0, 1]) + raw[22:]).decode()
        refusal = await one.caller.refused("POST", path, {"ackTokens": [of_an_event_to_come]})
        assert refusal == (400, "invalid_ack_token")
        body = {"ackTokens": [token, "x"], "leaseSeconds": 600}
        mixed = await one.caller.ok("POST", f"{one.path}/extend", body)
        assert mixed["succeeded"] == 1
        assert [(each["index"], each["code"]) for each in mixed["failed"]] == [(1, "invalid_ack_token")]

    with_leases(replicas, attempt)


def test_a_token_is_stale_after_a_seek_and_an_ack_may_be_repeated(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            ids = await one.publish(30)
            before = await one.receive_all(30, leaseSeconds=600)
            await one.ack(before[:10])
            await one.caller.ok("POST", f"{one.path}/seek", {"to": "earliest"})
            body, deadline = {"ackTokens": tokens_of(before[10:])}, time.monotonic() + PATIENCE
            # Until its owner has heard of the seek, it acks what nobody reads any more.
            while (answer := await one.caller.call("POST", f"{one.path}/ack", body)).status == 200:
                assert time.monotonic() < deadline
                await pause()
            assert (answer.status, answer.json()["code"]) == LOST
            after = await one.receive_all(30)
            assert sorted(event["id"] for event in after) == sorted(ids)
            for _ in range(2):
                await one.ack(after)

    asyncio.run(scenario())


def test_a_cursor_gives_nobody_what_they_may_not_read_and_one_that_is_damaged_is_refused(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one, subscribed(replicas, owner="billing") as theirs:
            await one.publish(30)
            await theirs.publish(30)
            read, bad = f"/topics/{one.topic}/events?limit=5", (400, "invalid_cursor")
            cursor = (await one.caller.ok("GET", f"{read}&from=earliest"))["cursor"]
            assert (await one.caller.ok("GET", f"{read}&cursor={cursor}"))["events"]
            assert await theirs.caller.refused("GET", f"{read}&cursor={cursor}") == FORBIDDEN
            assert await theirs.caller.refused("GET", f"{read}&from=earliest") == FORBIDDEN, "it makes no difference"
            assert await theirs.caller.refused("GET", f"/topics/{theirs.topic}/events?cursor={cursor}") == bad
            for text in ("x", cursor[:-2], cursor[::-1], secrets.token_urlsafe(40)):
                assert await one.caller.refused("GET", f"{read}&cursor={text}") == bad

    asyncio.run(scenario())
