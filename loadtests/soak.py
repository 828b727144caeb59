"""``python -m loadtests.soak``: mixed load for minutes on a real broker, and whether the gateway stays as it was.

Memory, threads, file descriptors, tasks of the event loop and metric series are looked at once a second. After a time
for warming up, a line of least squares goes through each. It fails where memory is not flat or where anything else
grows, and where the load itself fails: an event lost, out of order or from nowhere, a failed request.
"""

import http.client
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
from tests.broker import Broker

from loadtests.load import rss_mib
from loadtests.loading import before_broker
from loadtests.processes import listening
from loadtests.swarm import Broken, Plan, swarm
from loadtests.traffic import Summary
from loadtests.trend import Trend, trend

MEMORY = "memory, MiB"
COUNTED = ("threads", "file descriptors", "tasks", "metric series")
_EVERY_SECONDS = 1.0
_USERS = 16
_RATE = 5.0


class Sample(NamedTuple):
    """The process at one moment.

    Args:
        at: seconds since the load began.
        values: memory first, then ``COUNTED``.
    """

    at: float
    values: tuple[float, ...]


class Findings(NamedTuple):
    """What a soak has found.

    Args:
        trends: memory's first.
        faults: sentences; none when all is well.
    """

    trends: tuple[Trend, ...]
    faults: tuple[str, ...]


def look(pid: int, internal_port: int) -> tuple[tuple[float, ...], bool]:
    """Look at a gateway's process; also whether something was published yet.

    Args:
        pid: its process.
        internal_port: where its metrics are.
    """
    folder = Path(f"/proc/{pid}")
    metrics = exposition(internal_port)
    threads = re.search(r"Threads:\s+(\d+)", (folder / "status").read_text())
    tasks = re.search(r"^eventbus_event_loop_tasks (\S+)$", metrics, re.MULTILINE)
    assert threads is not None
    assert tasks is not None
    series = sum(not line.startswith("#") for line in metrics.splitlines())
    descriptors = len(list((folder / "fd").iterdir()))
    values = (rss_mib(pid), float(threads[1]), float(descriptors), float(tasks[1]), float(series))
    return values, "eventbus_publish_events_total{" in metrics


def exposition(internal_port: int) -> str:
    """The text of ``/metrics``."""
    connection = http.client.HTTPConnection("127.0.0.1", internal_port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def judge(samples: list[Sample], warm_up_seconds: float, flat_mib_per_minute: float) -> Findings:
    """Draw the lines and say what grows.

    Args:
        samples: in the order of time.
        warm_up_seconds: samples before count for nothing.
        flat_mib_per_minute: slope of memory that is not called a leak.

    Raises:
        ValueError: there are too few samples.
    """
    kept = [sample for sample in samples if sample.at >= warm_up_seconds]
    times = [sample.at for sample in kept]
    trends = tuple(
        trend(name, times, [sample.values[index] for sample in kept]) for index, name in enumerate((MEMORY, *COUNTED))
    )
    faults = [f"{one.name} grow by {one.slope:.2f} a minute" for one in trends[1:] if one.is_rising]
    if trends[0].slope > flat_mib_per_minute:
        faults.insert(0, f"memory grows by {trends[0].slope:.2f} MiB a minute, more than {flat_mib_per_minute:g}")
    return Findings(trends, tuple(faults))


def sampled(
    done: "Future[Summary]", looked: Callable[[], tuple[tuple[float, ...], bool]], seconds: float
) -> list[Sample]:
    """Look until the time of the load is over, or the load itself.

    Args:
        done: the load.
        looked: looks once.
        seconds: how long events are published.
    """
    over = threading.Event()
    done.add_done_callback(lambda _: over.set())
    found: list[Sample] = []
    began: float | None = None
    while not over.wait(_EVERY_SECONDS):
        values, is_published = looked()
        now = time.monotonic()
        if began is None and is_published:
            began = now
        if began is not None:
            if now - began > seconds:
                break
            found.append(Sample(now - began, values))
    return found


def table(trends: tuple[Trend, ...]) -> str:
    """The figures for people."""
    head = f"{'':<18}{'samples':>8}{'lowest':>10}{'highest':>10}{'slope/min':>12}{'growth':>10}{'deviation':>11}"
    rows = [
        f"{one.name:<18}{one.samples:>8}{one.lowest:>10,.1f}{one.highest:>10,.1f}{one.slope:>12.3f}{one.growth:>10.2f}"
        f"{one.deviation:>11.2f}"
        for one in trends
    ]
    return "\n".join([head, *rows])


@click.command()
@click.option("--seconds", type=click.IntRange(20, 86_400), default=600, show_default=True)
@click.option(
    "--warm-up", type=click.FloatRange(0), help="Seconds that do not count; a quarter of all when left out."
)
@click.option("--flat", type=click.FloatRange(0), default=1.0, show_default=True, help="MiB per minute.")
@click.option("--rate", type=click.FloatRange(0), default=_RATE, show_default=True, help="Publishes/s per producer.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path("build"), show_default=True)
def main(seconds: int, warm_up: float | None, flat: float, rate: float, output: Path) -> None:
    """Have mixed load for minutes, and see that nothing grows."""
    output.mkdir(parents=True, exist_ok=True)
    click.echo(f"mixed load on a real broker, {seconds} s\n")
    with (
        tempfile.TemporaryDirectory(prefix="eventbus-soak-") as name,
        listening("loadtests.hooks") as receiver,
        Broker() as broker,
        before_broker(broker, Path(name)) as (served, internal_port),
        ThreadPoolExecutor(1) as pool,
    ):
        plan = Plan(f"http://127.0.0.1:{served.port}", receiver.base, "mixed", seconds, _USERS, rate)
        running = pool.submit(swarm, plan, output.resolve() / "soak-load.json")
        samples = sampled(running, lambda: look(served.pid, internal_port), seconds)
        try:
            summary = running.result()
        except Broken as broken:
            raise click.ClickException(str(broken)) from None
    (output / "soak.json").write_text(json.dumps([sample._asdict() for sample in samples]))
    found = judge(samples, seconds / 4 if warm_up is None else warm_up, flat)
    click.echo(f"\n{table(found.trends)}")
    faults = (*found.faults, *summary.faults)
    if faults:
        raise click.ClickException("; ".join(faults))


if __name__ == "__main__":
    main()
