"""What of a process is shown as numbers that are read at each scrape."""

import asyncio

from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.read import Read
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.reader import KafkaReader
from eventbus_gateway.subscriptions.replica import Replica
from eventbus_gateway.telemetry import Metrics


def measure(metrics: Metrics, edge: Edge, producer: KafkaProducer, read: Read, reader: KafkaReader) -> None:
    """Have it shown what the gateway is working on, and how Kafka is."""
    gauge, admission, status = metrics.gauge, edge.admission, producer.status
    loop = asyncio.get_running_loop()
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


def measure_replica(metrics: Metrics, replica: Replica) -> None:
    """Have it shown what this process serves of all subscriptions."""
    gauge, metrics.subscriptions.serving = metrics.gauge, replica.shards.serving
    gauge("eventbus_subscription_slots", "Slots that this process owns.", lambda: replica.slots)
    gauge("eventbus_subscription_shards", "Shards that this process serves.", lambda: len(replica.shards))
    gauge("eventbus_subscriptions_ready", "1 once all subscriptions are known.", lambda: replica.is_ready)
