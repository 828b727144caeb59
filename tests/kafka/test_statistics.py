"""What librdkafka tells about brokers, as metrics show it."""

import asyncio
import json
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory

from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import Record, Stored
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.statistics import MAX_BROKERS, MAX_CHARACTERS, BrokerState, Statistics


def told(*brokers: dict[str, Any]) -> Statistics:
    statistics = Statistics(1)
    statistics.take(json.dumps({"brokers": {str(at): broker for at, broker in enumerate(brokers)}}))
    return statistics


def broker(number: int, count: int = 1, state: str = "UP") -> dict[str, Any]:
    """As librdkafka's STATISTICS.md has it, with times in microseconds."""
    window = {"cnt": count, "avg": 1_500, "p99": 4_000}
    return {
        "nodeid": number,
        "state": state,
        "rtt": window,
        "int_latency": {**window, "avg": 900},
        "outbuf_cnt": 2,
        "waitresp_cnt": 3,
    }


def test_times_of_a_broker_are_in_seconds() -> None:
    state = told(broker(7)).brokers()["7"]
    assert tuple(state) == pytest.approx((True, 0.0015, 0.004, 0.0009, 5))


def test_a_broker_that_was_not_asked_has_no_times() -> None:
    assert told(broker(1, count=0, state="DOWN")).brokers() == {"1": BrokerState(False, None, None, None, 5)}


def test_addresses_to_begin_with_and_logical_brokers_are_left_out() -> None:
    assert set(told(broker(-1), broker(0), broker(3)).brokers()) == {"0", "3"}


def test_the_number_of_series_is_bounded() -> None:
    assert len(told(*map(broker, range(MAX_BROKERS + 50))).brokers()) == MAX_BROKERS


def test_what_was_told_last_counts_and_stays_until_more_is_told() -> None:
    statistics = told(broker(1))
    statistics.take(json.dumps({"brokers": {"a": broker(2)}}))
    assert set(statistics.brokers()) == {"2"}
    assert set(statistics.brokers()) == {"2"}


def test_statistics_that_are_too_large_are_not_kept() -> None:
    statistics = told(broker(1))
    assert set(statistics.brokers()) == {"1"}
    statistics.take(json.dumps({"brokers": {"a": broker(2)}, "topics": "a" * MAX_CHARACTERS}))
    assert set(statistics.brokers()) == {"1"}


def test_without_an_interval_nothing_is_asked_for() -> None:
    assert not Statistics(0).properties()
    assert not Statistics(0).brokers()


def test_a_real_broker_is_shown_with_its_round_trip_time(broker: Broker, topic: TopicFactory) -> None:
    name = topic(1)

    async def scenario() -> BrokerState:
        producer = KafkaProducer(KafkaSettings(bootstrap_servers=broker.bootstrap, statistics_seconds=0.2))
        await producer.start()

        async def asked() -> bool:
            (outcome,) = await producer.send(name, [Record(None, b"{}", [])])
            assert isinstance(outcome, Stored)
            # Also requests of other kinds have a round trip.
            states = producer.statistics.brokers().values()
            return any(state.rtt is not None and state.queue is not None for state in states)

        try:
            asked_once = await asked()
            while not asked_once:
                asked_once = await asked()
            (state,) = producer.statistics.brokers().values()
            return state
        finally:
            await producer.drain(5)

    state = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert state.up
    assert state.rtt is not None
    assert 0 < state.rtt < 10
    assert state.rtt_p99 is not None
    assert state.queue is not None
