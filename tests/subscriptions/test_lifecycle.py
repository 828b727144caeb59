"""Subscriptions created, changed, sought, redriven and deleted, with their positions on a real broker."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, until
from tests.subscriptions.living import NOON, Living, living, run, spec, write

from eventbus_gateway.errors import (
    Fault,
    GatewayError,
    InvalidSubscription,
    KafkaUnavailable,
    PreconditionFailed,
    SubscriptionActive,
    TooManySubscriptions,
    TopicUnavailable,
    UnknownSubscription,
)
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.kafka.records import Record, Stored
from eventbus_gateway.subscriptions.control import SeekTarget
from eventbus_gateway.subscriptions.dead_letter_topics import DeadLetterTopics
from eventbus_gateway.subscriptions.lifecycle import Lifecycle
from eventbus_gateway.subscriptions.places import Places
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

Scenario = Callable[[Living], Awaitable[None]]
WHOLE = "2023-11-14T22:13:20Z"
"""Noon of these tests."""


@pytest.fixture
def table(topic: TopicFactory) -> str:
    return topic(1, cleanup_policy="compact")


@pytest.fixture
def play(broker: Broker, table: str) -> Callable[[Scenario], None]:
    """Runs a scenario on one replica."""

    def go(scenario: Scenario) -> None:
        async def alone() -> None:
            async with living(broker.bootstrap, table) as one:
                await scenario(one)

        run(alone)

    return go


def offsets(found: dict[Partition, Position]) -> dict[Partition, int]:
    return {place: position.offset for place, position in found.items()}


async def dead(one: Living, subscription: Subscription, count: int) -> None:
    """Give a subscription dead letters."""
    letters = [Record(None, b"{}", []) for _ in range(count)]
    # The topic was created through another client than the one that writes.
    await one.cluster.refresh()
    outcomes = await one.sink.send(subscription.dead_letter_topic, letters)
    assert [type(outcome) for outcome in outcomes] == [Stored] * count


def refused(error: type[GatewayError], call: Awaitable[object]) -> Awaitable[GatewayError]:
    async def check() -> GatewayError:
        with pytest.raises(error) as caught:
            await call
        return caught.value

    return check()


# Creating


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", [0, 0]), ("latest", [3, 5]), ("2023-11-14T22:13:22Z", [2, 2]), ("1960-01-01T00:00:00Z", [0, 0])],
)
def test_a_subscription_begins_in_every_partition_where_it_was_told_to(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory, start: str, expected: list[int]
) -> None:
    name = topic(2)
    write(broker.bootstrap, name, 3, partition=0)
    write(broker.bootstrap, name, 5, partition=1)

    async def scenario(one: Living) -> None:
        done = await one.lifecycle.put("clinic", "board", spec(name, start=start))
        assert done.is_new
        assert one.store.get("clinic", "board") == done.kept
        places = [(name, 0), (name, 1)]
        assert offsets(await one.committed(done.kept.subscription, *places)) == dict(
            zip(places, expected, strict=True)
        )
        assert done.kept.subscription.created_at == NOON * 1_000

    play(scenario)


class Noting(Places):
    """Places that remember which groups have their positions."""

    def __init__(self, one: Living) -> None:
        super().__init__(one.positions, one.cluster, one.settings.group_prefix)
        self.groups: list[str] = []

    async def commit(self, subscription: Subscription, positions: Mapping[Partition, Position]) -> None:
        await super().commit(subscription, positions)
        self.groups.append(subscription.group("g"))


def test_its_positions_are_there_before_anybody_hears_of_it(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name, added = topic(1), topic(1)

    async def scenario(one: Living) -> None:
        places = Noting(one)
        letters = DeadLetterTopics(one.topics, one.settings)
        lifecycle = Lifecycle(one.store, places, letters, one.retired)
        heard: list[tuple[str, list[str]]] = []

        def hear(before: Subscription | None, after: Subscription | None) -> None:
            assert after is not None
            heard.append((after.group("g"), [*places.groups]))

        one.store.on_change(hear)
        await lifecycle.put("clinic", "board", spec(name))
        await lifecycle.seek("clinic", "board", SeekTarget(to="earliest"))
        await lifecycle.put("clinic", "board", spec(name, added))
        await lifecycle.pause("clinic", "board", True)
        await lifecycle.put("clinic", "board", spec(name, added, parallelism=2))
        assert len(heard) == 5
        assert len({group for group, _ in heard}) == 4
        for group, committed in heard:
            assert group in committed

    play(scenario)


def test_a_partition_that_was_added_a_moment_ago_counts_as_there(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        await one.cluster.refresh()
        broker.add_partitions(name, 2)
        write(broker.bootstrap, name, 3, partition=1)
        kept = (await one.lifecycle.put("clinic", "board", spec(name))).kept
        assert offsets(await one.committed(kept.subscription, (name, 0), (name, 1))) == {(name, 0): 0, (name, 1): 3}

    play(scenario)


def test_topics_that_do_not_exist_are_named_and_nothing_is_stored(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        put = one.lifecycle.put("clinic", "lost", spec("nowhere", name, "elsewhere"))
        error = await refused(InvalidSubscription, put)
        assert isinstance(error, InvalidSubscription)
        assert error.faults == (
            Fault("/topics/0", "expected a topic that exists"),
            Fault("/topics/2", "expected a topic that exists"),
        )
        assert one.store.get("clinic", "lost") is None

    play(scenario)


def test_a_subscription_has_a_topic_for_dead_letters_from_the_beginning(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        kept = (await one.lifecycle.put("clinic", "mourned", spec(name))).kept
        described = broker.admin.list_topics(kept.subscription.dead_letter_topic, timeout=PATIENCE)
        assert len(described.topics[kept.subscription.dead_letter_topic].partitions) == 1

    play(scenario)


def test_without_the_right_to_create_topics_a_missing_one_is_named_and_an_administrator_can_create_it(
    broker: Broker, table: str, topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario() -> None:
        settings = SubscriptionSettings(create_topics=False)
        async with living(broker.bootstrap, table, settings=settings) as one:
            error = await refused(TopicUnavailable, one.lifecycle.put("clinic", "barred", spec(name)))
            assert "clinic.barred.dlq does not exist" in error.detail
            assert one.store.get("clinic", "barred") is None
            broker.create_topic("clinic.barred.dlq", 1)
            assert (await one.lifecycle.put("clinic", "barred", spec(name))).is_new

    run(scenario)


def test_a_topic_for_dead_letters_that_is_not_as_it_must_be_is_refused(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)
    broker.create_topic("clinic.wide.dlq", 3)

    async def scenario(one: Living) -> None:
        error = await refused(TopicUnavailable, one.lifecycle.put("clinic", "wide", spec(name)))
        assert "has 3 partitions and must have 1" in error.detail

    play(scenario)


def test_dead_letters_of_a_namesake_that_was_deleted_are_not_those_of_the_new_one(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        old = (await one.lifecycle.put("clinic", "phoenix", spec(name))).kept.subscription
        await dead(one, old, 3)
        await one.lifecycle.delete("clinic", "phoenix")
        new = (await one.lifecycle.put("clinic", "phoenix", spec(name))).kept.subscription
        assert new.id != old.id
        assert (await one.lifecycle.redrive("clinic", "phoenix")).dead_letters == 0
        await dead(one, new, 2)
        assert (await one.lifecycle.redrive("clinic", "phoenix")).dead_letters == 2

    play(scenario)


def test_the_bounds_are_looked_at_before_anything_is_done_in_kafka(
    broker: Broker, table: str, topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario() -> None:
        settings = SubscriptionSettings(max_subscriptions_per_owner=1)
        async with living(broker.bootstrap, table, settings=settings) as one:
            await one.lifecycle.put("clinic", "only", spec(name))
            await refused(TooManySubscriptions, one.lifecycle.put("clinic", "second", spec(name)))
            assert "clinic.second.dlq" not in broker.admin.list_topics(timeout=PATIENCE).topics

    run(scenario)


def test_two_replicas_that_create_the_same_one_make_one(broker: Broker, table: str, topic: TopicFactory) -> None:
    name = topic(1)

    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one, living(broker.bootstrap, table) as other:
            puts = [each.lifecycle.put("clinic", "raced", spec(name)) for each in (one, other, one, other)]
            done = await asyncio.gather(*puts)
            assert sorted(each.is_new for each in done) == [False, False, False, True]
            assert len({each.kept for each in done}) == 1

    run(scenario)


# Changing


def test_the_same_put_again_changes_nothing(play: Callable[[Scenario], None], topic: TopicFactory) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        first = await one.lifecycle.put("clinic", "board", spec(name))
        assert (await one.lifecycle.put("clinic", "board", spec(name))).kept == first.kept
        changed = await one.lifecycle.put("clinic", "board", spec(name, filter={"type": ["a"]}))
        assert not changed.is_new
        assert changed.kept.version != first.kept.version
        assert changed.kept.subscription.id == first.kept.subscription.id

    play(scenario)


def test_a_change_that_moves_nothing_goes_on_from_the_very_same_positions(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name, other = topic(1), topic(1)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "board", spec(name, other))).kept.subscription
        await one.commit(before, {(name, 0): Position(7, "v1:")})
        after = (await one.lifecycle.put("clinic", "board", spec(name, filter={"type": ["a"]}))).kept.subscription
        assert after.group("g") == before.group("g")
        assert await one.committed(after, (name, 0)) == {(name, 0): Position(7, "v1:")}
        assert len(one.retired) == 0

    play(scenario)


def test_a_topic_that_is_added_begins_where_it_was_told_to_and_the_others_stay(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name, gone, added = topic(2), topic(1), topic(2)
    write(broker.bootstrap, added, 4, partition=1)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "board", spec(name, gone))).kept.subscription
        await one.commit(before, {(name, 1): Position(9, "v1:11-12"), (gone, 0): Position(5)})
        await dead(one, before, 2)
        letters = (before.dead_letter_topic, 0)
        await one.commit(before, {letters: Position(1)})
        after = (await one.lifecycle.put("clinic", "board", spec(added, name, start="latest"))).kept.subscription
        places = [(name, 0), (name, 1), (added, 0), (added, 1), (gone, 0), letters]
        assert await one.committed(after, *places) == {
            (name, 0): Position(0),
            (name, 1): Position(9, "v1:11-12"),
            (added, 0): Position(0),
            (added, 1): Position(4),
            letters: Position(1),
        }
        # What came back is no old acquaintance.
        again = (
            await one.lifecycle.put("clinic", "board", spec(added, name, gone, start="earliest"))
        ).kept.subscription
        assert (await one.committed(again, (gone, 0))) == {(gone, 0): Position(0)}
        # Who still serves the former state commits into its own group.
        await one.commit(before, {(name, 1): Position(1)})
        assert (await one.committed(again, (name, 1))) == {(name, 1): Position(9, "v1:11-12")}
        assert len(one.retired) == 2

    play(scenario)


def test_a_topic_that_is_added_must_exist_and_one_that_has_gone_keeps_nobody_from_a_change(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name, gone, added = topic(1), topic(1), topic(1)

    async def scenario(one: Living) -> None:
        await one.lifecycle.put("clinic", "board", spec(name, gone))
        error = await refused(InvalidSubscription, one.lifecycle.put("clinic", "board", spec(name, gone, "nowhere")))
        assert isinstance(error, InvalidSubscription)
        assert [fault.pointer for fault in error.faults] == ["/topics/2"]
        broker.delete_topic(gone)
        after = (await one.lifecycle.put("clinic", "board", spec(name, gone, added))).kept.subscription
        assert after.spec.topics == (name, gone, added)
        await one.lifecycle.seek("clinic", "board", SeekTarget(to="latest"))

    play(scenario)


def test_parallelism_changes_only_during_a_pause_and_takes_all_positions_along(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(3)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "board", spec(name))).kept.subscription
        places = {(name, number): Position(number, f"v1:{number}") for number in range(3)}
        await one.commit(before, places)
        wider = spec(name, parallelism=3)
        await refused(SubscriptionActive, one.lifecycle.put("clinic", "board", wider))
        await one.lifecycle.pause("clinic", "board", True)
        after = (await one.lifecycle.put("clinic", "board", wider)).kept.subscription
        assert (after.spec.parallelism, after.control.paused) == (3, True)
        assert after.group("g") != before.group("g")
        assert await one.committed(after, *places) == places

    play(scenario)


def test_a_change_is_made_to_the_version_that_its_author_has_seen_or_not_at_all(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        lifecycle = one.lifecycle
        await refused(PreconditionFailed, lifecycle.put("clinic", "board", spec(name), lambda version: version == 1))
        assert one.store.get("clinic", "board") is None
        kept = (await lifecycle.put("clinic", "board", spec(name), lambda version: version is None)).kept
        await refused(
            PreconditionFailed, lifecycle.put("clinic", "board", spec(name), lambda version: version is None)
        )
        paused = await lifecycle.pause("clinic", "board", True)

        def as_seen(version: int | None) -> bool:
            return version == kept.version

        await refused(PreconditionFailed, lifecycle.put("clinic", "board", spec(name, start="earliest"), as_seen))
        await refused(PreconditionFailed, lifecycle.seek("clinic", "board", SeekTarget(to="latest"), as_seen))
        await refused(PreconditionFailed, lifecycle.delete("clinic", "board", as_seen))
        assert one.store.get("clinic", "board") == paused

    play(scenario)


def test_changes_that_cross_each_other_all_count(broker: Broker, table: str, topic: TopicFactory) -> None:
    name = topic(1)

    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one, living(broker.bootstrap, table) as other:
            kept = (await one.lifecycle.put("clinic", "board", spec(name))).kept
            await until(lambda: other.store.by_id(kept.subscription.id) is not None, "the other one knows it")
            await asyncio.gather(
                one.lifecycle.pause("clinic", "board", True),
                other.lifecycle.put("clinic", "board", spec(name, filter={"type": ["a"]})),
                one.lifecycle.seek("clinic", "board", SeekTarget(to="earliest")),
                other.lifecycle.seek("clinic", "board", SeekTarget(to="latest")),
            )
            await until(lambda: one.store.get("clinic", "board") == other.store.get("clinic", "board"), "both agree")
            last = one.store.get("clinic", "board")
            assert last is not None
            assert last.subscription.control.paused
            assert last.subscription.spec.filter == {"type": ["a"]}
            assert last.subscription.control.sought is not None
            assert await one.committed(last.subscription, (name, 0)) == {(name, 0): Position(0)}

    run(scenario)


# Pausing, seeking, redriving


def test_a_pause_that_is_there_already_is_not_stored_again(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        await one.lifecycle.put("clinic", "board", spec(name))
        first = await one.lifecycle.pause("clinic", "board", True)
        assert first.subscription.control.paused
        assert await one.lifecycle.pause("clinic", "board", True) == first
        last = await one.lifecycle.pause("clinic", "board", False)
        assert not last.subscription.control.paused

    play(scenario)


@pytest.mark.parametrize(
    ("place", "expected"),
    [("earliest", [0, 0]), ("latest", [3, 2]), (WHOLE, [0, 0]), ("2023-11-14T22:13:21Z", [1, 1])],
)
def test_a_seek_moves_every_partition_and_leaves_the_dead_letters_alone(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory, place: str, expected: list[int]
) -> None:
    name, other = topic(1), topic(1)
    write(broker.bootstrap, name, 3)
    write(broker.bootstrap, other, 2)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "seeker", spec(name, other))).kept.subscription
        letters = (before.dead_letter_topic, 0)
        await one.commit(before, {(name, 0): Position(2, "v1:5"), letters: Position(0, "v1:x")})
        after = (await one.lifecycle.seek("clinic", "seeker", SeekTarget(to=place))).subscription
        assert after.group("g") != before.group("g")
        assert await one.committed(after, (name, 0), (other, 0), letters) == {
            (name, 0): Position(expected[0]),
            (other, 0): Position(expected[1]),
            letters: Position(0, "v1:x"),
        }

    play(scenario)


def test_a_seek_to_offsets_moves_only_what_it_names(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name, other = topic(2), topic(1)
    write(broker.bootstrap, name, 6, partition=1)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "board", spec(name, other))).kept.subscription
        await one.commit(before, {(name, 0): Position(0, "v1:0"), (other, 0): Position(3, "v1:3")})
        target = SeekTarget(positions={name: {"1": 4}})
        after = (await one.lifecycle.seek("clinic", "board", target)).subscription
        assert await one.committed(after, (name, 0), (name, 1), (other, 0)) == {
            (name, 0): Position(0, "v1:0"),
            (name, 1): Position(4),
            (other, 0): Position(3, "v1:3"),
        }

    play(scenario)


def test_a_seek_to_offsets_that_cannot_be_names_each_of_them(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(2)
    write(broker.bootstrap, name, 3)

    async def scenario(one: Living) -> None:
        kept = (await one.lifecycle.put("clinic", "board", spec(name))).kept
        target = SeekTarget(positions={name: {"0": 4, "1": 0, "2": 0}})
        error = await refused(InvalidSubscription, one.lifecycle.seek("clinic", "board", target))
        assert isinstance(error, InvalidSubscription)
        assert error.faults == (
            Fault(f"/positions/{name}/0", "expected at most 3, the end of the partition"),
            Fault(f"/positions/{name}/2", "expected a partition of the topic"),
        )
        assert one.store.get("clinic", "board") == kept

    play(scenario)


def test_a_redrive_counts_what_comes_back_and_says_how_far(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        kept = (await one.lifecycle.put("clinic", "counted", spec(name))).kept
        nothing = await one.lifecycle.redrive("clinic", "counted")
        assert (nothing.kept, nothing.dead_letters) == (kept, 0)
        await dead(one, kept.subscription, 3)
        done = await one.lifecycle.redrive("clinic", "counted")
        assert done.dead_letters == 3
        redrive = done.kept.subscription.control.redrive
        assert redrive is not None
        assert redrive.until == {"0": 3}
        # The owner of its shard has handed two of them out, and they were acked.
        await one.commit(done.kept.subscription, {(kept.subscription.dead_letter_topic, 0): Position(2)})
        await dead(one, kept.subscription, 1)
        again = await one.lifecycle.redrive("clinic", "counted")
        assert again.dead_letters == 2
        assert again.kept.subscription.control.redrive != redrive

    play(scenario)


def test_dead_letters_in_a_topic_that_was_created_anew_all_come_back(
    broker: Broker, play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        kept = (await one.lifecycle.put("clinic", "renewed", spec(name))).kept
        letters = kept.subscription.dead_letter_topic
        await one.commit(kept.subscription, {(letters, 0): Position(7)})
        await dead(one, kept.subscription, 2)
        assert (await one.lifecycle.redrive("clinic", "renewed")).dead_letters == 2
        broker.delete_topic(letters)
        assert (await one.lifecycle.redrive("clinic", "renewed")).dead_letters == 0

    play(scenario)


@pytest.mark.parametrize(
    "change",
    [
        lambda lifecycle: lifecycle.delete("clinic", "ghost"),
        lambda lifecycle: lifecycle.pause("clinic", "ghost", True),
        lambda lifecycle: lifecycle.seek("clinic", "ghost", SeekTarget(to="latest")),
        lambda lifecycle: lifecycle.redrive("clinic", "ghost"),
    ],
)
def test_nothing_can_be_done_with_a_subscription_that_is_not_there(
    play: Callable[[Scenario], None], change: Callable[[Lifecycle], Awaitable[object]]
) -> None:
    async def scenario(one: Living) -> None:
        await refused(UnknownSubscription, change(one.lifecycle))

    play(scenario)


# Deleting


def test_a_deleted_subscription_leaves_nothing_but_its_dead_letters(
    broker: Broker, table: str, topic: TopicFactory
) -> None:
    name = topic(1)
    write(broker.bootstrap, name, 2)

    async def scenario() -> None:
        async with living(broker.bootstrap, table, retire_seconds=0.0) as one:
            gone = (await one.lifecycle.put("clinic", "gone", spec(name))).kept.subscription
            await dead(one, gone, 1)
            sought = (await one.lifecycle.seek("clinic", "gone", SeekTarget(to="earliest"))).subscription
            await one.lifecycle.delete("clinic", "gone")
            assert one.store.get("clinic", "gone") is None
            await until(lambda: len(one.retired) == 0, "the groups are deleted")
            for each in (gone, sought):
                assert await one.committed(each, (name, 0)) == {}
            letters = (gone.dead_letter_topic, 0)
            assert (await one.places.ends([letters]))[letters].high == 1

    run(scenario)


def test_the_former_group_is_there_until_every_replica_has_heard_of_the_change(
    play: Callable[[Scenario], None], topic: TopicFactory
) -> None:
    name = topic(1)

    async def scenario(one: Living) -> None:
        before = (await one.lifecycle.put("clinic", "board", spec(name))).kept.subscription
        await one.lifecycle.seek("clinic", "board", SeekTarget(to="earliest"))
        assert len(one.retired) == 1
        assert await one.committed(before, (name, 0)) == {(name, 0): Position(0)}

    play(scenario)


# When Kafka is away


def test_without_kafka_nothing_is_done(table: str, topic: TopicFactory, broker: Broker) -> None:
    name = topic(1)

    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one:
            kept = (await one.lifecycle.put("clinic", "board", spec(name))).kept
            broker.stop()
            try:
                await refused(KafkaUnavailable, one.lifecycle.seek("clinic", "board", SeekTarget(to="earliest")))
            finally:
                broker.cont()
            assert one.store.get("clinic", "board") == kept

    run(scenario)
