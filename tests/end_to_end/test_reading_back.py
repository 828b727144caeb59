"""What callers publish over HTTP is what consumers with the stock client read from Kafka."""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.every_type import EVENTS, SCHEMA, exact
from tests.end_to_end.process import GatewayProcess
from tests.kafka.support import LoggedRecord, read_log
from tests.schemas.registry_server import RegistryServer

pytestmark = pytest.mark.broker

VALUE = '{"type": "record", "name": "V", "fields": [{"name": "k", "type": "long"}]}'
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch


class Bench(NamedTuple):
    """A gateway, its broker and the registry that it shares with consumers."""

    gateway: GatewayProcess
    broker: Broker
    registry: RegistryServer
    everything: str
    keyed: str

    def log(self, topic: str) -> list[LoggedRecord]:
        return read_log(self.broker.bootstrap, topic)

    def decoded(self, topic: str, data: bytes | None, field: MessageField = MessageField.VALUE) -> Any:
        """As a consumer decodes it that knows nothing but the registry."""
        with SchemaRegistryClient({"url": self.registry.url}) as client:
            return AvroDeserializer(client)(data, SerializationContext(topic, field))


@pytest.fixture(scope="module")
def bench(broker: Broker, topic: TopicFactory) -> Iterator[Bench]:
    everything, keyed, plain = topic(5), topic(5), topic(5)
    with RegistryServer() as registry:
        registry.register(f"{everything}-value", SCHEMA)
        registry.register(f"{keyed}-value", VALUE)
        registry.register(f"{keyed}-key", '"long"')
        topics = {
            everything: {"source": "/test/everything"},
            keyed: {"key": "/k", "key_format": "avro"},
            plain: {"format": "json"},
        }
        with GatewayProcess(broker.bootstrap, registry.url, topics=topics) as gateway:
            yield Bench(gateway, broker, registry, everything, keyed)


def envelope(number: int, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "/test/envelope",
        "type": "test.Type",
        "time": "2026-11-21T09:30:00.5Z",
        "subject": "späß",
        "partitionkey": f"key-{number}",
        "tenant": 7,
        "data": data,
    }


def receipts(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code in {200, 201}, answer.text
    document = answer.json()
    found: list[dict[str, Any]] = document.get("results", [document])
    return found


def at(log: list[LoggedRecord], receipt: dict[str, Any]) -> LoggedRecord:
    place = receipt["partition"], receipt["offset"]
    return next(record for record in log if (record.partition, record.offset) == place)


def check_value(bench: Bench, record: LoggedRecord, number: int) -> None:
    found = exact(bench.decoded(bench.everything, record.value))
    expected = exact(EVENTS[number].read)
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "gzip"])
@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_one_event_is_read_as_it_was_sent_with_key_headers_and_place(bench: Bench, number: int, packed: bool) -> None:
    body = json.dumps(EVENTS[number].sent).encode()
    encoding = {"content-encoding": "gzip"} if packed else {}
    answer = bench.gateway.publish(
        bench.everything,
        gzip.compress(body) if packed else body,
        ce_partitionkey=f"key-{number}",
        ce_subject="sp%C3%A4%C3%9F",
        x_request_id=f"request-{number}",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        **encoding,
    )
    [receipt] = receipts(answer)
    record = at(bench.log(bench.everything), receipt)
    check_value(bench, record, number)
    assert record.key == f"key-{number}".encode()
    stored = datetime.fromisoformat(receipt["timestamp"])
    assert record.timestamp == round(stored.timestamp() * 1_000)
    assert receipt["topic"] == bench.everything
    assert int.from_bytes((record.value or b"")[1:5], "big") == receipt["schemaId"]
    headers = dict(record.headers)
    assert len(headers) == len(record.headers)
    assert UUID7(receipt["id"])
    sent_at = datetime.fromisoformat(headers.pop("ce_time").decode())
    assert abs((stored - sent_at).total_seconds()) < 10
    assert headers == {
        "content-type": b"application/avro",
        "ce_specversion": b"1.0",
        "ce_id": receipt["id"].encode(),
        "ce_source": b"/test/everything",
        "ce_type": b"test.types.Everything",
        "ce_subject": "späß".encode(),
        "ce_partitionkey": f"key-{number}".encode(),
        "ce_correlationid": f"request-{number}".encode(),
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "gzip"])
@pytest.mark.parametrize("media", ["application/cloudevents+json", "application/cloudevents-batch+json"])
def test_structured_events_are_read_as_they_were_sent_with_their_own_attributes(
    bench: Bench, media: str, packed: bool
) -> None:
    envelopes = [envelope(number, event.sent) for number, event in enumerate(EVENTS)]
    bodies: list[Any] = [envelopes] if "batch" in media else list(envelopes)
    found = []
    for body in bodies:
        content = json.dumps(body).encode()
        encoding = {"content-encoding": "gzip"} if packed else {}
        answer = bench.gateway.publish(
            bench.everything,
            gzip.compress(content) if packed else content,
            media,
            x_request_id="structured",
            **encoding,
        )
        found += receipts(answer)
    log = bench.log(bench.everything)
    assert len(found) == len(EVENTS)
    for number, receipt in enumerate(found):
        record = at(log, receipt)
        check_value(bench, record, number)
        assert record.key == f"key-{number}".encode()
        assert receipt["id"] == f"e-{number}"
        assert sorted(record.headers) == sorted(
            {
                "content-type": b"application/avro",
                "ce_specversion": b"1.0",
                "ce_id": f"e-{number}".encode(),
                "ce_source": b"/test/envelope",
                "ce_type": b"test.Type",
                "ce_time": b"2026-11-21T09:30:00.5Z",
                "ce_subject": "späß".encode(),
                "ce_partitionkey": f"key-{number}".encode(),
                "ce_tenant": b"7",
                "ce_correlationid": b"structured",
            }.items()
        )


