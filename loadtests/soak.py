"""``python -m loadtests.soak``: mixed load for minutes on a real broker, and whether the gateway stays as it was.

Memory, threads, file descriptors, tasks of the event loop and metric series are looked at once a second. After a time
for warming up, a line of least squares goes through each. It fails where memory is not flat or where anything else
grows, and where the load itself fails: an event lost, out of order or from nowhere, a failed request.

What a process takes when it is first needed, and then keeps, is no leak, but looks like one when it is needed late:
consumers for subscriptions that are behind, and memory for a moment when everything waits. So there are two such
consumers here, and both are needed before; and while it warms up the process is stopped for some seconds.
"""

import http.client
import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
from tests.broker import Broker

from loadtests.consuming import request
from loadtests.events import TOPIC, events
from loadtests.load import rss_mib
from loadtests.loading import before_broker
from loadtests.measuring import Failed
from loadtests.processes import Served, listening
from loadtests.swarm import Broken, Plan, swarm
from loadtests.traffic import Summary
from loadtests.trend import Trend, trend

MEMORY = "memory, MiB"
COUNTED = ("threads", "file descriptors", "tasks", "metric series")
_EVERY_SECONDS = 1.0
FLAT_BYTES = 32.0
"""Of memory per published event: less than the smallest object that could be kept for it."""
_CATCH_UP = "\n[consume]\nmax_catch_up_readers = 2\n"
# More than there are consumers for those that are behind.
_BEHIND = 6
_PER_REQUEST = 100
# A megabyte: memory that was used once and is free again would hide a leak.
_REQUESTS = 20
_CAUGHT_UP_SECONDS = 120.0
# Far shorter than a session, so that nothing is taken from the process meanwhile.
_STALL_SECONDS = 3.0
_STALLS = (0.05, 0.1, 0.15)
_LONG = 60
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
    """Look at a gateway's process: memory, what is counted, and whether the load has begun.

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
    # Of all who are here, only the load's users receive.
    return values, '/receive"' in metrics


def exposition(internal_port: int) -> str:
    """The text of ``/metrics``."""
    connection = http.client.HTTPConnection("127.0.0.1", internal_port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def fall_behind(served: Served, receiver: Served, topic: str, requests: int = _REQUESTS) -> None:
    """Have the gateway serve many subscriptions that are far behind, until none is.

    Args:
        served: the gateway.
        receiver: the receiver of their events.
        topic: gets as many requests of a hundred events.
        requests: how many.

    Raises:
        Failed: that takes too long.
    """
    names = [f"behind-{number}" for number in range(_BEHIND)]
    _publish(served, topic, requests)

    def subscribe(name: str) -> None:
        request(receiver, "PUT", f"/books/{name}", {"secret": None})
        delivery = {"type": "webhook", "url": f"http://127.0.0.1:{receiver.port}/hooks/{name}", "format": "batch"}
        about = {"topics": [topic], "start": "earliest", "delivery": delivery}
        request(served, "PUT", f"/v1/subscriptions/{name}", about)

    # All at once, so that none has caught up before the next one begins.
    with ThreadPoolExecutor(_BEHIND) as pool:
        list(pool.map(subscribe, names))
    deadline = time.monotonic() + _CAUGHT_UP_SECONDS
    for name in names:
        while request(served, "GET", f"/v1/subscriptions/{name}/status", {})["lag"] != 0:
            if time.monotonic() > deadline:
                raise Failed("subscriptions that were behind do not catch up")
            time.sleep(_EVERY_SECONDS / 10)
        request(served, "DELETE", f"/v1/subscriptions/{name}", {})


def _publish(served: Served, topic: str, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    body = b"\n".join(events(_PER_REQUEST))
    try:
        for _ in range(requests):
            connection.request("POST", f"/v1/topics/{topic}/events", body, {"content-type": "application/x-ndjson"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise Failed(f"a publish was answered with {answer.status}")
    finally:
        connection.close()


def _stall(pid: int) -> None:
    """Let a process stand still, as a machine that has no time for it does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(_STALL_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)


