"""The internal port: probes and metrics."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.api.wire import TARGET, TOPIC, both_ways, calling, edge, get, head, post
from tests.serving import Way

from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.routes import Router
from eventbus_gateway.api.table import internal_routes
from eventbus_gateway.auth.chain import Anonymous
from eventbus_gateway.auth.policy import Policy
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.telemetry import Metrics


class Port:
    """The internal port's routes, without a socket."""

    def __init__(self) -> None:
        self.state = "starting"
        self.metrics = Metrics()
        routes = internal_routes(Internal(self.metrics, lambda: self.state))
        self._gateway = Gateway(Router(routes), Anonymous(), Policy(None), Metrics())

    def get(self, path: str, method: str = "GET") -> Answer:
        return asyncio.run(self._gateway.handle(Request(method, path, b"", {}, b"", "id")))


@pytest.fixture
def port() -> Port:
    return Port()


def families(exposition: bytes) -> dict[str, Metric]:
    found = {family.name: family for family in text_string_to_metric_families(exposition.decode())}
    assert found
    return found


@pytest.mark.parametrize("state", ["starting", "ready", "draining"])
def test_a_process_is_alive_in_every_state(port: Port, state: str) -> None:
    port.state = state
    answer = port.get("/livez")
    assert (answer.status, answer.body) == (200, b'{"status":"alive"}')


@pytest.mark.parametrize(("state", "status"), [("starting", 503), ("ready", 200), ("draining", 503)])
def test_callers_are_sent_to_a_process_that_is_ready_only(port: Port, state: str, status: int) -> None:
    port.state = state
    answer = port.get("/readyz")
    assert (answer.status, answer.body) == (status, b'{"status":"%s"}' % state.encode())


def test_metrics_are_what_prometheus_reads(port: Port) -> None:
    port.metrics.requests.add(("POST", "/v1/topics/{topic}/events", "201"))
    port.metrics.request_seconds.observe(0.004)
    port.metrics.gauge("eventbus_test", "A test.", lambda: 7)
    answer = port.get("/metrics")
    assert answer.status == 200
    assert answer.content_type == b"text/plain; version=0.0.4; charset=utf-8"
    found = families(answer.body)
    (sample,) = found["eventbus_http_requests"].samples
    assert sample.labels == {"method": "POST", "route": "/v1/topics/{topic}/events", "status": "201"}
    assert sample.value == 1
    buckets = {
        sample.labels["le"]: sample.value
        for sample in found["eventbus_http_request_duration_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert buckets["0.0025"] == 0
    assert buckets["0.005"] == buckets["+Inf"] == 1
    assert found["eventbus_test"].samples[0].value == 7


def test_nothing_else_is_on_the_internal_port(port: Port) -> None:
    assert port.get("/v1/topics").status == 404
    assert port.get("/metrics", "POST").status == 405


HOSTILE = [
    post(),
    post(b"{", target=b"/v1/topics/some-secret-name/events"),
    post(b"{}", target=TARGET + b"?key=secret"),
    *(get(b"/made/up/%d" % number) for number in range(50)),
    *(get(b"/v1/topics/made-up-%d" % number) for number in range(50)),
    *(get(TARGET, method=method) for method in (b"PURGE", b"M-SEARCH", b"REPORT", b"UNLOCK", b"QUERY")),
    head(b"Transfer-Encoding: gzip", b"X-Request-Id: secret"),
    b"garbage\r\n\r\n",
]
LABELS = {
    "eventbus_http_requests": {"method", "route", "status"},
    "eventbus_publish_events": {"topic", "outcome"},
}
ROUTES = {"/v1/topics/{topic}/events", "/v1/topics", "/v1/topics/{topic}", "unmatched", "refused"}


def _labels(metrics: bytes, name: str) -> Iterator[dict[str, str]]:
    for sample in families(metrics)[name].samples:
        assert set(sample.labels) == LABELS[name]
        yield sample.labels


@both_ways
def test_labels_come_from_closed_sets_whatever_callers_send(way: Way) -> None:
    with edge(way, MemoryKafka({TOPIC: 1})) as gateway:
        for request_bytes in HOSTILE:
            with calling(gateway) as caller:
                caller.ask(request_bytes)
        exposition = gateway.call(gateway.metrics.exposition)
    assert b"secret" not in exposition
    assert b"made" not in exposition
    for labels in _labels(exposition, "eventbus_http_requests"):
        assert labels["route"] in ROUTES
        assert labels["status"] in {"201", "400", "404", "405"}
        assert labels["method"].replace("-", "").isupper() or labels["method"] == "-"
    assert list(_labels(exposition, "eventbus_publish_events")) == [{"topic": "appointments", "outcome": "stored"}]