@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "gzip"])
def test_lines_are_read_as_they_were_sent_and_in_their_order(bench: Bench, packed: bool) -> None:
    body = "\n".join(json.dumps(event.sent, ensure_ascii=False) for event in EVENTS * 5).encode()
    encoding = {"content-encoding": "gzip"} if packed else {}
    answer = bench.gateway.publish(
        bench.everything,
        gzip.compress(body) if packed else body,
        "application/x-ndjson",
        ce_partitionkey="lines",
        **encoding,
    )
    found = receipts(answer)
    log = bench.log(bench.everything)
    assert len({receipt["id"] for receipt in found}) == len(found) == len(EVENTS) * 5
    assert len({receipt["partition"] for receipt in found}) == 1, "one key, one partition"
    offsets = [receipt["offset"] for receipt in found]
    assert offsets == sorted(offsets)
    for number, receipt in enumerate(found):
        record = at(log, receipt)
        check_value(bench, record, number % len(EVENTS))
        assert record.key == b"lines"
        assert dict(record.headers)["ce_id"] == receipt["id"].encode()


@pytest.mark.parametrize("key", [-(2**63), -1, 0, 2**63 - 1])
def test_a_key_with_a_schema_is_read_by_the_deserializer_of_keys(bench: Bench, key: int) -> None:
    answer = bench.gateway.publish(bench.keyed, json.dumps({"k": key}))
    [receipt] = receipts(answer)
    record = at(bench.log(bench.keyed), receipt)
    assert bench.decoded(bench.keyed, record.key, MessageField.KEY) == key
    assert bench.decoded(bench.keyed, record.value) == {"k": key}


# org.apache.kafka.common.utils.UtilsTest
@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_a_key_goes_to_the_partition_that_javas_default_partitioner_chooses(
    bench: Bench, key: str, murmur2: int
) -> None:
    data = json.dumps(EVENTS[0].sent)
    for _ in range(2):
        [receipt] = receipts(bench.gateway.publish(bench.everything, data, ce_partitionkey=key))
        assert receipt["partition"] == (murmur2 & 0x7FFFFFFF) % 5
        assert at(bench.log(bench.everything), receipt).key == key.encode()
