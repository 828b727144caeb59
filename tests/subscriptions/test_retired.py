"""Consumer groups that are not used any more."""

import logging

import pytest
from confluent_kafka import Consumer
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.support import PATIENCE, until
from tests.subscriptions.living import living, run, spec

from eventbus_gateway.kafka.partitions import Position
from eventbus_gateway.subscriptions.resource import Subscription, created
from eventbus_gateway.subscriptions.retired import RetiredGroups


@pytest.fixture
def table(topic: TopicFactory) -> str:
    return topic(1, cleanup_policy="compact")


def used(topic: str) -> Subscription:
    return created("clinic", "retired", spec(topic), 1)


def test_groups_are_deleted_when_their_time_has_come_one_that_is_in_use_notwithstanding(
    broker: Broker, table: str, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    name = topic(1)
    busy, idle = used(name), used(name)

    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one:
            await one.commit(idle, {(name, 0): Position(1)})
            retired = RetiredGroups(one.places, 0.0)
            retired.add(busy)
            retired.add(idle)
            await until(lambda: len(retired) == 0, "nothing waits")
            assert await one.committed(idle, (name, 0)) == {}
            # What comes later is dealt with too.
            await one.commit(idle, {(name, 0): Position(2)})
            retired.add(idle)
            await until(lambda: len(retired) == 0, "nothing waits again")
            assert await one.committed(idle, (name, 0)) == {}
            await retired.close()

    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": busy.group("eventbus")})
    try:
        joined: list[object] = []
        member.subscribe([name], on_assign=lambda _, partitions: joined.extend(partitions))
        for _ in range(int(PATIENCE)):
            member.poll(1.0)
            if joined:
                break
        assert joined
        with caplog.at_level(logging.INFO):
            run(scenario)
    finally:
        member.close()
    assert "is left to Kafka: positions_unavailable" in caplog.text


def test_what_waits_at_the_end_of_the_process_is_left_to_kafka(
    broker: Broker, table: str, topic: TopicFactory
) -> None:
    name = topic(1)
    group = used(name)

    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one:
            await one.commit(group, {(name, 0): Position(1)})
            retired = RetiredGroups(one.places, 600.0)
            retired.add(group)
            await retired.close()
            retired.add(group)
            assert len(retired) == 1
            assert await one.committed(group, (name, 0)) == {(name, 0): Position(1)}

    run(scenario)


def test_there_is_a_bound_on_how_many_wait(broker: Broker, table: str) -> None:
    async def scenario() -> None:
        async with living(broker.bootstrap, table) as one:
            retired = RetiredGroups(one.places, 600.0)
            for _ in range(1_100):
                retired.add(used("t"))
            assert len(retired) == 1_000
            await retired.close()

    run(scenario)
