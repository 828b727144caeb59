"""What of a process is shown as numbers that are read at each scrape."""

import asyncio
import time
from collections.abc import Callable, Mapping

from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.read import Read
from eventbus_gateway.kafka.msk_iam import msk_tokens
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.reader import KafkaReader
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.statistics import BrokerState
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.subscriptions.replica import Replica
from eventbus_gateway.telemetry import Metrics


def measure(metrics: Metrics, edge: Edge, producer: KafkaProducer, read: Read, reader: KafkaReader) -> None:
    """Have it shown what the gateway is working on, and how Kafka is."""
    gauge, admission, status = metrics.gauge, edge.admission, producer.status
    loop = asyncio.get_running_loop()
    edge.note_lag = metrics.loop_delay.observe
    gauge("eventbus_http_in_flight_requests", "Requests being worked on.", lambda: admission.requests)
    gauge("eventbus_http_in_flight_bytes", "Bytes of request bodies held.", lambda: admission.bytes)
    gauge("eventbus_http_connections", "Open connections.", lambda: len(edge.connections))
    gauge("eventbus_event_loop_lag_seconds", "How late the event loop's last timer was.", lambda: edge.lag)
    gauge("eventbus_event_loop_tasks", "Tasks that have not ended.", lambda: len(asyncio.all_tasks(loop)))
    gauge("eventbus_read_polls", "Reads under way, streams included.", lambda: read.polls)
    gauge("eventbus_read_streams", "Streams that are open.", lambda: read.streams)
    gauge("eventbus_read_readers", "Kafka consumers for reads.", lambda: reader.readers)
    gauge("eventbus_kafka_up", "1 while Kafka can be reached.", lambda: status().up)
    gauge("eventbus_kafka_in_flight_records", "Unacknowledged records.", lambda: status().in_flight_records)
    gauge("eventbus_kafka_in_flight_bytes", "Bytes of unacknowledged records.", lambda: status().in_flight_bytes)
    gauge("eventbus_kafka_in_flight_oldest_seconds", "Age of the oldest of them.", lambda: status().oldest_seconds)
    _measure_brokers(metrics, producer.statistics.brokers)


def measure_upstream(metrics: Metrics, schemas: Schemas, kafka: KafkaSettings) -> None:
    """Have it shown what is kept of the schema registry, and how long the gateway may still talk to Kafka."""
    gauge, stats = metrics.gauge, schemas.stats
    gauge("eventbus_registry_schemas", "Compiled schemas at hand.", lambda: stats().schemas)
    gauge("eventbus_registry_stale_subjects", "Subjects that the registry did not confirm.", lambda: stats().stale)
    gauge(
        "eventbus_registry_unconfirmed_seconds",
        "Since when the registry has not confirmed one of them.",
        lambda: stats().unconfirmed_seconds,
    )
    if kafka.sasl_mechanism == "AWS_MSK_IAM":
        expires_at = msk_tokens(kafka).expires_at
        gauge(
            "eventbus_kafka_token_remaining_seconds",
            "How long the last AWS token for Kafka is good; 0 without one.",
            lambda: max(0.0, (expires_at() or 0.0) - time.time()),
        )


def measure_replica(metrics: Metrics, replica: Replica) -> None:
    """Have it shown what this process serves of all subscriptions."""
    gauge, metrics.subscriptions.serving = metrics.gauge, replica.serving
    gauge("eventbus_subscription_slots", "Slots that this process owns.", lambda: replica.slots)
    gauge("eventbus_subscription_shards", "Shards that this process serves.", lambda: len(replica.shards))
    gauge("eventbus_subscriptions_ready", "1 once all subscriptions are known.", lambda: replica.is_ready)


def _measure_brokers(metrics: Metrics, brokers: Callable[[], Mapping[str, BrokerState]]) -> None:
    """One series per broker, named by its number; a time that is not known now has none."""

    def show(name: str, help: str, read: Callable[[BrokerState], float | None]) -> None:  # noqa: A002
        def values() -> dict[str, float]:
            found = {number: read(broker) for number, broker in brokers().items()}
            return {number: value for number, value in found.items() if value is not None}

        metrics.gauges(f"eventbus_kafka_broker_{name}", help, "broker", values)

    show("up", "1 while the producer is connected to the broker.", lambda broker: broker.up)
    show("rtt_seconds", "Mean time until the broker answered.", lambda broker: broker.rtt)
    show("rtt_p99_seconds", "Time that 99 of 100 answers did not exceed.", lambda broker: broker.rtt_p99)
    show("queue_seconds", "Mean time that records waited to be sent.", lambda broker: broker.queue)
    show("requests", "Requests that wait to be sent or answered.", lambda broker: broker.requests)