def judge(samples: list[Sample], warm_up_seconds: float, flat_mib: float, allowed: float = 1.0) -> Findings:
    """Draw the lines and say what grows.

    Args:
        samples: in the order of time.
        warm_up_seconds: samples before count for nothing.
        flat_mib: slope of memory, in MiB per minute, that is not called a leak.
        allowed: growth of anything that is counted, over the whole time, that is not called one either.

    Raises:
        ValueError: there are too few samples.
    """
    kept = [sample for sample in samples if sample.at >= warm_up_seconds]
    times = [sample.at for sample in kept]
    trends = tuple(
        trend(name, times, [sample.values[index] for sample in kept]) for index, name in enumerate((MEMORY, *COUNTED))
    )
    faults = [f"{one.name} grow by {one.slope:.2f} a minute" for one in trends[1:] if one.rises_by_more_than(allowed)]
    if trends[0].slope > flat_mib:
        faults.insert(0, f"memory grows by {trends[0].slope:.2f} MiB a minute, more than {flat_mib:.2f}")
    return Findings(trends, tuple(faults))


def sampled(
    done: "Future[Summary]", looked: Callable[[], tuple[tuple[float, ...], bool]], seconds: float, every: float
) -> list[Sample]:
    """Look until the time of the load is over, or the load itself.

    Args:
        done: the load.
        looked: looks once.
        seconds: how long events are published.
        every: seconds between two looks.
    """
    over = threading.Event()
    done.add_done_callback(lambda _: over.set())
    found: list[Sample] = []
    began: float | None = None
    while not over.wait(every) and (began is None or time.monotonic() - began < seconds):
        values, has_begun = looked()
        if has_begun:
            began = began or time.monotonic()
            found.append(Sample(time.monotonic() - began, values))
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
@click.option("--rate", type=click.FloatRange(0), default=_RATE, show_default=True, help="Publishes/s per producer.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path("build"), show_default=True)
def main(seconds: int, warm_up: float | None, rate: float, output: Path) -> None:
    """Have mixed load for minutes, and see that nothing grows."""
    output.mkdir(parents=True, exist_ok=True)
    click.echo(f"mixed load on a real broker, {seconds} s\n")
    try:
        with Broker() as broker:
            samples, summary = soaked(broker, output.resolve(), TOPIC, seconds, rate)
    except (Broken, Failed) as failed:
        raise click.ClickException(str(failed)) from None
    (output / "soak.json").write_text(json.dumps([sample._asdict() for sample in samples]))
    found = judge(samples, seconds / 4 if warm_up is None else warm_up, flat_mib(summary))
    click.echo(f"\n{table(found.trends)}\n\nmemory is called flat up to {flat_mib(summary):.2f} MiB a minute")
    faults = (*found.faults, *summary.faults)
    if faults:
        raise click.ClickException("; ".join(faults))


def flat_mib(summary: Summary) -> float:
    """What memory may grow by, in MiB per minute."""
    return FLAT_BYTES * summary.verdict.stored / summary.seconds * 60 / 2**20


def soaked(
    broker: Broker, folder: Path, topic: str, seconds: int, rate: float = _RATE, every: float = _EVERY_SECONDS
) -> tuple[list[Sample], Summary]:
    """Have load on a gateway of its own, and look at it meanwhile.

    Args:
        broker: gets the topic.
        folder: for the figures of the load.
        topic: where events are published.
        seconds: for how long.
        rate: publishes per second and producer.
        every: seconds between two looks.

    Raises:
        Broken: the load test itself did not work.
        Failed: what comes before it did not.
    """
    with (
        tempfile.TemporaryDirectory(prefix="eventbus-soak-") as name,
        listening("loadtests.hooks") as receiver,
        before_broker(broker, Path(name), topic, _CATCH_UP) as (served, internal_port),
        ThreadPoolExecutor(1) as pool,
    ):
        fall_behind(served, receiver.served, topic)
        plan = Plan(f"http://127.0.0.1:{served.port}", receiver.base, "mixed", seconds, _USERS, rate, topic)
        running = pool.submit(swarm, plan, folder / "soak-load.json")
        stalls = [threading.Timer(share * seconds, _stall, (served.pid,)) for share in _STALLS if seconds >= _LONG]
        for stall in stalls:
            stall.start()
        samples = sampled(running, lambda: look(served.pid, internal_port), seconds, every)
        return samples, running.result()


if __name__ == "__main__":
    main()
