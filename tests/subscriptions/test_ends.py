"""How far subscriptions are behind, as metrics show it."""

import asyncio
from collections.abc import Collection, Mapping

import pytest
from tests.polling import until

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.subscriptions.ends import Ends, behind
from eventbus_gateway.subscriptions.supply import Progress

A, B = ("visits", 0), ("visits", 1)


class Kafka:
    """Answers with ends, and remembers what it was asked."""

    def __init__(self) -> None:
        self.ends: dict[Partition, int | GatewayError] = {A: 10, B: 20}
        self.asked: list[list[Partition]] = []
        self.away = False
        self.now = 0.0

    async def highs(self, places: Collection[Partition]) -> Mapping[Partition, int | GatewayError]:
        self.asked.append(list(places))
        if self.away:
            raise KafkaUnavailable
        return {place: self.ends[place] for place in places}


def looking() -> tuple[Kafka, Ends]:
    kafka = Kafka()
    return kafka, Ends(kafka.highs, 10.0, lambda: kafka.now)


def test_an_end_is_known_once_it_was_asked_about_and_looked_up() -> None:
    async def scenario() -> None:
        kafka, ends = looking()
        assert ends.of(A) is None
        await ends.look()
        assert (ends.of(A), kafka.asked) == (10, [[A]])

    asyncio.run(scenario())


def test_kafka_is_asked_nothing_while_nobody_asks() -> None:
    async def scenario() -> None:
        kafka, ends = looking()
        await ends.look()
        ends.of(A)
        await ends.look()
        kafka.now += 1_000
        await ends.look()
        await ends.look()
        assert kafka.asked == [[A]]
        assert ends.of(A) is None

    asyncio.run(scenario())


def test_an_end_that_cannot_be_looked_up_again_is_soon_not_told_any_more() -> None:
    async def scenario() -> None:
        kafka, ends = looking()
        ends.of(A)
        await ends.look()
        kafka.ends[A] = UnknownTopic()
        kafka.now = 29.0
        await ends.look()
        assert ends.of(A) == 10
        kafka.now = 31.0
        assert ends.of(A) is None

    asyncio.run(scenario())


def test_it_goes_on_looking_when_kafka_was_away() -> None:
    async def scenario() -> None:
        kafka = Kafka()
        kafka.away = True
        ends = Ends(kafka.highs, 0.001, lambda: kafka.now)
        ends.of(A)
        ends.start()
        await until(lambda: len(kafka.asked) > 1)
        kafka.away = False
        await until(lambda: ends.of(A) == 10)
        await ends.close()

    asyncio.run(scenario())


def test_ends_are_known_where_scrapes_are_much_rarer_than_looks() -> None:
    async def scenario() -> None:
        kafka = Kafka()
        ends = Ends(kafka.highs, 1.0, lambda: kafka.now)
        ends.of(A)
        for _ in range(4):
            for _ in range(60):
                kafka.now += 1
                await ends.look()
            assert ends.of(A) == 10

    asyncio.run(scenario())


def test_a_look_that_fails_in_a_way_that_nobody_expected_is_not_the_last_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        kafka = Kafka()
        del kafka.ends[A]
        ends = Ends(kafka.highs, 0.001, lambda: kafka.now)
        ends.of(A)
        ends.start()
        await until(lambda: len(kafka.asked) > 1)
        kafka.ends[A] = 10
        await until(lambda: ends.of(A) == 10)
        await ends.close()

    asyncio.run(scenario())
    assert "could not be looked up" in caplog.text


def progress(partition: int, watermark: int, topic: str = "visits") -> Progress:
    return Progress(topic, partition, watermark + 5, watermark, 5, None)


def test_what_is_not_done_counts_whether_or_not_it_was_read() -> None:
    known = {A: 10, B: 20}
    assert behind([progress(0, 4), progress(1, 20)], ["visits"], known.get) == 6


def test_partitions_whose_end_is_not_known_and_dead_letters_are_left_out() -> None:
    known = {A: 10, ("letters", 0): 100}
    found = [progress(0, 4), progress(1, 0), progress(0, 0, "letters")]
    assert behind(found, ["visits"], known.get) == 6
    assert behind([progress(1, 0)], ["visits"], known.get) is None


def test_an_end_that_was_looked_up_before_the_last_events_is_no_negative_lag() -> None:
    assert behind([progress(0, 12)], ["visits"], {A: 10}.get) == 0
