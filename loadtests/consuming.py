"""The benchmarks of consuming by a subscription, each in front of a real Kafka.

- ``pull-avro100`` and ``pull-json100``: clients pull a subscription to its end, 100 events per receive, and ack each
  with the next receive; the floor reads and decodes the very same records in a plain loop.
- ``pull-avro100-apart`` and ``pull-json100-apart``: the same with a request of their own for the acks.
- ``longpoll-latency``: from sending a publish to having its event on a connection that waits for it.
"""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.broker import Broker, free_port

from loadtests import floor_consume, pull_load, waiting
from loadtests.events import SCHEMAS, TOPIC
from loadtests.histogram import Histogram
from loadtests.load import Plan, rss_mib
from loadtests.measuring import PARTITIONS, Failed, checked, shown, subscribing_config
from loadtests.processes import Served, call, gateway, load
from loadtests.results import Interval, Result, result

NAMES = ("pull-avro100", "pull-avro100-apart", "pull-json100", "pull-json100-apart", "longpoll-latency")
_APART = "-apart"
_PER_REQUEST = 100
_CONNECTIONS = 8
_ROUNDS = 2
_WAITS_PER_SECOND = 100


class Consuming:
    """The benchmarks of consuming against a broker that is running.

    Args:
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: how long events are published that are pulled then; a hundred waits for each of them.
        environ: variables for the gateway.
    """

    def __init__(self, broker: Broker, folder: Path, seconds: float, environ: dict[str, str]) -> None:
        self._broker = broker
        self._folder = folder
        self._seconds = seconds
        self._environ = environ

    def __call__(self, name: str) -> Result:
        """Carry one of them out.

        Args:
            name: which one.

        Raises:
            Failed: an event was lost, came twice, or was refused.
        """
        is_json = name.startswith("pull-json100")
        self._broker.create_topic(name, PARTITIONS)
        ports = (free_port(), free_port())
        config = self._folder / f"{name}.toml"
        config.write_text(subscribing_config(self._broker.bootstrap, ports, name, self._folder, is_json=is_json))
        with gateway(config, ports, self._environ, self._folder / f"{name}.log") as served:
            if name == "longpoll-latency":
                intervals = [self._wait(served, name)]
            else:
                intervals = list(self._pull(served, name, is_json=is_json))
            return result(name, intervals, rss_mib(served.pid))

    def _pull(self, served: Served, topic: str, *, is_json: bool) -> Iterator[Interval]:
        plan = Plan(served.port, served.pid, 8, topic, _PER_REQUEST, 48, 0.0, self._seconds)
        events = checked(load(plan), "200").answers["200"] * _PER_REQUEST
        schema = None if is_json else str(SCHEMAS / f"{TOPIC}.avsc")
        floor = floor_consume.Plan(self._broker.bootstrap, topic, PARTITIONS, events, schema)
        yield shown(_floor(floor))
        for number in range(_ROUNDS):
            name = f"{topic}-{number}"
            request(served, "PUT", f"/v1/subscriptions/{name}", {"topics": [topic], "start": "earliest"})
            # The first receive waits until the subscription is served; what it leases comes again at once.
            first = request(served, "POST", f"/v1/subscriptions/{name}/receive", {"maxEvents": 1, "waitSeconds": 20})
            request(served, "POST", f"/v1/subscriptions/{name}/seek", {"to": "earliest"})
            if not first["events"]:
                raise Failed("the subscription is not served")
            apart = topic.endswith(_APART)
            yield shown(
                self._pulled(pull_load.Plan(served.port, served.pid, name, _CONNECTIONS, _PER_REQUEST, events, apart))
            )
            yield shown(_floor(floor))

    def _pulled(self, plan: pull_load.Plan) -> Interval:
        report = pull_load.Report(**call("loadtests.pull_load", json.dumps(plan._asdict())))
        if report.failures or report.repeated or report.events != plan.events:
            raise Failed(f"{report.events} of {plan.events} events, {report.repeated} again, {report.failures[:1]}")
        latencies = Histogram({int(index): count for index, count in report.latencies.items()})
        return Interval("gateway", report.events, report.seconds, report.server_cpu_seconds, latencies)

    def _wait(self, served: Served, topic: str) -> Interval:
        request(served, "PUT", "/v1/subscriptions/bench", {"topics": [topic]})
        request(served, "POST", "/v1/subscriptions/bench/receive", {"waitSeconds": 5})
        rounds = max(10, int(self._seconds * _WAITS_PER_SECOND))
        plan = waiting.Plan(served.port, served.pid, "bench", topic, rounds)
        report = waiting.Report(**call("loadtests.waiting", json.dumps(plan._asdict())))
        latencies = Histogram({int(index): count for index, count in report.latencies.items()})
        return shown(Interval("gateway", plan.rounds, report.seconds, report.server_cpu_seconds, latencies))


def request(served: Served, method: str, path: str, body: dict[str, Any]) -> Any:
    """The JSON that a request is answered with, None where there is none.

    Raises:
        Failed: the answer is an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise Failed(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text else None


def _floor(plan: floor_consume.Plan) -> Interval:
    report = floor_consume.Report(**call("loadtests.floor_consume", json.dumps(plan._asdict())))
    return Interval("floor", report.events, report.seconds, report.cpu_seconds, Histogram())
