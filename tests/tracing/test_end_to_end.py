"""One event from its publish to whoever consumes it, as one trace: real processes, broker, receiver and collector."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.leaks import marked
from tests.scripted_server import Canned, ScriptedServer, Seen
from tests.tracing.collector import Collector

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
PUBLISH = "POST /v1/topics/{topic}/events"
RECEIVE = "POST /v1/subscriptions/{name}/receive"
SEAL = marked(b64encode(Random("of traces").randbytes(32)).decode(), "the key that seals secrets")


class Receiver(ScriptedServer):
    """Takes every delivery."""

    def replied(self, seen: Seen) -> Canned:
        return Canned()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(broker: Broker, collector: Collector) -> Iterator[GatewayProcess]:
    tables: dict[str, Any] = {
        "subscriptions": {
            "enabled": True,
            "peer_secret": "p" * 32,
            "internal_topic_prefix": "_traces",
            "group_prefix": "traces",
            "lag_seconds": 1,
        },
        "webhooks": {
            "secret_keys": SEAL,
            "allow_http": True,
            "allowed_ports": ["1-65535"],
            "allowed_networks": ["127.0.0.1/32"],
        },
        "tracing": {
            "enabled": True,
            "endpoint": collector.endpoint,
            "sample_ratio": 0.0,
            "export_seconds": 0.1,
            "max_caller_traces_per_second": 10_000,
            "headers": [{"name": "x-tenant", "value": "env:COLLECTOR_TENANT"}],
        },
        "kafka": {"statistics_seconds": 1},
    }
    with GatewayProcess(broker.bootstrap, environ={"COLLECTOR_TENANT": "clinic"}, **tables) as one:
        yield one


def subscribe(gateway: GatewayProcess, name: str, topic: str, delivery: Any = None) -> None:
    body = {"topics": [topic], "start": "earliest", **({} if delivery is None else {"delivery": delivery})}
    answer = gateway.client.put(f"/v1/subscriptions/{name}", json=body)
    assert answer.status_code == 201, answer.text


def received(gateway: GatewayProcess, name: str) -> list[Any]:
    """Events of a subscription, as soon as it is served."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = gateway.client.post(
            f"/v1/subscriptions/{name}/receive", json={"waitSeconds": 5}, headers={"traceparent": PARENT}
        )
        found: list[Any] = answer.json().get("events", []) if answer.status_code == 200 else []
        if found:
            return found
        assert time.monotonic() < deadline, answer.text


def test_a_publish_and_its_delivery_to_a_webhook_are_one_trace(
    gateway: GatewayProcess, receiver: Receiver, collector: Collector, topic: TopicFactory
) -> None:
    name = topic(1)
    subscribe(gateway, "hooked", name, {"type": "webhook", "url": f"{receiver.url}/hook", "format": "structured"})
    stored = gateway.publish(name, '{"a": 1}', traceparent=PARENT, tracestate="vendor=1")
    assert stored.status_code == 201

    delivery = "deliver hooked"
    server, send, deliver = (collector.named(span) for span in (PUBLISH, f"send {name}", delivery))
    assert {server.trace_id, send.trace_id, deliver.trace_id} == {TRACE}
    assert (server.parent_id, send.parent_id, deliver.parent_id) == (CALLER, server.span_id, send.span_id)
    assert deliver.links == ((TRACE, send.span_id),)
    assert deliver.attributes["http.response.status_code"] == 200
    assert server.resource["service.name"] == "eventbus-gateway"
    assert {seen.headers["x-tenant"] for seen in collector.seen} == {"clinic"}

    (delivered,) = receiver.seen
    assert delivered.headers["traceparent"] == f"00-{TRACE}-{deliver.span_id}-01"
    assert delivered.headers["tracestate"] == "vendor=1"
    event = json.loads(delivered.body)
    assert event["traceparent"] == f"00-{TRACE}-{send.span_id}-01"
    assert event["tracestate"] == "vendor=1"


def test_a_receive_has_links_to_the_traces_of_its_events(
    gateway: GatewayProcess, collector: Collector, topic: TopicFactory
) -> None:
    name = topic(1)
    subscribe(gateway, "pulled", name)
    assert gateway.publish(name, '{"a": 1}', traceparent=PARENT).status_code == 201
    assert gateway.publish(name, '{"a": 2}').status_code == 201
    events = received(gateway, "pulled")
    if len(events) < 2:
        events += received(gateway, "pulled")
    send = collector.named(f"send {name}")
    assert events[0]["traceparent"] == f"00-{TRACE}-{send.span_id}-01"
    assert "traceparent" not in events[1]
    spans = collector.until(lambda spans: any(span.name == RECEIVE and span.links for span in spans))
    assert [span.links for span in spans if span.links and span.name == RECEIVE] == [((TRACE, send.span_id),)]


def test_what_nobody_samples_leaves_nothing_behind(
    gateway: GatewayProcess, receiver: Receiver, collector: Collector, topic: TopicFactory
) -> None:
    name = topic(1)
    subscribe(gateway, "quiet", name, {"type": "webhook", "url": f"{receiver.url}/quiet", "format": "structured"})
    assert gateway.publish(name, '{"a": 1}').status_code == 201
    gateway.until(lambda: any(seen.target == "/quiet" for seen in receiver.seen), "the delivery")
    (delivered,) = (seen for seen in receiver.seen if seen.target == "/quiet")
    assert "traceparent" not in delivered.headers
    assert "traceparent" not in json.loads(delivered.body)
    assert not any(name in span.name or "quiet" in span.name for span in collector.spans)


def test_lag_brokers_and_exports_are_measured(gateway: GatewayProcess, topic: TopicFactory) -> None:
    name = topic(1)
    subscribe(gateway, "lagging", name)
    for _ in range(3):
        assert gateway.publish(name, "{}", traceparent=PARENT).status_code == 201
    gateway.until(lambda: gateway.metric("eventbus_subscription_lag_events", subscription="lagging") == 3, "the lag")
    gateway.until(lambda: any(sample == "eventbus_kafka_broker_up" for sample, _ in gateway.metrics()), "a broker")
    brokers = {labels for sample, labels in gateway.metrics() if sample == "eventbus_kafka_broker_up"}
    ((_, number),) = next(iter(brokers))
    assert gateway.metric("eventbus_kafka_broker_up", broker=number) == 1
    gateway.until(lambda: gateway.publish(name, "{}").status_code == 201 and _rtt(gateway, number) > 0, "a time")
    gateway.until(lambda: gateway.metric("eventbus_trace_spans_total", outcome="exported") > 0, "an export")
    assert gateway.metric("eventbus_event_loop_delay_seconds_count") > 0


def _rtt(gateway: GatewayProcess, number: str) -> float:
    return gateway.metric("eventbus_kafka_broker_rtt_seconds", broker=number)
