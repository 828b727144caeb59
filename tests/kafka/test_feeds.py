"""How readers are shared, in a world without Kafka where every step can be interleaved with every other."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kafka.feeding import Books, FakeReader, Log, World

from eventbus_gateway.errors import TopicUnreadable
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.kafka.strands import SHARED

A: Partition = ("a", 0)
B: Partition = ("b", 0)


def run(scenario: Callable[[World], Awaitable[None]], *partitions: Partition, **settings: float) -> None:
    async def go() -> None:
        world = World(partitions or (A, B), **{"batch_records": 10, **settings})
        await scenario(world)
        assert world.faults == []
        await world.feeds.close()
        assert all(reader.closed for reader in world.readers.values())

    asyncio.run(go())


def places(world: World) -> dict[str, int]:
    return dict(world.feeds.status().partitions)


def test_who_stands_at_the_end_is_served_by_the_shared_reader_and_needs_no_other() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        books = [world.open({A: 1_000, B: 0}) for _ in range(50)]
        await world.run()
        assert places(world) == {"tailing": 100}
        assert set(world.readers) == {SHARED}
        world.logs[A].append(7, 1)
        world.logs[B].append(3, 0)
        await world.run()
        assert [book.positions for book in books] == [{A: 1_008, B: 3}] * 50
        assert world.feeds.status().readers[0].records == 10, "each record is read once"

    run(scenario)


def test_who_is_behind_catches_up_on_another_reader_and_joins() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        ahead, behind = world.open({A: 995}), world.open({A: 0})
        await world.run(turns=5)
        assert places(world) == {"tailing": 1, "catching_up": 1}
        world.logs[A].append(1, 0)
        await world.run()
        assert ahead.positions == behind.positions == {A: 1_001}
        assert places(world) == {"tailing": 2}
        assert world.readers[1].status == (0, 0), "the other reader reads nothing any more"

    run(scenario)


def test_nothing_is_read_when_nobody_is_there() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        books = [world.open({A: 0}), world.open({A: 1_000, B: 0})]
        await world.run(turns=4)
        assert any(reader.reading for reader in world.readers.values())
        for book in books:
            world.close(book)
        await world.run()
        assert [reader.status for reader in world.readers.values()] == [(0, 0)] * len(world.readers)
        status = world.feeds.status()
        assert (status.subscribers, status.waiting, dict(status.partitions)) == (0, 0, {})

    run(scenario)


def test_a_full_subscriber_holds_its_own_reader_without_loss_of_what_was_read_ahead() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        books = world.open({A: 0})
        books.room = 60
        await world.run()
        assert places(world) == {"catching_up": 1}
        assert world.readers[1].in_hand == 2, "it waits with what it has"
        assert books.taken == 100
        for _ in range(9):
            books.go_on(A, 100)
            await world.run(turns=5)
        assert books.positions == {A: 1_000}
        assert world.feeds.status().readers[-1].records == 1_000, "each record is read once"

    run(scenario)


def test_a_full_subscriber_gives_its_reader_up_when_others_wait_and_after_a_while_anyway() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        full, hungry = world.open({A: 0}), None
        full.room = 60
        await world.run()
        hungry = world.open({A: 0})
        await world.run(turns=40)
        assert hungry.positions == {A: 1_000}
        assert places(world) == {"idle": 1, "tailing": 1}
        full.go_on(A, 50)
        await world.run()
        assert places(world) == {"catching_up": 1, "tailing": 1}
        world.advance(10)
        await world.run()
        world.advance(10)
        await world.run()
        assert places(world) == {"idle": 1, "tailing": 1}
        full.go_on(A, 10_000)
        await world.run(turns=40)
        assert full.positions == {A: 1_000}

    run(scenario, max_catch_up_readers=1)


def test_a_full_partition_does_not_keep_another_one_of_its_subscriber_back() -> None:
    class OnlyB(Books):
        def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
            super().take(topic, partition, records, next_offset)
            if topic == "a":
                self.stopped.add(A)
            return topic != "a"

    async def scenario(world: World) -> None:
        for log in world.logs.values():
            log.append(1_000, 0)
        books = OnlyB(world, {A: 0, B: 0})
        books.feed = world.feeds.open(books, books.positions)
        for _ in range(10):
            await world.run(turns=5)
            world.advance(0.1)
        assert books.positions[B] == 1_000
        assert books.positions[A] < 1_000

    run(scenario)


def test_those_who_wait_get_their_turn() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(100_000, 0)
        books = [world.open({A: 0}) for _ in range(4)]
        turns: list[int] = []
        for _ in range(40):
            before = [book.taken for book in books]
            await world.turn()
            turns += [index for index, book in enumerate(books) if book.taken > before[index]]
            world.advance(0.3)
        assert set(turns) == {0, 1, 2, 3}
        assert turns == sorted(turns) or turns.index(0) < len(turns)
        taken = [book.taken for book in books]
        assert max(taken) < 3 * min(taken)

    run(scenario, max_catch_up_readers=1, catch_up_quantum_seconds=1)


def test_a_reader_that_brings_nothing_does_not_keep_others_waiting() -> None:
    async def scenario(world: World) -> None:
        for log in world.logs.values():
            log.append(1_000, 0)
        stuck, other = world.open({A: 0}), world.open({B: 0})
        for _ in range(10):
            await asyncio.sleep(0)
            world.answer()
        assert places(world) == {"catching_up": 1, "queued": 1}
        # The first one's leader is away: its reader does nothing at all.
        world.advance(3)
        await world.run(turns=80)
        assert other.positions == {B: 1_000}
        assert stuck.positions == {A: 1_000}

    run(scenario, max_catch_up_readers=1)


def test_what_retention_took_is_told_and_the_earliest_record_comes_next() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(100, 0)
        world.logs[A].low = 40
        early = world.open({A: 10})
        tailing = world.open({A: 95})
        await world.run()
        assert (early.losses, early.positions) == (1, {A: 100})
        # Later, while it is stopped and somebody else goes on.
        early.room = 1
        world.logs[A].append(20, 0)
        await world.run()
        assert early.stopped == {A}
        world.logs[A].append(100, 0)
        await world.run()
        world.logs[A].low = 200
        early.go_on(A, 1_000)
        await world.run()
        assert (early.losses, early.positions) == (2, {A: 220})
        assert (tailing.losses, tailing.positions) == (0, {A: 220})

    run(scenario)


def test_a_topic_that_was_created_anew_is_read_from_its_beginning() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(5, 0)
        books = world.open({A: 9_000})
        await world.run()
        assert (books.losses, books.taken, books.positions) == (1, 5, {A: 5})

    run(scenario)


def test_a_partition_that_cannot_be_read_is_told_and_tried_again_with_pauses() -> None:
    async def scenario(world: World) -> None:
        first, second = world.open({A: 0}), world.open({A: 0, B: 0})
        await world.run()
        world.missing.add(A)
        world.readers[SHARED].fail(A, TopicUnreadable("The gateway may not read the topic"))
        await world.run()
        assert set(first.troubles) == set(second.troubles) == {A}
        world.logs[B].append(3, 0)
        await world.run()
        assert second.positions[B] == 3, "other partitions go on"
        before = world.questions
        for _ in range(80):
            world.advance(0.1)
            await world.run(turns=3)
        assert world.questions - before == 3, "it is tried again after 1, 2 and 4 seconds"
        world.missing.discard(A)
        world.logs[A].append(4, 0)
        world.advance(16)
        await world.run()
        assert first.troubles == second.troubles == {}
        assert first.positions == {A: 4}

    run(scenario)


def test_a_reader_that_fails_is_replaced_and_its_subscribers_go_on() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        behind, ahead = world.open({A: 0}), world.open({A: 1_000})
        await world.run(turns=6)
        assert 0 < behind.positions[A] < 1_000
        for number in (SHARED, 1):
            world.readers[number].end()
        await world.run()
        assert set(behind.troubles) == set(ahead.troubles) == {A}
        world.logs[A].append(9, 0)
        world.advance(1.1)
        await world.run(turns=40)
        assert behind.positions == ahead.positions == {A: 1_009}
        assert behind.troubles == ahead.troubles == {}

    run(scenario)


def test_what_comes_after_a_stop_keeps_its_order_behind_what_is_held() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(1_000, 0)
        books = world.open({A: 0})
        books.room = 60
        while not books.stopped:
            await world.turn()
        reader = world.readers[1]
        reader.step(10)
        reader.deliver()
        reader.step(10)
        books.go_on(A, 1_000_000)
        reader.deliver()
        await world.run()
        assert books.positions == {A: 1_000}

    run(scenario)


def test_a_subscriber_can_go_on_from_anywhere_at_any_time() -> None:
    async def scenario(world: World) -> None:
        world.logs[A].append(100, 0)
        books, other = world.open({A: 100}), world.open({A: 100})
        await world.run()
        for offset in (0, 50, 100, 3, 3):
            books.seek(A, offset)
            await world.run(turns=2)
            books.seek(A, offset)
            await world.run()
            assert books.positions == {A: 100}
        assert other.taken == 0

    run(scenario)


def test_partitions_can_be_added_later() -> None:
    async def scenario(world: World) -> None:
        world.logs[B].append(30, 0)
        books = world.open({A: 0})
        await world.run()
        assert books.feed is not None
        books.positions[B] = 5
        books.feed.add({B: 5, A: 77})
        await world.run()
        assert books.positions == {A: 0, B: 30}
        assert books.feed.position(*B) == 30
        assert books.feed.position("c", 0) is None

    run(scenario)


@pytest.mark.parametrize("start", [0, 100])
def test_a_subscriber_that_raises_ends_nobody_elses_reading_and_gets_the_same_again(
    start: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Books):
        broken = True

        def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
            if self.broken:
                raise ValueError("a secret of the record")
            return super().take(topic, partition, records, next_offset)

    async def scenario(world: World) -> None:
        world.logs[A].append(100, 0)
        broken, whole = Broken(world, {A: start}), world.open({A: start})
        broken.feed = world.feeds.open(broken, {A: start})
        await world.run()
        world.logs[A].append(5, 0)
        await world.run()
        assert whole.positions == {A: 105}
        assert broken.positions == {A: start}
        broken.broken = False
        broken.feed.resume(*A, start)
        await world.run()
        assert broken.positions == {A: 105}

    run(scenario)
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_a_subscriber_may_close_itself_and_others_while_it_is_served() -> None:
    async def scenario(world: World) -> None:
        class Closing(Books):
            def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
                more = super().take(topic, partition, records, next_offset)
                world.close(victim)
                assert self.feed is not None
                self.feed.close()
                return more

        books = Closing(world, {A: 0})
        books.feed = world.feeds.open(books, {A: 0})
        victim, witness = world.open({A: 0}), world.open({A: 0})
        await world.run()
        world.logs[A].append(5, 0)
        await world.run()
        world.logs[A].append(5, 0)
        await world.run()
        assert (books.positions, victim.positions, witness.positions) == ({A: 5}, {A: 0}, {A: 10})

    run(scenario)


def test_a_subscriber_may_go_on_from_elsewhere_while_it_is_served() -> None:
    class Jumping(Books):
        jumped = False

        def take(self, topic: str, partition: int, records: Sequence[Consumed], next_offset: int) -> bool:
            more = super().take(topic, partition, records, next_offset)
            if not self.jumped:
                self.jumped = True
                self.seek(A, 2)
            return more

    async def scenario(world: World) -> None:
        books = Jumping(world, {A: 0})
        books.feed = world.feeds.open(books, {A: 0})
        await world.run()
        world.logs[A].append(10, 0)
        await world.run()
        assert (books.positions, books.taken) == ({A: 10}, 18)

    run(scenario)


class Chaos:
    """What can happen at any time; ``which`` chooses where, ``amount`` how much."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def act(self, action: str, which: int, amount: int) -> None:
        place = (A, B)[which % 2]
        reader = self.world.readers.get(which % 3)
        if action in READER_ACTIONS:
            if reader is not None and not reader.closed:
                READER_ACTIONS[action](reader, place, amount)
        elif action in BOOKS_ACTIONS:
            if self.world.books:
                BOOKS_ACTIONS[action](self.world.books[which % len(self.world.books)], place, amount)
        elif action in LOG_ACTIONS:
            LOG_ACTIONS[action](self.world.logs[place], which, amount)
        elif action == "turn":
            await asyncio.sleep(0)
        elif action == "answer":
            self.world.answer()
        elif action == "advance":
            self.world.advance(amount / 20)
        elif action == "open" and len(self.world.books) < 6:
            start = max(0, self.world.logs[place].high - amount)
            self.world.open({place: start} if which % 3 else {place: start, (B, A)[which % 2]: 0})


