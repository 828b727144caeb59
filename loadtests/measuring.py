"""One benchmark: a gateway in front of Kafka, measured in turns with its floor."""

import json
import secrets
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
from confluent_kafka import Consumer, TopicPartition
from tests.broker import Broker, free_port

from loadtests import floor_produce
from loadtests.events import KEY, SCHEMAS, TOPIC
from loadtests.histogram import Histogram
from loadtests.load import Plan, Report, histogram, rss_mib
from loadtests.processes import Served, floor_server, gateway, load, produce
from loadtests.results import Interval, Result, result

PARTITIONS = 6
FLOOR_TOPIC = "floor"
_ROUNDS = 2
_SAMPLES = 2_000
_WARM_UP_SECONDS = 1.5

ANYBODY = '[auth]\nmode = "anonymous"'
# What the gateway answers to one event, so that the floor sends as many bytes.
_RECEIPT = (
    b'{"id":"019aa54c-5f0e-7c61-a3b4-1f2e3d4c5b6a","topic":"visits","partition":3,"offset":123456,'
    b'"timestamp":"2026-01-01T09:30:00.000Z","schemaId":1}'
)


class Benchmark(NamedTuple):
    """What is measured.

    Args:
        name: how it is reported.
        connections: connections that are kept busy.
        events_per_request: events in each request.
        requests: different requests.
        success: status of an answer that means that all events are stored.
    """

    name: str
    connections: int
    events_per_request: int
    requests: int
    success: str

    @property
    def floor_is_http(self) -> bool:
        """Whether the floor is that of a request, and not that of a record."""
        return self.events_per_request == 1


BENCHMARKS = (
    Benchmark("publish-single", 128, 1, 1_024, "201"),
    Benchmark("publish-batch100", 8, 100, 48, "200"),
    Benchmark("publish-one-connection", 1, 1, 1_024, "201"),
)


class Failed(Exception):
    """A benchmark whose numbers mean nothing."""


class Run:
    """One benchmark against a broker that is running.

    Args:
        benchmark: what to measure.
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: length of each measured interval.
        environ: variables for the gateway.
    """

    def __init__(
        self, benchmark: Benchmark, broker: Broker, folder: Path, seconds: float, environ: dict[str, str]
    ) -> None:
        self._benchmark = benchmark
        self._broker = broker
        self._folder = folder
        self._seconds = seconds
        self._environ = environ
        self._answered = 0

    def __call__(self) -> Result:
        """Measure gateway and floor in turns.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        ports = (free_port(), free_port())
        config = self._folder / "gateway.toml"
        config.write_text(gateway_config(self._broker.bootstrap, ports))
        before = self._records()
        with gateway(config, ports, self._environ, self._folder / "gateway.log") as served:
            intervals = list(self._intervals(served))
            memory = rss_mib(served.pid)
        stored = self._records() - before
        if stored != self._answered:
            raise Failed(f"{self._answered} events were answered as stored, but Kafka has {stored} of them")
        return result(self._benchmark.name, intervals, memory)

    def _intervals(self, served: Served) -> Iterator[Interval]:
        if self._benchmark.floor_is_http:
            with floor_server(_RECEIPT) as floor:
                yield from self._in_turns(lambda: self._gateway(served), lambda: self._http_floor(floor))
        else:
            # A first round without a result: it warms the gateway up and writes the records that the floor repeats.
            self._gateway(served)
            records = floor_produce.samples(self._broker.bootstrap, TOPIC, PARTITIONS, _SAMPLES)
            yield from self._in_turns(lambda: self._gateway(served), lambda: self._record_floor(records))

    def _in_turns(self, measured: Callable[[], Interval], floor: Callable[[], Interval]) -> Iterator[Interval]:
        yield shown(floor())
        for _ in range(_ROUNDS):
            yield shown(measured())
            yield shown(floor())

    def _gateway(self, served: Served) -> Interval:
        report = self._load(served, self._benchmark.success)
        self._answered += report.answers[self._benchmark.success] * self._benchmark.events_per_request
        events = report.measured.get(self._benchmark.success, 0) * self._benchmark.events_per_request
        return Interval("gateway", events, report.seconds, report.server_cpu_seconds, histogram(report))

    def _http_floor(self, served: Served) -> Interval:
        report = self._load(served, "201")
        answers = report.measured.get("201", 0)
        return Interval("floor", answers, report.seconds, report.server_cpu_seconds, histogram(report))

    def _record_floor(self, records: list[floor_produce.Sample]) -> Interval:
        plan = floor_produce.plan(self._broker.bootstrap, FLOOR_TOPIC, records, _WARM_UP_SECONDS, self._seconds)
        report = produce(plan)
        if report.failed:
            raise Failed(f"the produce loop could not store {report.failed} records")
        return Interval("floor", report.stored, report.seconds, report.cpu_seconds, Histogram())

    def _load(self, served: Served, success: str) -> Report:
        return loaded(self._benchmark, served, success, self._seconds)

    def _records(self) -> int:
        return written(self._broker.bootstrap)


def loaded(
    one: Benchmark,
    served: Served,
    success: str,
    seconds: float,
    headers: str = "",
    warm_up_seconds: float = _WARM_UP_SECONDS,
) -> Report:
    """Have the load of a benchmark made, and see that all of it succeeds.

    Args:
        one: the benchmark.
        served: against whom.
        success: status of every answer.
        seconds: length of the measured interval.
        headers: further lines of each head, each with its line end.
        warm_up_seconds: time before it.

    Raises:
        Failed: it does not.
    """
    plan = Plan(
        served.port,
        served.pid,
        one.connections,
        TOPIC,
        one.events_per_request,
        one.requests,
        warm_up_seconds,
        seconds,
        headers,
    )
    return checked(load(plan), success)


def written(bootstrap: str) -> int:
    """Records that were ever written to the topic of events."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "loadtests"})
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        return sum(consumer.get_watermark_offsets(partition, timeout=20)[1] for partition in partitions)
    finally:
        consumer.close()


