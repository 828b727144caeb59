"""Three processes serve a subscription together: whoever asks, and whatever happens to one of them."""

import asyncio
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from tests.end_to_end.process import GatewayProcess
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import SESSION, Done, Replicas
from tests.end_to_end.subscriptions.subscribing import Reading, Subscribed, publishing, reading, subscribed

pytestmark = pytest.mark.broker

LEASE = 3
PATIENCE = 2.0
"""Seconds after which consumers turn to another process."""


class Loss:
    """What is known just before a process is lost.

    Args:
        shards: what it serves.
        done: what was committed; only more can be at the time of the loss.
        handed_out: ids of what consumers have had.
        held: events that somebody keeps.
    """

    def __init__(
        self, shards: set[int], done: Mapping[int, Done], handed_out: set[str], held: list[dict[str, Any]]
    ) -> None:
        self.held = held
        self._shards = shards
        self._done = done
        self._handed_out = handed_out

    def check(self, one: Subscribed, work: Reading) -> int:
        """Nothing came again but open leases, and what the process had not committed as acked; how much that was."""
        repeated = work.books.repeated()
        for *earlier, _ in repeated.values():
            for delivery in earlier:
                if delivery.token not in work.books.acked:
                    continue
                assert one.shard(delivery.partition) in self._shards, delivery
                assert not self._done[delivery.partition].has(delivery.offset), delivery
                assert delivery.id in self._handed_out, delivery
        return len(repeated)


async def about_to_lose(one: Subscribed, work: Reading, member: GatewayProcess) -> Loss:
    """Lease something of what a process serves, for much longer than it will live, and see how far everything is."""
    shards = await asyncio.to_thread(one.replicas.shards_of, member, one.id, one.parallelism)
    assert shards, "the process matters to the subscription"
    held: list[dict[str, Any]] = []
    while not held:
        asked = time.monotonic()
        events = await one.receive(maxEvents=20, leaseSeconds=600)
        work.books.received(events, asked)
        held = [event for event in events if one.shard(event["partition"]) in shards]
        if elsewhere := [event for event in events if event not in held]:
            work.books.acking(event["ackToken"] for event in elsewhere)
            await one.ack(elsewhere)
    done = await asyncio.to_thread(one.replicas.done, one.group, one.topic)
    return Loss(shards, done, set(work.books.deliveries), held)


def others(replicas: Replicas, member: GatewayProcess) -> list[GatewayProcess]:
    """All processes but one."""
    return [other for other in replicas.members if other is not member]


def until_polled(member: GatewayProcess) -> None:
    """Wait until a process has a request in hand."""
    member.until(lambda: member.metric("eventbus_http_in_flight_requests") == 1, "the poll to wait")


async def committed(one: Subscribed, number: int) -> None:
    """Wait until so many events are committed as done."""
    while True:
        done = await asyncio.to_thread(one.replicas.done, one.group, one.topic)
        if sum(each.below for each in done.values()) >= number:
            return
        await pause()


def test_a_round_robin_client_reads_a_subscription_to_its_end_and_each_event_once(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            ids = await one.publish(3_000)
            async with reading(one) as work:
                await work.finish()
            assert work.books.deliveries.keys() == set(ids)
            assert work.books.repeated() == {}
            assert work.books.refusals == {}
            assert {delivery.deliveries for each in work.books.deliveries.values() for delivery in each} == {1}
            for caller in work.callers:
                assert set(caller.statuses) == {200}
                assert all(port != following for port, following in pairwise(caller.asked))
                assert len(set(caller.asked)) == 3

    asyncio.run(scenario())


def test_at_sigterm_polls_end_well_and_the_others_take_over_without_waiting_for_the_session(
    replicas: Replicas,
) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one, subscribed(replicas) as quiet:
            await one.publish(60)
            ended = replicas.owner(one.id)
            shards = replicas.shards_of(ended, one.id, one.parallelism)
            events = await one.receive_all(60, leaseSeconds=600)
            mine = [event for event in events if one.shard(event["partition"]) in shards]
            acked, kept = mine[::2], mine[1::2]
            await one.ack(acked)
            assert kept
            here, *there = [quiet.caller_of(ended), *map(quiet.caller_of, others(replicas, ended))]
            polls = [asyncio.create_task(quiet.receive(caller, waitSeconds=30)) for caller in (here, *there)]
            for member in replicas.members:
                await asyncio.to_thread(until_polled, member)

            began = time.monotonic()
            ended.sigterm()
            assert await polls[0] == []
            assert time.monotonic() - began < 0.5 * SESSION
            successor = one.caller_of(*others(replicas, ended))
            again: list[dict[str, Any]] = []
            while len(again) < len(kept):
                again += await one.receive(successor, waitSeconds=SESSION)
            assert time.monotonic() - began < 0.75 * SESSION
            assert sorted(event["id"] for event in again) == sorted(event["id"] for event in kept)
            refusal = await successor.refused("POST", f"{one.path}/ack", {"ackTokens": [kept[0]["ackToken"]]})
            assert refusal == (410, "lease_lost")
            await one.ack(again, successor)

            assert not any(poll.done() for poll in polls[1:]), "polls elsewhere go on"
            [published] = await quiet.publish(1, successor)
            got, _ = await asyncio.wait(polls[1:], return_when=asyncio.FIRST_COMPLETED)
            [event] = [event for poll in got for event in poll.result()]
            assert event["id"] == published
            for poll in polls[1:]:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)
            assert ended.ended() == 0
            assert await one.receive(successor, waitSeconds=0) == [], "what was acked does not come again"

    asyncio.run(scenario())