def trim(log: Log, which: int, amount: int) -> None:
    log.low = min(log.high, log.low + amount)


def seek(books: Books, place: Partition, amount: int) -> None:
    if place in books.positions:
        books.seek(place, min(amount, books.world.logs[place].high))


def tighten(books: Books, place: Partition, amount: int) -> None:
    books.room = min(books.room, amount)


READER_ACTIONS: Mapping[str, Callable[[FakeReader, Partition, int], None]] = {
    "step": lambda reader, place, amount: reader.step(1 + amount // 4),
    "deliver": lambda reader, place, amount: reader.deliver(),
    "fail": lambda reader, place, amount: reader.fail(place, TopicUnreadable()),
    "end": lambda reader, place, amount: reader.end(),
}
BOOKS_ACTIONS: Mapping[str, Callable[[Books, Partition, int], None]] = {
    "close": lambda books, place, amount: books.world.close(books),
    "go_on": lambda books, place, amount: books.go_on(place, amount),
    "tighten": tighten,
    "seek": seek,
}
LOG_ACTIONS: Mapping[str, Callable[[Log, int, int], None]] = {
    "append": lambda log, which, amount: log.append(amount, which % 3),
    "trim": trim,
}
OFTEN = ("step", "deliver", "turn", "answer", "append", "go_on")
EVERYTHING = (*OFTEN, *OFTEN, *READER_ACTIONS, *BOOKS_ACTIONS, *LOG_ACTIONS, "open", "open", "advance")
ACTIONS = st.tuples(st.sampled_from(EVERYTHING), st.integers(0, 7), st.integers(0, 60))


def done(books: Books) -> bool:
    return all(position == books.world.logs[place].high for place, position in books.positions.items())


async def survive(world: World, actions: Iterable[tuple[str, int, int]]) -> None:
    """Do what the actions say; in the end everybody must get everything."""
    chaos = Chaos(world)
    world.open({A: 0, B: 0})
    for action, which, amount in actions:
        await chaos.act(action, which, amount)
    for log in world.logs.values():
        log.append(1, 0)
    for _ in range(400):
        for books in world.books:
            for place in books.positions:
                books.go_on(place, 1_000_000)
        world.advance(0.5)
        await world.turn()
        if all(done(books) for books in world.books):
            break
    assert all(done(books) for books in world.books)
    await world.run(turns=3)
    assert all(not book.troubles for book in world.books)
    for books in list(world.books):
        world.close(books)
    await world.run(turns=4)
    assert all(reader.status == (0, 0) for reader in world.readers.values() if not reader.closed)
    assert not any(world.feeds.planner.reading(ticket) for ticket in range(2_000)), "a reading is not forgotten"


LANES = st.integers(1, 2)
QUANTUM = st.sampled_from([0.0, 1.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTIONS, max_size=100), LANES, QUANTUM)
def test_however_the_steps_are_interleaved_nothing_is_left_out_and_nothing_comes_twice(
    actions: list[tuple[str, int, int]], lanes: int, quantum: float
) -> None:
    async def scenario(world: World) -> None:
        await survive(world, actions)

    run(scenario, max_catch_up_readers=lanes, catch_up_quantum_seconds=quantum, batch_records=5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), LANES, QUANTUM, st.sampled_from([(), ("end", "fail", "trim"), ("close", "seek")]))
def test_long_histories_leave_nothing_out_and_repeat_nothing(
    seed: int, lanes: int, quantum: float, without: Collection[str]
) -> None:
    chance = random.Random(seed)
    known = [action for action in EVERYTHING if action not in without]

    async def scenario(world: World) -> None:
        program = ((chance.choice(known), chance.randrange(8), chance.randrange(60)) for _ in range(400))
        await survive(world, program)

    run(scenario, max_catch_up_readers=lanes, catch_up_quantum_seconds=quantum, batch_records=5)
