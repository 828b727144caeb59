"""A gateway whose schemas are in AWS Glue: what is stored, and that it reads what AWS's serializers store."""

import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from confluent_kafka import Producer
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import GatewayProcess, run
from tests.kafka.support import read_log
from tests.leaks import marked
from tests.schemas.glue_server import ACCESS_KEY, REGION, SECRET_KEY, AwsServer, moto

pytestmark = pytest.mark.broker

SCHEMA = '{"type": "record", "name": "Visit", "fields": [{"name": "note", "type": "string"}]}'
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
NOTE = marked("what the event is about ", "the data of a published event") * 13


class Bench(NamedTuple):
    """A gateway with a role in AWS, its broker and a topic with a schema."""

    gateway: GatewayProcess
    broker: Broker
    aws: AwsServer
    topic: str
    version: UUID


@pytest.fixture(scope="module")
def bench(broker: Broker, topic: TopicFactory) -> Iterator[Bench]:
    visits = topic()
    with moto() as backend, AwsServer(backend) as aws:
        version = UUID(aws.register(visits, SCHEMA))
        registry: dict[str, Any] = {
            "kind": "glue",
            "glue_registry": aws.registry,
            "glue_compression": "zlib",
            "aws_endpoint_url": aws.front.url,
            "aws_role_arn": "arn:aws:iam::123456789012:role/schemas",
            "aws_sts_endpoint_url": aws.front.url,
        }
        avro = {"format": "avro"}
        with GatewayProcess(broker.bootstrap, environ=CREDENTIALS, registry=registry, topic_defaults=avro) as gateway:
            yield Bench(gateway, broker, aws, visits, version)


def _last_value(bench: Bench) -> bytes:
    value = read_log(bench.broker.bootstrap, bench.topic)[-1].value
    assert value is not None
    return value


def _read(bench: Bench) -> list[dict[str, Any]]:
    answer = bench.gateway.client.get(f"/v1/topics/{bench.topic}/events", params={"from": "earliest"})
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def test_events_are_stored_and_read_in_glues_framing_and_the_receipt_names_the_version(bench: Bench) -> None:
    answer = bench.gateway.publish(bench.topic, json.dumps({"note": NOTE}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["schemaId"] == str(bench.version)
    stored = _last_value(bench)
    assert stored[:18] == b"\x03\x05" + bench.version.bytes
    assert zlib.decompress(stored[18:]) == b"\xf0\x04" + NOTE.encode()
    assert _read(bench)[-1]["data"] == {"note": NOTE}


def test_what_others_store_with_and_without_compression_is_read(bench: Bench) -> None:
    producer = Producer({"bootstrap.servers": bench.broker.bootstrap})
    data = b"\x06abc"
    for value in (b"\x03\x00" + bench.version.bytes + data, b"\x03\x05" + bench.version.bytes + zlib.compress(data)):
        producer.produce(bench.topic, value)
    assert producer.flush(20) == 0
    assert [event["data"] for event in _read(bench)[-2:]] == [{"note": "abc"}] * 2


def test_a_topic_shows_its_schema_and_one_without_says_so(bench: Bench, topic: TopicFactory) -> None:
    shown = bench.gateway.client.get(f"/v1/topics/{bench.topic}").json()["schema"]
    assert (shown["id"], shown["version"]) == (str(bench.version), 1)
    without, text = topic(), json.dumps({"note": NOTE})
    bench.gateway.until(lambda: bench.gateway.publish(without, text).status_code != 404, "the new topic to be known")
    answer = bench.gateway.publish(without, text)
    assert (answer.status_code, answer.json()["code"]) == (503, "schema_missing")


def test_no_credential_is_shown(bench: Bench) -> None:
    shown = bench.gateway.out + bench.gateway.err + bench.gateway.exposition()
    assert SECRET_KEY not in shown
    assert NOTE not in shown


def test_the_configuration_is_checked_without_a_call_to_aws(broker: Broker) -> None:
    environ = {
        "EVENTBUS_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
        "EVENTBUS_AUTH__MODE": "anonymous",
        "EVENTBUS_SUBSCRIPTIONS__ENABLED": "false",
        "EVENTBUS_REGISTRY__KIND": "glue",
        "EVENTBUS_REGISTRY__AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/schemas",
        "EVENTBUS_REGISTRY__AWS_EXTERNAL_ID": "env:EXTERNAL_ID",
    }
    status, out, err = run("check-config", environ={**environ, "EXTERNAL_ID": "s3cret-external-id"})
    assert status == 0, err
    assert 'aws_external_id = "********"  # EVENTBUS_REGISTRY__AWS_EXTERNAL_ID: env:EXTERNAL_ID\n' in out
    assert "s3cret" not in out + err
    status, out, err = run("check-config", environ=environ)
    assert status != 0
    assert "registry.aws_external_id: the variable EXTERNAL_ID is not set" in out + err