def checked(report: Report, success: str) -> Report:
    """The report, if every request was answered with the status of success.

    Raises:
        Failed: another status, a request without answer, or nothing measured at all.
    """
    if set(report.answers) != {success} or report.unanswered or not report.measured.get(success):
        raise Failed(f"answers by status: {report.answers}, requests without answer: {report.unanswered}")
    return report


def gateway_config(
    bootstrap: str, ports: tuple[int, int], topic: str = TOPIC, schemas: Path = SCHEMAS, auth: str = ANYBODY
) -> str:
    """The gateway's configuration: what has to be set, and every bound and feature as it is by default.

    Args:
        bootstrap: brokers.
        ports: public and internal port.
        topic: where events are published.
        schemas: folder with its schema.
        auth: who may call.
    """
    return f"""
[http]
port = {ports[0]}
internal_port = {ports[1]}
[kafka]
bootstrap_servers = "{bootstrap}"
[registry]
kind = "folder"
folder = {json.dumps(str(schemas))}
{auth}
[topics."{topic}"]
key = "{KEY}"
"""


def subscribing_config(
    bootstrap: str, ports: tuple[int, int], topic: str, folder: Path, *, is_json: bool = False
) -> str:
    """The same for a gateway with subscriptions and a topic of its own.

    Args:
        bootstrap: brokers.
        ports: public and internal port.
        topic: where events are published; it gets the schema of the events.
        folder: where schemas are kept for the run.
        is_json: whether the topic has JSON in place of Avro.
    """
    schemas = folder / "schemas"
    schemas.mkdir(exist_ok=True)
    shutil.copy(SCHEMAS / f"{TOPIC}.avsc", schemas / f"{topic}.avsc")
    stored = 'format = "json"' if is_json else ""
    return f"""{gateway_config(bootstrap, ports, topic, schemas)}{stored}
[subscriptions]
enabled = true
peer_secret = "{secrets.token_hex(32)}"
"""


def pushing_config(bootstrap: str, ports: tuple[int, int], topic: str, folder: Path) -> str:
    """The same for a gateway that may also call webhooks on this machine.

    Args:
        bootstrap: brokers.
        ports: public and internal port.
        topic: where events are published.
        folder: where schemas are kept for the run.
    """
    return f"""{subscribing_config(bootstrap, ports, topic, folder)}
[webhooks]
secret_keys = "{b64encode(secrets.token_bytes(32)).decode()}"
allow_http = true
allowed_ports = ["1-65535"]
allowed_networks = ["127.0.0.0/8"]
"""


def shown(interval: Interval) -> Interval:
    """Print an interval, and give it back."""
    line = (
        f"  {interval.what:<8}{interval.events_per_second:>10,.0f}/s"
        f"{interval.cpu_us_per_event:>9.2f} µs CPU{interval.cpu_seconds / interval.seconds:>8.0%} of a core"
    )
    if interval.latencies.counts:
        quantiles = [f"p{share:.0%} {interval.latencies.percentile(share) / 1_000:.3f} ms" for share in (0.5, 0.99)]
        line += "   " + "  ".join(quantiles).replace("%", "")
    click.echo(line)
    return interval
