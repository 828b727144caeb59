"""What consumers may rely on, whichever process answers them."""

import asyncio
import json
import socket
import time
from typing import Any

import pytest
from tests.broker import Broker
from tests.end_to_end.process import GatewayProcess
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import KEYS, Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed, subscribed

pytestmark = pytest.mark.broker

A_SECOND = 1.0


async def ready(one: Subscribed, number: int) -> None:
    """Wait until so many events can be handed out."""
    while sum(shard["counts"]["ready"] for shard in (await one.status())["shards"] if shard["counts"]) < number:
        await pause()


def lose_answer(member: GatewayProcess, one: Subscribed, **body: Any) -> None:
    """Ask for events, and end the connection when the answer is there but not read."""
    content = json.dumps(body).encode()
    head = (
        f"POST /v1{one.path}/receive HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEYS['care']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", member.port), 10) as connection:
        connection.sendall(head.encode() + content)
        assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"


def go_away(member: GatewayProcess, one: Subscribed) -> None:
    """Wait for events, and end the connection before there are any."""
    content = b'{"waitSeconds": 30, "leaseSeconds": 600}'
    head = (
        f"POST /v1{one.path}/receive HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEYS['care']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    in_flight = "eventbus_http_in_flight_requests"
    with socket.create_connection(("127.0.0.1", member.port), 10) as connection:
        connection.sendall(head.encode() + content)
        member.until(lambda: member.metric(in_flight) == 1, "the poll to wait")
    member.until(lambda: member.metric(in_flight) == 0, "the poll to end")


def test_events_of_a_lost_answer_come_again_after_their_lease_and_before_twice_of_it(replicas: Replicas) -> None:
    lease = 2.0

    async def lose(forwarded: bool) -> None:
        async with subscribed(replicas, partitions=1, parallelism=1) as one:
            ids = await one.publish(10)
            await ready(one, 10)
            owner = replicas.owner(one.id)
            others = [member for member in replicas.members if member is not owner]
            asked = time.monotonic()
            await asyncio.to_thread(lose_answer, others[0] if forwarded else owner, one, leaseSeconds=lease)
            answered = time.monotonic()
            events = await one.receive(waitSeconds=30)
            got = time.monotonic()
            assert [event["id"] for event in events] == ids
            assert {event["deliveryCount"] for event in events} == {2}
            assert got - asked >= lease
            assert got - answered < 2 * lease
            await one.ack(events)

    async def scenario() -> None:
        await asyncio.gather(lose(False), lose(True))

    asyncio.run(scenario())


def test_a_client_that_goes_away_while_it_waits_keeps_no_events_from_others(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            await asyncio.gather(*(asyncio.to_thread(go_away, member, one) for member in replicas.members))
            ids = await one.publish(30)
            began = time.monotonic()
            events = await one.receive_all(30)
            assert time.monotonic() - began < 10, "long before any lease"
            assert sorted(event["id"] for event in events) == sorted(ids)
            assert {event["deliveryCount"] for event in events} == {1}

    asyncio.run(scenario())


def test_several_clients_of_one_subscription_share_its_events(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            ids = await one.publish(300)
            await ready(one, 300)
            callers = [one.caller_of(member) for member in replicas.members]
            got = await asyncio.gather(*(one.receive(caller, maxEvents=100) for caller in callers))
            seen = [event["id"] for events in got for event in events]
            assert len(seen) == len(set(seen))
            assert all(events for events in got)
            rest = await one.receive_all(300 - len(seen)) if len(seen) < 300 else []
            assert sorted(seen + [event["id"] for event in rest]) == sorted(ids)

    asyncio.run(scenario())


def test_the_next_event_of_a_key_comes_with_the_receive_that_acks_the_one_before(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas, partitions=3, delivery={"type": "pull", "order": "key"}) as one:
            ids = await one.publish(20, keys=1)
            got: list[str] = []
            last: list[str] = []
            # Each is asked of another replica than the one before; two of three have to be asked over one hop.
            while len(got) < len(ids):
                document = await one.caller.ok("POST", f"{one.path}/receive", {"waitSeconds": 10, "ackTokens": last})
                assert document["acked"] == {"succeeded": len(last), "failed": []}
                (event,) = document["events"]
                assert event["deliveryCount"] == 1
                got.append(event["id"])
                last = [event["ackToken"]]
            assert got == ids

    asyncio.run(scenario())


def test_a_change_on_one_replica_is_seen_by_the_others_within_a_second(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            first, *others = [one.caller_of(member) for member in replicas.members]

            async def seen(name: str, value: Any) -> None:
                for other in others:
                    while (await other.ok("GET", one.path))[name] != value:
                        assert time.monotonic() - began < A_SECOND

            began = time.monotonic()
            about = await first.ok("PUT", f"{one.path}-new", {"topics": [one.topic]})
            for other in others:
                assert await other.ok("GET", f"{one.path}-new") == about
            assert time.monotonic() - began < A_SECOND

            spec = {"topics": [one.topic], "parallelism": 3, "delivery": {"type": "pull", "leaseSeconds": 77}}
            before = (await first.call("GET", one.path)).headers["etag"]
            began = time.monotonic()
            changed = await first.ok("PUT", one.path, spec, if_match=before)
            await seen("delivery", changed["delivery"])
            for other in others:
                assert await other.refused("PUT", one.path, spec, if_match=before) == (412, "precondition_failed")

            began = time.monotonic()
            await first.ok("POST", f"{one.path}/pause")
            await seen("paused", True)
            await one.publish(3)
            for other in others:
                assert await one.receive(other, waitSeconds=0) == []
            began = time.monotonic()
            await others[0].ok("POST", f"{one.path}/resume")
            assert len(await one.receive_all(3, waitSeconds=A_SECOND)) == 3

            began = time.monotonic()
            await others[0].ok("DELETE", one.path)
            for caller in (first, *others):
                while (answer := await caller.call("GET", one.path)).status != 404:
                    assert time.monotonic() - began < A_SECOND
                assert answer.json()["code"] == "unknown_subscription"

    asyncio.run(scenario())


def test_after_a_restart_of_everything_a_subscription_goes_on_and_tells_what_retention_took(victim: Broker) -> None:
    async def scenario(one: Subscribed) -> None:
        replicas = one.replicas
        published = await one.publish(100)
        events = await one.receive_all(40, leaseSeconds=600)
        assert [event["offset"] for event in events] == list(range(40))
        await one.ack([*events[:20], *events[30:35]])
        paused = await one.caller.ok("PUT", f"{one.path}-paused", {"topics": [one.topic], "filter": {"id": ["x"]}})
        await one.caller.ok("POST", f"{one.path}-paused/pause")
        before = [await one.caller.ok("GET", one.path), await one.caller.ok("GET", f"{one.path}-paused")]
        etag = (await one.caller.call("GET", one.path)).headers["etag"]
        assert before[1] == {**paused, "paused": True, "updatedAt": before[1]["updatedAt"]}

        await asyncio.to_thread(replicas.end_all)
        assert replicas.done(one.group, one.topic)[0] == (20, [(30, 35)]), "positions were committed at the end"
        victim.delete_records(one.topic, 0, 50)
        await asyncio.to_thread(replicas.restore, 1)

        caller = one.caller_of(*replicas.members)
        assert [await caller.ok("GET", one.path), await caller.ok("GET", f"{one.path}-paused")] == before
        assert (await caller.call("GET", one.path)).headers["etag"] == etag
        again = await one.receive(caller, maxEvents=50)
        while len(again) < 50:
            again += await one.receive(caller, maxEvents=50 - len(again))
        assert [event["id"] for event in again] == published[50:]
        await one.ack(again, caller)
        assert await one.receive(caller, waitSeconds=0) == []
        status = await caller.ok("GET", f"{one.path}/status")
        [place] = status["shards"][0]["partitions"]
        assert place["lost"] == {"from": 20, "until": 50}
        assert (status["lag"], place["watermark"], place["unacked"]) == (0, 100, 0)

    async def go() -> None:
        with Replicas(victim, 1) as replicas:
            async with subscribed(replicas, partitions=1, parallelism=1) as one:
                await scenario(one)

    asyncio.run(go())
