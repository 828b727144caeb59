"""Counts and distributions, cheap to write and read out in Prometheus' format.

``prometheus_client`` takes a lock and walks every bucket for each observation, which is a tenth of what a whole
publish costs. All writers here live on the event loop, so plain numbers do; the library reads them when asked.
Label values come from closed sets only: route templates, topics that exist, subscriptions that this process serves,
outcomes, error codes.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

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

    def keep(self, known: Container[str]) -> None:
        """Forget the combinations whose first label value is none of these, nor ``other``."""
        self.values = {
            labels: value for labels, value in self.values.items() if labels == self._other or labels[0] in known
        }

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


class Gauges:
    """A number for each of a few things, read when somebody asks.

    Args:
        name: metric name.
        help: what it shows.
        label: what tells the things apart.
        read: gives the present values by label value.
        max_series: values shown; what is beyond is left out.
    """

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        label: str,
        read: Callable[[], Mapping[str, float]],
        max_series: int = 1_000,
    ) -> None:
        self.name = name
        self.help = help
        self.label = label
        self._read = read
        self._max_series = max_series

    def collect(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.help, labels=(self.label,))
        for value_of_label, value in islice(self._read().items(), self._max_series):
            family.add_metric((value_of_label,), value)
        return family


class Serving(NamedTuple):
    """What this process has of a subscription.

    Args:
        subscription: its full name.
        unacked: events that are held and not acked.
        oldest_timestamp: of the oldest of them, milliseconds since the epoch; None without any.
        is_open: whether its webhook's breaker keeps everything back; None where there is no webhook.
        behind: events between what is done and the ends of its topics; None where the ends are not known now.
    """

    subscription: str
    unacked: int
    oldest_timestamp: int | None
    is_open: bool | None
    behind: int | None = None

    def joined(self, other: "Serving") -> "Serving":
        """This together with another part of the same subscription."""
        times = [one for one in (self.oldest_timestamp, other.oldest_timestamp) if one is not None]
        is_open = self.is_open if other.is_open is None else other.is_open or bool(self.is_open)
        known = [one for one in (self.behind, other.behind) if one is not None]
        behind = sum(known) if known else None
        return Serving(self.subscription, self.unacked + other.unacked, min(times, default=None), is_open, behind)


class SubscriptionMetrics:
    """What is counted and shown of each subscription that this process serves.

    Args:
        now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        labels = ("subscription", "outcome")
        self.events = Counter(
            "eventbus_subscription_events", "Events of a subscription, by what became of them.", labels
        )
        self.attempts = Counter(
            "eventbus_webhook_attempts", "Attempts to deliver to a webhook, by how they ended.", labels
        )
        self.serving: Callable[[], Iterable[Serving]] = tuple
        """What this process serves, each subscription once."""
        self._now = now
        self._before: frozenset[str] = frozenset()

    def collect(self) -> Iterator[Metric]:
        served = list(self.serving())
        names = frozenset(one.subscription for one in served)
        # One that has gone is read out once more, with what was counted last.
        for counter in (self.events, self.attempts):
            counter.keep(names | self._before)
            yield counter.collect()
        self._before = names
        now = self._now()
        unacked = _by_subscription("eventbus_subscription_unacked_events", "Events that are held and not acked.")
        oldest = _by_subscription("eventbus_subscription_oldest_unacked_seconds", "Age of the oldest of them.")
        is_open = _by_subscription("eventbus_webhook_breaker_open", "1 while nothing is sent to a failing receiver.")
        lag = _by_subscription("eventbus_subscription_lag_events", "Events behind the ends of its topics.")
        for one in served:
            unacked.add_metric((one.subscription,), one.unacked)
            then = one.oldest_timestamp
            oldest.add_metric((one.subscription,), 0.0 if then is None else max(0.0, now - then / 1_000))
            if one.is_open is not None:
                is_open.add_metric((one.subscription,), one.is_open)
            if one.behind is not None:
                lag.add_metric((one.subscription,), one.behind)
        yield from (unacked, oldest, is_open, lag)


def _by_subscription(name: str, help: str) -> GaugeMetricFamily:  # noqa: A002
    return GaugeMetricFamily(name, help, labels=("subscription",))


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
        self.subscriptions = SubscriptionMetrics()
        self.webhook_seconds = Histogram(
            "eventbus_webhook_attempt_duration_seconds", "Time from the start of an attempt to its end, in seconds."
        )
        self.read_events = Counter(
            "eventbus_read_events", "Events given to readers without a subscription.", ("topic",)
        )
        self.kafka_events = Counter(
            "eventbus_kafka_producer_incidents", "Rare producer incidents, by kind.", ("kind",)
        )
        self.registry_requests = Counter(
            "eventbus_registry_requests", "Questions to the schema registry, by how they ended.", ("outcome",)
        )
        self.registry_seconds = Histogram(
            "eventbus_registry_request_duration_seconds", "Time that the schema registry took to answer, in seconds."
        )
        self.loop_delay = Histogram(
            "eventbus_event_loop_delay_seconds", "How late the event loop was, four times a second, in seconds."
        )
        self.log_lines_dropped = Counter("eventbus_access_log_lines_dropped", "Access log lines that found no room.")
        self._parts: list[Counter | Histogram | Gauge | Gauges] = [
            self.requests,
            self.request_seconds,
            self.events,
            self.ack_seconds,
            self.webhook_seconds,
            self.read_events,
            self.kafka_events,
            self.registry_requests,
            self.registry_seconds,
            self.loop_delay,
            self.log_lines_dropped,
        ]
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
        """Show a number that is read at each scrape."""
        self._parts.append(Gauge(name, help, read))

    def gauges(self, name: str, help: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:  # noqa: A002
        """Show a number for each of a few things, read at each scrape; the label's values are a closed set."""
        self._parts.append(Gauges(name, help, label, read))

    def counter(self, counter: Counter) -> None:
        """Show what a part counts that is not there in every process."""
        self._parts.append(counter)

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield part.collect()
        yield from self.subscriptions.collect()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
