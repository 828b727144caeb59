"""The benchmarks of webhooks, each in front of a real Kafka, with a receiver that checks every request.

- ``webhook-single``: an event per request in CloudEvents' binary mode, signed, in order per key; the floor reads and
  decodes the very same records in a plain loop and sends each with aiohttp, with as many requests under way.
- ``webhook-batch100``: a hundred events per request, and so has the floor.
- ``webhook-latency``: from when a publish is due to having its event at the receiver, at 500 events per second.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.broker import Broker, free_port

from loadtests import arriving, floor_push, receiving
from loadtests.consuming import request
from loadtests.events import SCHEMAS, TOPIC
from loadtests.histogram import Histogram
from loadtests.load import Plan, cpu_seconds, rss_mib
from loadtests.measuring import PARTITIONS, Failed, checked, pushing_config, shown
from loadtests.processes import Served, call, gateway, listening, load
from loadtests.results import Interval, Result, result

NAMES = ("webhook-single", "webhook-batch100", "webhook-latency")
_PER_REQUEST = 100
_IN_FLIGHT = 64
_ROUNDS = 2
_PER_SECOND = 500
_WARM_UP_SECONDS = 2
_SINGLE_SHARE = 1 / 6
"""Of the time in which events are published: what one request carries then takes a hundred to be delivered."""


class Pushing:
    """The benchmarks of webhooks against a broker that is running.

    Args:
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: how long events are published.
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
            Failed: an event was lost, came twice, too late or without its signature.
        """
        self._broker.create_topic(name, PARTITIONS)
        ports = (free_port(), free_port())
        config = self._folder / f"{name}.toml"
        config.write_text(pushing_config(self._broker.bootstrap, ports, name, self._folder))
        with gateway(config, ports, self._environ, self._folder / f"{name}.log") as served:
            if name == "webhook-latency":
                intervals = [shown(self._arrive(served, name))]
            else:
                intervals = list(self._push(served, name, 1 if name == "webhook-single" else _PER_REQUEST))
            return result(name, intervals, rss_mib(served.pid))

    def _push(self, served: Served, topic: str, per_request: int) -> Iterator[Interval]:
        seconds = self._seconds * (_SINGLE_SHARE if per_request == 1 else 1)
        published = checked(load(Plan(served.port, served.pid, 8, topic, _PER_REQUEST, 48, 0.0, seconds)), "200")
        events = published.answers["200"] * _PER_REQUEST
        yield shown(self._floor(topic, events, per_request))
        for number in range(_ROUNDS):
            yield shown(_pushed(served, topic, f"{topic}-{number}", events, per_request))
            yield shown(self._floor(topic, events, per_request))

    def _floor(self, topic: str, events: int, per_request: int) -> Interval:
        with listening("loadtests.receiving") as receiver:
            receiver.tell(receiving.Plan(events)._asdict())
            plan = floor_push.Plan(
                self._broker.bootstrap,
                topic,
                PARTITIONS,
                events,
                str(SCHEMAS / f"{TOPIC}.avsc"),
                receiver.url,
                per_request,
                _IN_FLIGHT,
            )
            sent = floor_push.Report(**call("loadtests.floor_push", json.dumps(plan._asdict())))
            # A plain loop keeps no order while several of its requests are under way.
            _checked(receiving.Report(**receiver.report())._replace(disordered=0), events)
        return Interval("floor", sent.events, sent.seconds, sent.cpu_seconds, Histogram())

    def _arrive(self, served: Served, topic: str) -> Interval:
        with listening("loadtests.arriving") as receiver:
            _subscribe(served, topic, "arriving", {**_delivery(receiver.url, 1)}, "latest")
            events = max(10, int(self._seconds * _PER_SECOND))
            warm_up = _WARM_UP_SECONDS * _PER_SECOND
            receiver.tell(arriving.Plan(served.port, served.pid, topic, _PER_SECOND, warm_up, events)._asdict())
            report = arriving.Report(**receiver.report())
        if report.refused or report.repeated or report.arrived != events:
            raise Failed(f"{report.arrived} of {events} arrived, {report.repeated} again, {report.refused} refused")
        latencies = Histogram({int(index): count for index, count in report.latencies.items()})
        return Interval("gateway", events, report.seconds, report.server_cpu_seconds, latencies)


def _pushed(served: Served, topic: str, name: str, events: int, per_request: int) -> Interval:
    """Deliver a topic from its beginning: from before its subscription is there to its last event."""
    with listening("loadtests.receiving") as receiver:
        cpu = cpu_seconds(served.pid)
        secret = _subscribe(served, topic, name, _delivery(receiver.url, per_request), "earliest")
        receiver.tell(receiving.Plan(events, secret, served.pid, cpu)._asdict())
        report = _checked(receiving.Report(**receiver.report()), events)
    request(served, "DELETE", f"/v1/subscriptions/{name}", {})
    return Interval("gateway", report.events, report.seconds, report.server_cpu_seconds, Histogram())


def _delivery(url: str, per_request: int) -> dict[str, Any]:
    delivery: dict[str, Any] = {"type": "webhook", "url": url, "order": "key", "maxInFlight": _IN_FLIGHT}
    if per_request > 1:
        delivery |= {"format": "batch", "batch": {"maxEvents": per_request}}
    return delivery


def _subscribe(served: Served, topic: str, name: str, delivery: dict[str, Any], start: str) -> str:
    body = {"topics": [topic], "start": start, "delivery": delivery}
    return str(request(served, "PUT", f"/v1/subscriptions/{name}", body)["signingSecret"])


def _checked(report: receiving.Report, events: int) -> receiving.Report:
    if report.events != events or report.repeated or report.disordered or report.unsigned:
        raise Failed(
            f"{report.events} of {events} events, {report.repeated} again, {report.disordered} out of order, "
            f"{report.unsigned} not signed"
        )
    return report
