"""What librdkafka is told."""

import asyncio
import logging
from typing import Any

import pytest
from pydantic import SecretStr
from tests.kafka.support import producing
from tests.leaks import marked

from eventbus_gateway.kafka.configuration import client_config, producer_config, second_try_config
from eventbus_gateway.kafka.log_limit import AtMost
from eventbus_gateway.kafka.settings import KafkaSettings


def test_a_producer_waits_for_all_replicas_and_never_stores_twice() -> None:
    config = producer_config(KafkaSettings(bootstrap_servers="a:1,b:2"))
    assert config["bootstrap.servers"] == "a:1,b:2"
    assert config["acks"] == "all"
    assert config["enable.idempotence"] is True
    assert config["partitioner"] == "murmur2_random"
    assert config["allow.auto.create.topics"] is False


@pytest.mark.parametrize("seconds", [1.0, 1.5, 20.0, 120.0])
def test_librdkafka_gives_a_record_up_before_its_caller_is_answered(seconds: float) -> None:
    config = producer_config(KafkaSettings(delivery_timeout_seconds=seconds, socket_timeout_seconds=0.5))
    assert 0 < config["delivery.timeout.ms"] < seconds * 1_000
    assert config["request.timeout.ms"] < config["socket.timeout.ms"]


def test_librdkafkas_queue_is_larger_than_the_gateways_bounds() -> None:
    settings = KafkaSettings(max_in_flight_records=5, max_in_flight_bytes=2_000_000)
    config = producer_config(settings)
    assert config["queue.buffering.max.messages"] > 5
    assert config["queue.buffering.max.kbytes"] * 1_024 > 2_000_000


def test_a_second_try_sends_each_record_alone_and_once() -> None:
    config = second_try_config(KafkaSettings())
    assert config["batch.num.messages"] == 1
    assert config["retries"] == 0
    assert config["acks"] == "all"


def test_credentials_reach_librdkafka_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    settings: dict[str, Any] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "gateway",
        "sasl_password": SecretStr(marked("do-not-log-me", "the SASL password")),
    }
    config = client_config(KafkaSettings.model_validate(settings))
    assert config["sasl.password"] == "do-not-log-me"
    assert config["sasl.mechanisms"] == "SCRAM-SHA-512"

    async def run() -> None:
        async with producing("127.0.0.1:1", metadata_timeout_seconds=0.5, **settings) as sink:
            assert not sink.status().up

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    assert caplog.records
    assert "do-not-log-me" not in caplog.text


def test_a_chatty_library_gets_so_many_lines_per_window_and_the_rest_is_counted() -> None:
    limit = AtMost(lines=2, seconds=10.0)

    def line(created: float) -> logging.LogRecord:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "broker %s", ("down",), None)
        record.created = created
        return record

    assert [limit.filter(line(at)) for at in (0.0, 1.0, 2.0, 9.9)] == [True, True, False, False]
    later = line(10.0)
    assert limit.filter(later)
    assert later.getMessage() == "broker down (2 earlier lines were left out)"
    assert limit.filter(line(11.0))
