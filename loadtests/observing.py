"""What it costs to be observed: metrics, and traces at a sampling ratio of 1 %.

``publish-traced`` has one gateway under load that traces in turns with one that knows of no traces, in one process:
two equal processes differ by more than traces cost. ``metrics-cost`` is smaller still, so the same gateway publishes
inside this process, once as it is and once with writers that do nothing.
"""

import asyncio
import gc
import os
import time
import timeit
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
from tests.broker import Broker

from eventbus_gateway.api.http import Request
from eventbus_gateway.telemetry import Counter, Histogram, Metrics
from eventbus_gateway.tracing.settings import TracingSettings
from loadtests.beside import Beside
from loadtests.events import TOPIC, events
from loadtests.in_process import HEADERS, InProcess, in_process
from loadtests.load import rss_mib
from loadtests.local_collector import LocalCollector
from loadtests.measuring import Failed, gateway_config
from loadtests.results import Result

TRACED, METRICS = "publish-traced", "metrics-cost"
NAMES = (TRACED, METRICS)
RATIO = 0.01

_TURNS = 16
_EXPORTED = 1_024
_EVENTS = 200
_REPEAT, _NUMBER = 40, 1_000
# Far below what random gaps leave in a run of this length.
_LEAST_SHARE = 0.5


class Muted:
    """Stands where something is counted, and does nothing."""

    def add(self, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """See ``Counter.add``."""

    def observe(self, value: float) -> None:
        """See ``Histogram.observe``."""


class TracingCost(NamedTuple):
    """CPU microseconds of the event loop's thread.

    Args:
        unsampled: what a request that is not sampled takes more.
        sampled: what one that is sampled takes more, until its spans are encoded.
    """

    unsampled: float
    sampled: float

    def at(self, ratio: float) -> float:
        """What a request takes more on the average."""
        return self.unsampled * (1 - ratio) + self.sampled * ratio


class Observing:
    """Benchmarks of metrics and traces.

    Args:
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: length of each measured interval.
        environ: variables for the gateways.
        turns: how many times half of an interval the load of ``publish-traced`` takes.
    """

    def __init__(
        self, broker: Broker, folder: Path, seconds: float, environ: dict[str, str], turns: int = _TURNS
    ) -> None:
        self._beside = Beside(broker, folder, seconds / 2, environ)
        self._seconds = seconds
        self._turns = turns

    def __call__(self, name: str) -> Result:
        """Measure one, by its name.

        Raises:
            Failed: an event was refused, Kafka holds another number of records than were answered, or no spans came.
        """
        return self._traced() if name == TRACED else measured_metrics(self._seconds)

    def _traced(self) -> Result:
        cost = asyncio.run(tracing_cost(max(3, int(4 * self._seconds))))
        click.echo(
            f"  tracing alone: {cost.unsampled:.2f} µs CPU per request, {cost.sampled:.1f} where it is sampled"
        )
        bootstrap = self._beside.bootstrap
        with LocalCollector() as collector:
            tracing = f'\n[tracing]\nenabled = true\nendpoint = "{collector.endpoint}"\nsample_ratio = {RATIO}\n'
            found = self._beside.measure_either(
                TRACED, lambda ports: gateway_config(bootstrap, ports) + tracing, self._turns
            )
            spans = collector.spans
            export = asyncio.run(export_us(collector.endpoint))
        # Two spans for each sampled publish, of those of half of the time.
        least = _LEAST_SHARE * RATIO * found.events_per_second * self._turns * self._seconds / 2
        click.echo(f"  {spans} spans came; those of a request take {export:.1f} µs CPU to encode and send")
        if spans < least:
            raise Failed(f"only {spans} spans came, of {least:.0f} at the least")
        # They are sent once in a while, in either's turns: the median of turns knows nothing of it.
        assert found.floor_us is not None
        more = found.cpu_us_per_event + export * RATIO
        return found._replace(cpu_us_per_event=round(more, 3), ratio=round(more / found.floor_us, 3))


def measured_metrics(seconds: float) -> Result:
    """What the metrics of a publish cost, as the difference of a gateway with and without them."""
    with_metrics, without = asyncio.run(publish_us(max(5, int(20 * seconds))))
    alone = writes_us()
    click.echo(f"  publish {with_metrics:.2f} µs CPU, without metrics {without:.2f}; their writes alone {alone:.2f}")
    ratio = round(with_metrics / without, 3)
    memory = round(rss_mib(os.getpid()), 1)
    return Result(
        METRICS, round(1e6 / with_metrics, 1), round(with_metrics, 3), round(without, 3), ratio, 0, 0, memory
    )


def muted() -> Metrics:
    """Metrics whose writers do nothing."""
    metrics = Metrics()
    for name, part in list(vars(metrics).items()):
        if isinstance(part, Counter | Histogram):
            setattr(metrics, name, Muted())
    return metrics


async def publish_us(rounds: int) -> tuple[float, float]:
    """CPU microseconds of a publish without socket and Kafka: with metrics, and without them."""
    bodies = events(_EVENTS)
    async with in_process(Metrics()) as real, in_process(muted()) as silent:
        return await _least(rounds, bodies, real, silent)


def writes_us() -> float:
    """CPU microseconds of everything that is counted for one publish, the calls themselves included."""
    metrics = Metrics()

    def write() -> None:
        metrics.ack_seconds.observe(0.003)
        metrics.events.add((TOPIC, "stored"))
        metrics.requests.add(("POST", "/v1/topics/{topic}/events", "201"))
        metrics.request_seconds.observe(0.004)

    return min(timeit.repeat(write, timer=time.thread_time, number=_NUMBER, repeat=_REPEAT)) / _NUMBER * 1e6


async def tracing_cost(rounds: int) -> TracingCost:
    """What tracing takes of each request, with all that becomes of its spans but their way to the collector."""
    bodies = events(_EVENTS)
    async with (
        in_process(Metrics()) as off,
        in_process(Metrics(), _settings(0.0)) as unsampled,
        in_process(Metrics(), _settings(1.0)) as sampled,
    ):
        traced, plain = await _least(rounds, bodies, sampled, off)
        more = _handling_us(unsampled) - _handling_us(off)
        return TracingCost(max(0.0, more), traced - plain + await sampled.encoding_us(_EVENTS))


async def export_us(endpoint: str) -> float:
    """CPU microseconds that the spans of a sampled publish take after its answer, to be encoded and sent.

    Args:
        endpoint: of a collector.
    """
    settings = TracingSettings(
        enabled=True,
        endpoint=endpoint,
        sample_ratio=1.0,
        max_traces_per_second=100_000,
        max_queued_spans=2 * _EXPORTED,
        export_seconds=300,
    )
    took = 0.0
    # The first time also loads what is needed for it.
    for _ in range(2):
        async with in_process(Metrics(), settings) as one:
            await one.cpu_us(events(_EXPORTED))
            began = time.thread_time()
            await one.traces.close()
            took = time.thread_time() - began
    return took / _EXPORTED * 1e6


async def _least(rounds: int, bodies: Sequence[bytes], first: InProcess, second: InProcess) -> tuple[float, float]:
    """The least that each of two takes per event: whatever disturbs it only makes it take longer."""
    best = [float("inf"), float("inf")]
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for at, one in ((0, first), (1, second)) if number % 2 else ((1, second), (0, first)):
                best[at] = min(best[at], await one.cpu_us(bodies))
    finally:
        gc.enable()
    return best[0], best[1]


def _handling_us(one: InProcess) -> float:
    """What it takes to begin with a request, up to the first line of the handler that all requests have."""
    request = Request("POST", f"/v1/topics/{TOPIC}/events", b"", HEADERS, b"{}", "-")

    def begin() -> None:
        one.gateway.handle(request, one.match).close()

    return min(timeit.repeat(begin, timer=time.thread_time, number=_NUMBER, repeat=_REPEAT)) / _NUMBER * 1e6


def _settings(ratio: float) -> TracingSettings:
    # Nobody is there, and nothing is sent before the end: what is measured is this thread.
    return TracingSettings(
        enabled=True,
        endpoint="http://127.0.0.1:9/v1/traces",
        sample_ratio=ratio,
        max_traces_per_second=100_000,
        max_queued_spans=64,
        max_batch_spans=1_024,
        export_seconds=300,
        timeout_seconds=0.1,
    )
