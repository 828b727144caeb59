"""Any replica answers any request, while the shards are anywhere and move."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from tests.peering import (
    PATIENCE,
    STATUS,
    Replica,
    Shelf,
    Shelves,
    connections,
    event,
    references,
    references_in,
    replica,
)

from eventbus_gateway.errors import KafkaUnavailable, NotOwner, OwnerUnavailable, PositionsUnavailable
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, Settling, Verb
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.names import slot_of
from eventbus_gateway.subscriptions.peers import Peers
from eventbus_gateway.subscriptions.references import References, understood
from eventbus_gateway.subscriptions.resource import Subscription, created
from eventbus_gateway.subscriptions.routing import Routing
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.tokens import Reference

SLOTS = 64
HERE = "here:8081"
ASK = Ask(10, 1_000_000, None)


class Directory:
    """Who serves which slot, as somebody says."""

    def __init__(self) -> None:
        self.addresses: dict[int, str] = {}
        self.waiting = 0
        """How many wait for a change."""
        self._changed = asyncio.Event()

    def say(self, subscription: Subscription, shard: int, address: str) -> None:
        self.addresses[slot_of(subscription.id, shard, SLOTS)] = address
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def address_of(self, slot: int) -> str | None:
        return self.addresses.get(slot)

    def is_own(self, address: str) -> bool:
        return address == HERE

    async def wait_change(self) -> None:
        self.waiting += 1
        try:
            await self._changed.wait()
        finally:
            self.waiting -= 1


class Scene:
    """One replica that is asked, and another one that serves shards too.

    Args:
        subscription: whose shards.
        here: what the first one serves.
        there: what the other one serves.
        other: the other one.
        peers: connections of the first one.
        patience: how long a request looks for an owner.
    """

    def __init__(
        self, subscription: Subscription, here: Shelves, there: Shelves, other: Replica, peers: Peers, patience: float
    ) -> None:
        self.subscription = subscription
        self.here = here
        self.there = there
        self.other = other
        self.peers = peers
        self.directory = Directory()
        self.routing = Routing(here, self.directory, peers, SLOTS, patience_seconds=patience)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def serve_here(self, shard: int, *events: bytes) -> Shelf:
        """Open a shard at the replica that is asked."""
        shelf = self.here.shelves[self.subscription.id, shard] = Shelf(*events)
        self.directory.say(self.subscription, shard, HERE)
        return shelf

    def serve_there(self, shard: int, *events: bytes) -> Shelf:
        """Open a shard at the other replica."""
        shelf = self.there.shelves[self.subscription.id, shard] = Shelf(*events)
        self.directory.say(self.subscription, shard, self.other.address)
        return shelf

    async def receive(self, wait_seconds: float = 0.0, ask: Ask = ASK) -> list[bytes]:
        return await self.received(self.subscription, ask, wait_seconds)

    async def received(self, subscription: Subscription, ask: Ask, wait_seconds: float) -> list[bytes]:
        """What is at hand, else what comes while somebody waits; see ``api.receive``."""
        gathering = self.routing.gathering(subscription, ask)
        found = HandedOut([], []) if self.ended.done() else await gathering.at_hand()
        if not found.events:
            found = await gathering.waited(wait_seconds, self.ended)
        named = understood(found.ack_tokens, len(found.events))
        assert named is not None
        assert list(named.references) == references_in(found.events), "the tokens stand for all events"
        return found.events


def subscription(parallelism: int) -> Subscription:
    return created("team", "orders", Spec(topics=("orders",), parallelism=parallelism), 0)


@contextlib.asynccontextmanager
async def scene(parallelism: int, patience: float = PATIENCE, **settings: Any) -> AsyncIterator[Scene]:
    there = Shelves()
    async with replica(there) as other, connections(**settings) as peers:
        yield Scene(subscription(parallelism), Shelves(), there, other, peers, patience)


def events(numbers: Iterable[int]) -> list[bytes]:
    return list(map(event, numbers))


# Receiving.


def test_events_of_all_shards_come_together_wherever_they_are_served() -> None:
    async def run() -> None:
        async with scene(4) as on:
            on.serve_here(0, *events(range(3)))
            on.serve_there(1, *events(range(10, 13)))
            on.serve_here(2)
            on.serve_there(3, *events(range(30, 33)))
            assert sorted(await on.receive()) == sorted(events([*range(3), *range(10, 13), *range(30, 33)]))
            assert await on.receive() == []

    asyncio.run(run())


def test_an_answer_keeps_its_bounds_over_all_shards() -> None:
    async def run() -> None:
        async with scene(2) as on:
            shelves = [on.serve_here(0, *events(range(10))), on.serve_there(1, *events(range(10)))]
            assert len(await on.receive(ask=Ask(14, 1_000_000, 7.0))) == 14
            assert len(await on.receive(ask=Ask(14, 1_000_000, 7.0))) == 6
            for shelf in shelves:
                shelf.put(*events(range(10)))
            few = await on.receive(ask=Ask(100, 250, 7.0))
            assert 250 <= sum(map(len, few)) < 250 + len(few[0])
            assert {ask.lease_seconds for shelf in shelves for ask in shelf.asked} == {7.0}

    asyncio.run(run())


def test_no_shard_is_left_waiting_because_others_have_plenty() -> None:
    async def run() -> None:
        async with scene(4) as on:
            for shard in range(4):
                on.serve_here(shard, *events([shard] * 200))
            other, one = subscription(4), Ask(1, 1_000, None)
            for shard in range(4):
                on.here.shelves[other.id, shard] = Shelf(*events([shard] * 200))
            firsts = []
            for _ in range(200):
                firsts += await on.receive(ask=one)
                # Somebody else's receive in between, in step with it.
                await on.received(other, one, 0.0)
            # Of 200 fair choices among four, fewer than ten for one of them come once in 10**14 times.
            assert all(firsts.count(event) >= 10 for event in events(range(4)))

    asyncio.run(run())


@pytest.mark.parametrize("shard", [0, 1])
def test_the_first_shard_with_an_event_ends_the_wait(shard: int) -> None:
    async def run() -> None:
        async with scene(2) as on:
            shelves = [on.serve_here(0), on.serve_there(1)]
            receiving = asyncio.create_task(on.receive(PATIENCE))
            for shelf in shelves:
                await shelf.until_waiting(1)
            shelves[shard].put(*events([7]))
            assert await receiving == events([7])
            for shelf in shelves:
                await shelf.until_waiting(0)

    asyncio.run(run())


def test_whoever_was_too_late_for_an_event_goes_on_waiting() -> None:
    async def run() -> None:
        async with scene(2) as on:
            shelf = on.serve_here(0)
            other = on.serve_there(1)
            one = Ask(1, 1_000, None)
            waits = [asyncio.create_task(on.receive(PATIENCE, one)) for _ in range(20)]
            await shelf.until_waiting(20)
            await other.until_waiting(1)
            shelf.put(*events([1]))
            done, pending = await asyncio.wait(waits, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result() for task in done] == [events([1])]
            await shelf.until_waiting(19)
            other.put(*events(range(2, 21)))
            found = [event for task in asyncio.as_completed(pending) for event in await task]
            assert sorted(found) == sorted(events(range(2, 21)))

    asyncio.run(run())


def test_a_wait_that_is_over_gives_an_empty_answer() -> None:
    async def run() -> None:
        async with scene(3) as on:
            for shard in range(2):
                on.serve_here(shard)
            on.serve_there(2)
            assert await on.receive(0.05) == []

    asyncio.run(run())


def test_the_end_of_the_caller_or_of_the_process_ends_the_wait_at_once_and_everywhere() -> None:
    async def run() -> None:
        async with scene(3) as on:
            shelves = [on.serve_here(0), on.serve_there(1)]
            receiving = asyncio.create_task(on.receive(PATIENCE))  # nobody serves the third
            for shelf in shelves:
                await shelf.until_waiting(1)
            on.ended.set_result(None)
            assert await receiving == []
            for shelf in shelves:
                await shelf.until_waiting(0)
            assert await on.receive(PATIENCE) == [], "and nothing is leased for nobody"
            shelves[0].put(*events([1]))
            assert await on.receive(PATIENCE) == []
            assert shelves[0].events == events([1])

    asyncio.run(run())


# Shards that move.


def test_an_owner_that_is_not_known_yet_is_waited_for_even_without_a_wait() -> None:
    async def run() -> None:
        async with scene(1) as on:
            receiving = asyncio.create_task(on.receive(0.0))
            await asyncio.wait([receiving], timeout=0.05)
            assert not receiving.done()
            on.serve_there(0, *events([1]))
            assert await receiving == events([1])

    asyncio.run(run())


def test_an_owner_that_was_found_late_and_has_nothing_gives_an_empty_answer() -> None:
    async def run() -> None:
        async with scene(2) as on:
            on.serve_here(0)
            receiving = asyncio.create_task(on.receive(0.0))
            await asyncio.wait([receiving], timeout=0.05)
            on.serve_there(1)
            assert await receiving == []

    asyncio.run(run())


def test_a_shard_that_this_process_still_opens_is_waited_for() -> None:
    async def run() -> None:
        async with scene(1) as on:
            on.directory.say(on.subscription, 0, HERE)
            receiving = asyncio.create_task(on.receive(0.0))
            await asyncio.wait([receiving], timeout=0.05)
            on.here.shelves[on.subscription.id, 0] = Shelf(*events([1]))
            assert await receiving == events([1])

    asyncio.run(run())


def test_a_shard_that_moves_while_it_is_waited_for_is_followed() -> None:
    async def run() -> None:
        async with scene(1) as on:
            before = on.serve_here(0)
            receiving = asyncio.create_task(on.receive(PATIENCE))
            await before.until_waiting(1)
            del on.here.shelves[on.subscription.id, 0]
            before.disown()
            after = on.serve_there(0)
            await after.until_waiting(1)
            del on.there.shelves[on.subscription.id, 0]
            after.disown()
            again = on.serve_here(0)
            await again.until_waiting(1)
            again.put(*events([1]))
            assert await receiving == events([1])

    asyncio.run(run())


def test_an_owner_that_hangs_is_left_as_soon_as_another_one_is_known() -> None:
    async def run() -> None:
        async with scene(1) as on, replica() as other:
            hung = on.serve_there(0)
            receiving = asyncio.create_task(on.receive(PATIENCE))
            await hung.until_waiting(1)
            # The former owner says nothing at all of what has happened.
            shelf = other.shelves.shelves[on.subscription.id, 0] = Shelf(*events([1]))
            on.directory.say(on.subscription, 0, other.address)
            async with asyncio.timeout(PATIENCE / 6):
                assert await receiving == events([1])
            assert len(shelf.asked) == 1
            await hung.until_waiting(0)

    asyncio.run(run())


def test_nothing_waits_for_owners_to_change_when_a_receive_is_over() -> None:
    async def run() -> None:
        async with scene(3) as on:
            shelf, *others = [on.serve_there(shard) for shard in range(3)]
            for number in range(3):
                receiving = asyncio.create_task(on.receive(PATIENCE))
                for each in (shelf, *others):
                    await each.until_waiting(1)
                assert on.directory.waiting == 3
                shelf.put(*events([number]))
                assert await receiving == events([number])
                assert on.directory.waiting == 0

    asyncio.run(run())


def test_an_owner_that_is_gone_is_replaced_by_the_next_one() -> None:
    async def run() -> None:
        async with scene(1) as on:
            on.serve_there(0, *events([1]))
            await on.other.stop()
            receiving = asyncio.create_task(on.receive(0.0))
            settling = asyncio.create_task(on.routing.settle(on.subscription, Settling(Verb.ACK, references([0]))))
            status = asyncio.create_task(on.routing.status(on.subscription))
            await asyncio.wait([receiving], timeout=0.05)
            on.serve_here(0, *events([2]))
            assert await receiving == events([2])
            assert await settling == [Outcome.OK]
            assert await status == [STATUS]

    asyncio.run(run())


def test_a_shard_without_owner_is_unavailable_in_time() -> None:
    async def run() -> None:
        async with scene(2, patience=0.1) as on:
            on.serve_here(0)
            for wait in (0.0, 0.2):
                with pytest.raises(OwnerUnavailable) as caught:
                    await on.receive(wait)
                assert not isinstance(caught.value, NotOwner)
                assert caught.value.retry_after is not None
            fine, lost = await on.routing.status(on.subscription)
            assert fine == STATUS
            assert type(lost) is OwnerUnavailable
            unsaid, said = await on.routing.settle(on.subscription, Settling(Verb.ACK, references([1, 0])))
            assert type(unsaid) is OwnerUnavailable
            assert said is Outcome.OK

    asyncio.run(run())


def test_a_shard_without_owner_keeps_no_events_of_others_back() -> None:
    async def run() -> None:
        async with scene(2) as on:
            shelf = on.serve_there(0, *events([1]))
            assert await on.receive(PATIENCE) == events([1])
            receiving = asyncio.create_task(on.receive(PATIENCE))
            await shelf.until_waiting(1)
            shelf.put(*events([2]))
            assert await receiving == events([2])

    asyncio.run(run())


# Shards in trouble.


@pytest.mark.parametrize("place", ["here", "there"])
def test_what_keeps_the_only_shard_from_working_is_told_at_once(place: str) -> None:
    async def run() -> None:
        async with scene(1) as on:
            shelf = on.serve_here(0) if place == "here" else on.serve_there(0)
            shelf.trouble = KafkaUnavailable("Kafka is away.", retry_after=3.0)
            async with asyncio.timeout(PATIENCE / 3):
                with pytest.raises(KafkaUnavailable, match="Kafka is away"):
                    await on.receive(PATIENCE)

    asyncio.run(run())


def test_a_shard_in_trouble_is_told_only_where_no_other_has_anything() -> None:
    async def run() -> None:
        async with scene(2) as on:
            on.serve_here(0).trouble = PositionsUnavailable("Where was I?")
            shelf = on.serve_there(1, *events([1]))
            assert await on.receive() == events([1])
            with pytest.raises(PositionsUnavailable):
                await on.receive()
            with pytest.raises(PositionsUnavailable):
                await on.receive(0.05)
            receiving = asyncio.create_task(on.receive(PATIENCE))
            await shelf.until_waiting(1)
            shelf.put(*events([2]))
            assert await receiving == events([2])

    asyncio.run(run())


def test_a_receive_whose_answer_is_lost_is_not_asked_again() -> None:
    asked = 0

    async def run() -> None:
        nonlocal asked

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            with contextlib.suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                asked += b"/receive " in head
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, scene(1) as on:
            address = "127.0.0.1:{}".format(*server.sockets[0].getsockname()[1:])
            on.directory.say(on.subscription, 0, address)
            async with asyncio.timeout(PATIENCE / 3):
                with pytest.raises(OwnerUnavailable):
                    await on.receive(PATIENCE)

    asyncio.run(run())
    assert asked == 1


@pytest.mark.parametrize(("verb", "times"), [(Verb.ACK, 2), (Verb.EXTEND, 2), (Verb.REJECT, 2), (Verb.RELEASE, 1)])
def test_what_can_be_said_twice_is_said_again_where_the_answer_is_lost(verb: Verb, times: int) -> None:
    heard = 0

    async def run() -> None:
        nonlocal heard

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal heard
            head = await reader.readuntil(b"\r\n\r\n")
            heard += 1
            if heard == 2:
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                await reader.readexactly(length)
                body = b'{"outcomes":["settled"]}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, scene(1) as on:
            on.directory.say(on.subscription, 0, "127.0.0.1:{}".format(*server.sockets[0].getsockname()[1:]))
            (outcome,) = await on.routing.settle(on.subscription, Settling(verb, references([0])))
            if times == 2:
                assert outcome is Outcome.SETTLED
            else:
                assert type(outcome) is OwnerUnavailable

    asyncio.run(run())
    assert heard == times


# Settling.


def test_every_reference_goes_to_its_shard_and_outcomes_come_in_the_order_given() -> None:
    async def run() -> None:
        async with scene(3) as on:
            shelves = [on.serve_here(0), on.serve_there(1), on.serve_there(2)]
            given = references([2, 0, 1, 1, 7, 0, 2, 65_535])
            kinds = [Outcome.OK, Outcome.EXPIRED, Outcome.SETTLED, Outcome.UNKNOWN]
            expected: list[Outcome] = [kinds[place % 4] for place in range(len(given))]
            for shelf in shelves:
                shelf.outcomes = dict(zip(given, expected, strict=True))
            expected[4] = expected[7] = Outcome.STALE
            settling = Settling(Verb.RELEASE, given, 1.5, "later")
            assert await on.routing.settle(on.subscription, settling) == expected
            for number, shelf in enumerate(shelves):
                own = [reference for reference in given if reference.shard == number]
                assert [list(each.references) for each in shelf.settled] == [own]
                assert [(each.verb, *each[2:]) for each in shelf.settled] == [(Verb.RELEASE, 1.5, "later")]

    asyncio.run(run())


def test_references_that_stand_together_have_the_outcomes_of_their_places() -> None:
    async def run() -> None:
        async with scene(2) as on:
            shelves = [on.serve_here(0), on.serve_there(1)]
            given = [Reference(shard, 7, 0, 0, place, 1) for shard in (0, 5, 1, 0) for place in range(shard, 9)]
            kinds = [Outcome.OK, Outcome.EXPIRED, Outcome.UNKNOWN]
            for shelf in shelves:
                shelf.outcomes = {reference: kinds[reference.offset % 3] for reference in given}
            expected = [Outcome.STALE if each.shard == 5 else kinds[each.offset % 3] for each in given]
            assert await on.routing.settle(on.subscription, Settling(Verb.ACK, References.of(given))) == expected
            assert [len(shelf.settled) for shelf in shelves] == [1, 1]

    asyncio.run(run())


def test_references_to_shards_that_are_none_are_void_and_ask_nobody() -> None:
    async def run() -> None:
        async with scene(2, patience=PATIENCE) as on:
            shelf = on.serve_here(1)
            void = references([*range(2, 10_000), 65_535])
            assert await on.routing.settle(on.subscription, Settling(Verb.ACK, void)) == [Outcome.STALE] * len(void)
            assert await on.routing.settle(on.subscription, Settling(Verb.ACK, void[:1])) == [Outcome.STALE]
            assert not shelf.settled

    asyncio.run(run())


def test_nothing_to_settle_asks_nobody() -> None:
    async def run() -> None:
        async with scene(1) as on:
            assert await on.routing.settle(on.subscription, Settling(Verb.ACK, [])) == []

    asyncio.run(run())


def test_the_trouble_of_one_shard_stands_for_its_references_alone() -> None:
    async def run() -> None:
        async with scene(2) as on:
            trouble = KafkaUnavailable("away")
            on.serve_here(0).trouble = trouble
            on.serve_there(1)
            given = Settling(Verb.ACK, references([0, 1, 0]))
            assert await on.routing.settle(on.subscription, given) == [trouble, Outcome.OK, trouble]

    asyncio.run(run())


def test_the_status_names_shards_in_their_order() -> None:
    async def run() -> None:
        async with scene(3) as on:
            on.serve_there(0)
            on.serve_here(1)
            trouble = on.serve_here(2).trouble = KafkaUnavailable("away")
            assert await on.routing.status(on.subscription) == [STATUS, STATUS, trouble]

    asyncio.run(run())
