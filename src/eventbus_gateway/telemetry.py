"""Counts and distributions, cheap to write and read out in Prometheus' format.

``prometheus_client`` takes a lock and walks every bucket for each observation, which is a tenth of what a whole
publish costs. All writers here live on the event loop, so plain numbers do; the library reads them when asked.
Label values come from closed sets only: route templates, topics that exist, outcomes, error codes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)


class Counter:
    """A number per combination of labels that only grows.

    Args:
        name: metric name without the ``_total`` suffix.
        help: what it counts.
        labels: label names.
        max_series: combinations kept; further ones are counted together under ``other``.
    """

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), max_series: int = 5_000) -> None:  # noqa: A002
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self._max_series = max_series
        self._other = ("other",) * len(self.labels)
        self.values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Count ``amount`` more under these label values."""
        try:
            self.values[labels] += amount
        except KeyError:
            known = len(self.values) < self._max_series
            self.values[labels if known else self._other] = amount + (
                0.0 if known else self.values.get(self._other, 0.0)
            )

    def collect(self) -> Metric:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """How often a value fell into each of the buckets.

    Args:
        name: metric name.
        help: what it measures, with its unit.
        bounds: upper bounds of the buckets, ascending.
    """

    def __init__(self, name: str, help: str, bounds: Sequence[float] = SECONDS) -> None:  # noqa: A002
        self.name = name
        self.help = help
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.help)
        buckets, seen = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            seen += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(seen)))
        family.add_metric((), buckets, self._sum)
        return family


class Gauge:
    """A number that is read when somebody asks.

    Args:
        name: metric name.
        help: what it shows.
        read: gives the present value.
    """

    def __init__(self, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
        self.name = name
        self.help = help
        self._read = read

    def collect(self) -> Metric:
        return GaugeMetricFamily(self.name, self.help, value=self._read())


class Metrics(Collector):
    """Everything that one process measures."""

    def __init__(self) -> None:
        self.requests = Counter(
            "eventbus_http_requests", "Requests answered, by route and status.", ("method", "route", "status")
        )
        self.request_seconds = Histogram(
            "eventbus_http_request_duration_seconds", "Time from a complete request to its answer, in seconds."
        )
        self.events = Counter(
            "eventbus_publish_events", "Events of publish requests, by topic and outcome.", ("topic", "outcome")
        )
        self.ack_seconds = Histogram(
            "eventbus_publish_ack_duration_seconds", "Time from handing records over to their outcome, in seconds."
        )
        self.webhook_attempts = Counter(
            "eventbus_webhook_attempts", "Attempts to deliver to webhooks, by how they ended.", ("outcome",)
        )
        self.webhook_seconds = Histogram(
            "eventbus_webhook_attempt_duration_seconds", "Time from the start of an attempt to its end, in seconds."
        )
        self.read_events = Counter(
            "eventbus_read_events", "Events given to readers without a subscription.", ("topic",)
        )
        self.subscription_events = Counter(
            "eventbus_subscription_events", "Events of subscriptions, by what became of them.", ("outcome",)
        )
        self.kafka_events = Counter(
            "eventbus_kafka_producer_incidents", "Rare producer incidents, by kind.", ("kind",)
        )
        self.log_lines_dropped = Counter("eventbus_access_log_lines_dropped", "Access log lines that found no room.")
        self._parts: list[Counter | Histogram | Gauge] = [
            self.requests,
            self.request_seconds,
            self.events,
            self.ack_seconds,
            self.webhook_attempts,
            self.webhook_seconds,
            self.read_events,
            self.subscription_events,
            self.kafka_events,
            self.log_lines_dropped,
        ]
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
        """Show a number that is read at each scrape."""
        self._parts.append(Gauge(name, help, read))

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield part.collect()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
