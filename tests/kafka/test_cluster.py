"""Topics are known without asking, and asked for sparingly when they are not."""

import asyncio
from collections.abc import Mapping

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, FakeClock, producing, until

from eventbus_gateway.errors import KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.cluster import Cluster, TopicInfo, is_public
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.settings import KafkaSettings

SETTINGS = KafkaSettings(unknown_topic_recheck_seconds=1.0)


class Source:
    """Topics in a dictionary; counts how often they are read and can be out of order or slow."""

    def __init__(self, **topics: int) -> None:
        self.content = dict(topics)
        self.readings = 0
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.up = True

    def status(self) -> ProducerStatus:
        return ProducerStatus(self.up, 0, 0, 0.0, 0)

    async def topics(self) -> Mapping[str, int]:
        self.readings += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise KafkaUnavailable
        return dict(self.content)


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 249, "..."])
def test_a_legal_name_is_public(name: str) -> None:
    assert is_public(name)


@pytest.mark.parametrize("name", ["", ".", "..", "_schemas", "__offsets", "a b", "a/b", "ä", "x" * 250, "a\n"])
def test_an_illegal_or_internal_name_is_not(name: str) -> None:
    assert not is_public(name)


def test_known_topics_are_answered_without_asking() -> None:
    async def run() -> None:
        source = Source(a=3, _hidden=1)
        cluster = Cluster(SETTINGS, source, clock=FakeClock())
        assert cluster.known("a") is None
        await cluster.start()
        assert cluster.known("a") == TopicInfo("a", 3)
        assert await cluster.lookup("a") == TopicInfo("a", 3)
        assert dict(cluster.topics()) == {"a": TopicInfo("a", 3)}
        assert source.readings == 1
        await cluster.close()

    asyncio.run(run())


def test_an_internal_topic_is_unknown_without_asking() -> None:
    async def run() -> None:
        source = Source(_hidden=1)
        cluster = Cluster(SETTINGS, source, clock=FakeClock())
        for name in ("_hidden", "..", "a b"):
            with pytest.raises(UnknownTopic):
                await cluster.lookup(name)
        assert source.readings == 0

    asyncio.run(run())


def test_unknown_topics_are_looked_for_once_per_interval_for_all_callers() -> None:
    async def run() -> None:
        source, clock = Source(), FakeClock()
        cluster = Cluster(SETTINGS, source, clock=clock)
        for round_number in range(1, 4):
            for name in ("x", "y", "x"):
                with pytest.raises(UnknownTopic):
                    await cluster.lookup(name)
            assert source.readings == round_number
            clock.now += 1.0
        source.content["x"] = 2
        assert await cluster.lookup("x") == TopicInfo("x", 2)

    asyncio.run(run())


def test_callers_share_one_reading_and_one_who_gives_up_does_not_take_it_away() -> None:
    async def run() -> None:
        source = Source(x=1)
        source.gate = asyncio.Event()
        cluster = Cluster(SETTINGS, source, clock=FakeClock())
        callers = [asyncio.create_task(cluster.lookup("x")) for _ in range(50)]
        await until(lambda: source.readings > 0, "the reading")
        callers.pop().cancel()
        source.gate.set()
        assert await asyncio.gather(*callers) == [TopicInfo("x", 1)] * 49
        assert source.readings == 1

    asyncio.run(run())


def test_before_the_first_reading_nobody_can_tell() -> None:
    async def run() -> None:
        source, clock = Source(a=1), FakeClock()
        source.broken = True
        cluster = Cluster(SETTINGS, source, clock=clock)
        await cluster.start()
        for _ in range(3):
            with pytest.raises(KafkaUnavailable):
                await cluster.lookup("a")
        assert source.readings == 1
        assert cluster.age() is None
        source.broken = False
        clock.now += 1.0
        assert await cluster.lookup("a") == TopicInfo("a", 1)
        await cluster.close()

    asyncio.run(run())


def test_during_an_outage_known_topics_stay_known_and_others_are_undecided() -> None:
    async def run() -> None:
        source, clock = Source(a=1), FakeClock()
        cluster = Cluster(SETTINGS, source, clock=clock)
        await cluster.refresh()
        source.broken = True
        clock.now += 5.0
        assert not await cluster.refresh()
        assert await cluster.lookup("a") == TopicInfo("a", 1)
        assert cluster.age() == 5.0
        with pytest.raises(KafkaUnavailable):
            await cluster.lookup("b")

    asyncio.run(run())


def test_while_kafka_is_down_nobody_waits_for_a_topic_that_was_never_seen() -> None:
    async def run() -> None:
        source, clock = Source(a=1), FakeClock()
        cluster = Cluster(SETTINGS, source, clock=clock)
        await cluster.refresh()
        source.up, source.gate = False, asyncio.Event()
        clock.now += 5.0
        with pytest.raises(KafkaUnavailable):
            await asyncio.wait_for(cluster.lookup("b"), timeout=5)
        source.content["b"] = 2
        source.gate.set()
        # The reading that was begun for it finds the end of the outage.
        assert await cluster.refresh()
        assert await cluster.lookup("b") == TopicInfo("b", 2)
        await cluster.close()

    asyncio.run(run())


def test_a_deleted_topic_is_unknown_after_the_next_reading() -> None:
    async def run() -> None:
        source = Source(a=1, b=1)
        cluster = Cluster(SETTINGS, source, clock=FakeClock())
        await cluster.refresh()
        del source.content["a"]
        await cluster.refresh()
        assert cluster.known("a") is None
        with pytest.raises(UnknownTopic):
            await cluster.lookup("a")

    asyncio.run(run())


def test_topics_of_a_real_kafka_come_and_go(broker: Broker, topic: TopicFactory) -> None:
    async def run() -> None:
        name = topic(5)
        settings = KafkaSettings(metadata_refresh_seconds=1.0, unknown_topic_recheck_seconds=0.1)
        async with producing(broker.bootstrap) as sink:
            cluster = Cluster(settings, sink)
            await cluster.start()
            assert cluster.known(name) == TopicInfo(name, 5)
            another = topic(2)
            async with asyncio.timeout(PATIENCE):
                while cluster.known(another) is None:
                    await cluster.refresh()
            assert await cluster.lookup(another) == TopicInfo(another, 2)
            broker.admin.delete_topics([name])[name].result(PATIENCE)
            # By itself, in the background.
            await until(lambda: cluster.known(name) is None, "the deletion to be noticed")
            await cluster.close()

    asyncio.run(run())
