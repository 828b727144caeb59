"""Settings of the gateway as properties of librdkafka."""

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from eventbus_gateway.kafka.msk_iam import msk_tokens
from eventbus_gateway.kafka.settings import KafkaSettings

_REQUEST_OVERHEAD = 65_536
"""What the protocol adds to the largest record; far above what it needs."""


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """What every client has: where the brokers are, who we are, how long to wait."""
    socket_ms = int(settings.socket_timeout_seconds * 1000)
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.client_id,
        "security.protocol": settings.security_protocol,
        # With the default of 60 s a hung leader fails records that were sent after the leadership had moved.
        "socket.timeout.ms": socket_ms,
        "socket.connection.setup.timeout.ms": max(1_000, socket_ms),
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": max(100, int(settings.reconnect_backoff_max_seconds * 1000)),
        "allow.auto.create.topics": False,
    }
    return {**config, **_tls(settings), **_sasl(settings)}


def _tls(settings: KafkaSettings) -> dict[str, Any]:
    return _those_set(
        {
            # The default; who trusts a private authority must not take any of its certificates for any broker.
            "ssl.endpoint.identification.algorithm": "https" if settings.security_protocol.endswith("SSL") else None,
            "ssl.ca.location": settings.ca_file,
            "ssl.certificate.location": settings.client_certificate_file,
            "ssl.key.location": settings.client_key_file,
            "ssl.key.password": settings.client_key_password,
        }
    )


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
    if settings.sasl_mechanism == "AWS_MSK_IAM":
        # librdkafka calls this on a thread of its own, so clients that nobody polls get new tokens, too.
        return {"sasl.mechanisms": "OAUTHBEARER", "oauth_cb": msk_tokens(settings)}
    return _those_set(
        {
            "sasl.mechanisms": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": settings.sasl_password,
        }
    )


def _those_set(properties: Mapping[str, str | SecretStr | None]) -> dict[str, Any]:
    """Properties without those that are not set, secrets in plain text."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in properties.items()
        if value is not None
    }


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """A producer that loses nothing: idempotent, acknowledged by all in-sync replicas, bounded in time and memory."""
    deadline = settings.delivery_timeout_seconds
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        # librdkafka looks for overdue records once a second; it must have given up before the caller is told
        # "unknown", else a record could still be sent after the caller's own second try.
        "delivery.timeout.ms": int(max(deadline / 2, deadline - 1.0) * 1000),
        # The broker answers before the connection is given up.
        "request.timeout.ms": int(settings.socket_timeout_seconds * 900),
        "linger.ms": settings.linger_ms,
        "compression.type": settings.compression,
        # The partition that a Java producer would choose.
        "partitioner": "murmur2_random",
        "message.max.bytes": settings.max_record_bytes + _REQUEST_OVERHEAD,
        # Our own bounds refuse a whole request before its first record; librdkafka's must never be reached first.
        "queue.buffering.max.messages": min(2_147_483_647, settings.max_in_flight_records + 10_000),
        "queue.buffering.max.kbytes": min(2_147_483_647, 2 * settings.max_in_flight_bytes // 1024 + 1024),
        # How long a record may wait for a topic that was deleted after it had been looked up.
        "topic.metadata.propagation.max.ms": 5_000,
    }


def second_try_config(settings: KafkaSettings) -> dict[str, Any]:
    """A producer with one record per batch, so that a refusal is about that record only.

    It never tries again by itself, so it needs no idempotence: that would cost half a second for a new producer id
    after each refusal. A lost answer is "unknown" then.
    """
    config = {**producer_config(settings), "enable.idempotence": False, "retries": 0}
    return {**config, "batch.num.messages": 1, "linger.ms": 0, "max.in.flight": 1}
