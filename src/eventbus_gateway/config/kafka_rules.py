"""What keys of ``[kafka]`` must fulfil together."""

import re
from collections.abc import Iterator

from eventbus_gateway.config.broken import Broken, broken, plain
from eventbus_gateway.config.model import Config
from eventbus_gateway.kafka.aws_credentials import is_installed
from eventbus_gateway.kafka.msk_iam import region_of
from eventbus_gateway.kafka.settings import KafkaSettings

_PROTOCOL = "kafka.security_protocol"
_MECHANISM = "kafka.sasl_mechanism"
_IAM = "AWS_MSK_IAM"


def brokers(config: Config) -> Iterator[Broken]:
    """Where the brokers are."""
    key = "kafka.bootstrap_servers"
    servers = [server.strip() for server in config.kafka.bootstrap_servers.split(",")]
    if servers == [""]:
        yield broken("is missing: name at least one broker as host:port", key)
    elif not all(map(is_address, servers)):
        yield broken("must be a comma-separated list of host:port", key)


def is_address(text: str) -> bool:
    """Whether a text is host:port."""
    match = re.fullmatch(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", text)
    return match is not None and 1 <= int(match[1]) <= 65_535


def sasl(config: Config) -> Iterator[Broken]:
    """A mechanism belongs to a protocol with SASL, and each mechanism has its own way to sign in."""
    kafka = config.kafka
    protocol, mechanism = kafka.security_protocol, kafka.sasl_mechanism
    if protocol.startswith("SASL_") and mechanism is None:
        yield broken(f"is missing: {_PROTOCOL} {protocol} needs it", _MECHANISM, _PROTOCOL)
    elif not protocol.startswith("SASL_") and mechanism is not None:
        yield broken(_unused_beside("SASL_SSL"), _MECHANISM, _PROTOCOL)
    elif mechanism in {"PLAIN", _IAM} and protocol == "SASL_PLAINTEXT":
        sentence = f"must be SASL_SSL: {_MECHANISM} {mechanism} would show its secret to the network"
        yield broken(sentence, _PROTOCOL, _MECHANISM)
    for key, value in {
        "kafka.sasl_username": kafka.sasl_username,
        "kafka.sasl_password": plain(kafka.sasl_password),
    }.items():
        if not protocol.startswith("SASL_"):
            if value is not None:
                yield broken(_unused_beside("SASL_SSL"), key, _PROTOCOL)
        elif mechanism == _IAM:
            if value is not None:
                yield broken(f"would not be used: {_MECHANISM} is {_IAM}", key, _MECHANISM)
        elif not value:
            yield broken(f"is missing: {_PROTOCOL} {protocol} needs it", key, _PROTOCOL, _MECHANISM)


def msk_iam(config: Config) -> Iterator[Broken]:
    """What signing in with an AWS identity needs, and that nothing of it is set in vain."""
    kafka = config.kafka
    if kafka.sasl_mechanism != _IAM:
        for name in KafkaSettings.model_fields:
            if name.startswith("iam_") and _is_set(kafka, name):
                yield broken(f"would not be used: {_MECHANISM} is not {_IAM}", f"kafka.{name}", _MECHANISM)
        return
    if not is_installed():
        sentence = f"{_IAM} needs botocore: install the gateway with its aws extra, eventbus-gateway[aws]"
        yield broken(sentence, _MECHANISM)
    if region_of(kafka) is None:
        sentence = "is missing: the names of the brokers do not tell the region of the cluster"
        yield broken(sentence, "kafka.iam_region", _MECHANISM, "kafka.bootstrap_servers")
    if kafka.iam_role_arn is None:
        for name in ("iam_role_session_name", "iam_external_id"):
            if _is_set(kafka, name):
                sentence = "would not be used: kafka.iam_role_arn is not set"
                yield broken(sentence, f"kafka.{name}", "kafka.iam_role_arn", _MECHANISM)


def tls(config: Config) -> Iterator[Broken]:
    """Certificates belong to a protocol with TLS, and a certificate belongs to its key."""
    kafka = config.kafka
    certificate, key, password = "client_certificate_file", "client_key_file", "client_key_password"
    if not kafka.security_protocol.endswith("SSL"):
        for name in ("ca_file", certificate, key, password):
            if getattr(kafka, name) is not None:
                yield broken(_unused_beside("SSL or SASL_SSL"), f"kafka.{name}", _PROTOCOL)
        return
    for needed, by in ((key, (certificate, password)), (certificate, (key,))):
        users = [name for name in by if getattr(kafka, name) is not None]
        if users and getattr(kafka, needed) is None:
            yield broken(f"is missing: kafka.{users[0]} is set", f"kafka.{needed}", f"kafka.{users[0]}", _PROTOCOL)


def _is_set(kafka: KafkaSettings, name: str) -> bool:
    return bool(getattr(kafka, name) != KafkaSettings.model_fields[name].default)


def _unused_beside(protocol: str) -> str:
    return f"would not be used: set {_PROTOCOL} to {protocol}, or remove this key"
