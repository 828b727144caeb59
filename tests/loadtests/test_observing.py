"""To be observed costs next to nothing, and its benchmarks measure what they say."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from loadtests.events import TOPIC, events
from loadtests.in_process import InProcess, in_process
from loadtests.measuring import PARTITIONS
from loadtests.observing import METRICS, RATIO, TRACED, Observing, measured_metrics, tracing_cost, writes_us
from tests.broker import Broker

from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.tracing.settings import TracingSettings

UNSAMPLED = TracingSettings(enabled=True, endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=0.0)
PUBLISH_US = 46.0
"""What a publish takes in all (DESIGN.md, "What an event costs")."""


def called(work: Coroutine[Any, Any, Any], part: str) -> list[str]:
    """What is called in files with a name like this, and by them in C, until something is done that never waits."""
    calls: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event in {"call", "c_call"} and part in frame.f_code.co_filename:
            calls.append(frame.f_code.co_name if event == "call" else argument.__name__)

    sys.setprofile(note)
    try:
        work.send(None)
    except StopIteration:
        return calls
    finally:
        sys.setprofile(None)
    raise AssertionError("it waits")


async def publishing(one: InProcess, part: str) -> list[str]:
    """What a publish calls when everything is at hand."""
    for body in events(3):
        await one.publish(body)
    return called(one.publish(events(1)[0]), part)


def test_metrics_of_a_publish_are_four_short_writes_that_take_less_than_three_microseconds() -> None:
    async def scenario() -> list[str]:
        async with in_process(Metrics()) as one:
            return await publishing(one, "telemetry.py")

    calls = asyncio.run(scenario())
    assert sorted(calls) == ["add", "add", "bisect_left", "bisect_left", "observe", "observe"]
    assert 0.05 < writes_us() < 3.0


def test_while_tracing_is_off_a_publish_is_that_of_a_gateway_that_cannot_trace() -> None:
    async def scenario() -> None:
        async with in_process(Metrics()) as one:
            assert type(one.gateway) is Gateway
            handler = one.match.route.handler
            assert getattr(handler, "sink", None) is one.sink
            assert not await publishing(one, "trac")

    asyncio.run(scenario())


def test_a_request_that_is_not_sampled_costs_one_decision() -> None:
    async def scenario() -> None:
        async with in_process(Metrics(), UNSAMPLED) as one:
            assert await publishing(one, "trac") == ["handle"]
            handler = one.match.route.handler
            assert getattr(handler, "sink", None) is one.sink

    asyncio.run(scenario())


def test_tracing_one_request_in_a_hundred_takes_little_of_all_of_them() -> None:
    cost = asyncio.run(tracing_cost(10))
    assert cost.sampled > 5, "spans are made and encoded"
    # Two percent are the aim, which an idle machine meets with half of that; this one may be busy.
    assert cost.at(RATIO) < 0.06 * PUBLISH_US


def test_traced_publishes_are_measured_beside_others(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.create_topic(TOPIC, PARTITIONS)
    try:
        line = Observing(broker, tmp_path, 1.0, {}, turns=2)(TRACED)
    finally:
        broker.delete_topic(TOPIC)
    shown = capsys.readouterr().out
    assert line.name == TRACED
    assert line.floor_us is not None
    assert (shown.count("  gateway "), shown.count("  floor ")) == (1, 1)
    assert " spans came" in shown


def test_metrics_are_measured_beside_writers_that_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    line = measured_metrics(0.1)
    assert line.name == METRICS
    assert line.floor_us is not None
    assert line.cpu_us_per_event > 1
    assert "their writes alone" in capsys.readouterr().out