def test_a_process_that_is_added_takes_its_part_over_and_nothing_acked_comes_again(pair: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(pair) as one, reading(one) as work:
            before = await asyncio.to_thread(pair.owners)
            async with publishing(one, work):
                await work.more_acked(500)
                [added] = await asyncio.to_thread(pair.add)
                assert await asyncio.to_thread(pair.owners) != before
                assert await asyncio.to_thread(pair.shards_of, added, one.id, one.parallelism)
                await work.more_acked(500)
            await work.finish()
            work.books.check_acked_stay_away()
            refused = [token for token, code in work.books.refusals.items() if code == "lease_lost"]
            assert refused == list(work.books.refusals), work.books.refusals
            for deliveries in work.books.repeated().values():
                assert deliveries[0].token in refused, "only what was leased when its shard moved came again"
            for caller in work.callers:
                assert set(caller.statuses) <= {200, 410}

    asyncio.run(scenario())


def test_consumers_behind_a_load_balancer_see_no_error_when_a_process_ends(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one, reading(one) as work:
            ended = replicas.owner(one.id)
            async with publishing(one, work, *others(replicas, ended)):
                await work.more_acked(500)
                ended.sigterm()
                await asyncio.to_thread(ended.ended)
                await work.more_acked(500)
            one.caller = one.caller_of(*others(replicas, ended))
            await work.finish()
            work.books.check_acked_stay_away()
            for caller in work.callers:
                assert set(caller.statuses) <= {200, 410}, caller.statuses

    asyncio.run(scenario())


def test_when_a_process_is_killed_only_what_it_had_not_committed_comes_again_and_keys_keep_their_order(
    replicas: Replicas,
) -> None:
    async def scenario() -> None:
        async with subscribed(replicas, delivery={"type": "pull", "order": "key"}) as one:
            await one.publish(1_500)
            victim = replicas.owner(one.id)
            async with reading(one, patience=PATIENCE, leaseSeconds=LEASE) as work:
                await work.more_acked(1_500)
                await committed(one, 1_500)
                one.caller = one.caller_of(*others(replicas, victim))
                async with publishing(one, work, *others(replicas, victim)):
                    loss = await about_to_lose(one, work, victim)
                    victim.kill()
                    await work.more_acked(500)
                await work.finish()
            assert loss.check(one, work) > 0
            work.books.check_order()

    asyncio.run(scenario())


def test_a_process_that_hung_for_longer_than_its_session_spoils_nothing_when_it_goes_on(replicas: Replicas) -> None:
    async def scenario() -> None:
        async with subscribed(replicas) as one:
            await one.publish(1_500)
            hung = replicas.owner(one.id)
            async with reading(one, patience=PATIENCE, leaseSeconds=LEASE) as work:
                await work.more_acked(1_500)
                await committed(one, 1_500)
                one.caller = one.caller_of(*others(replicas, hung))
                async with publishing(one, work, *others(replicas, hung)):
                    loss = await about_to_lose(one, work, hung)
                    hung.stop()
                    try:
                        await asyncio.to_thread(replicas.wait_shared, *others(replicas, hung))
                        await work.more_acked(500)
                    finally:
                        hung.cont()
                    stale = {"ackTokens": [event["ackToken"] for event in loss.held]}
                    caller, path = one.caller_of(hung), f"{one.path}/ack"
                    # The slot may be about to move again, since its former owner is back.
                    while (refusal := await caller.refused("POST", path, stale)) == (503, "owner_unavailable"):
                        await pause()
                    assert refusal == (410, "lease_lost"), "the others have it by now"
                    await work.more_acked(500)
                    await asyncio.to_thread(replicas.wait_shared)
                    await work.more_acked(500)
                await work.finish()
            assert loss.check(one, work) > 0

    asyncio.run(scenario())
