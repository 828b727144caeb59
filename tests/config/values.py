"""A sound value, other than the default, for every key that exists."""

import base64
import json
import pathlib
import tempfile
from typing import Any, Literal, get_args, get_origin

import annotated_types
import trustme

from eventbus_gateway.config.describing import toml_value
from eventbus_gateway.config.keys import ANY_TOPIC, KEYS, Key

TOPIC = "visits"
SECRETS = {
    "sasl_password": "s3cret-sasl",
    "client_key_password": "s3cret-client-key",
    "password": "s3cret-basic",
    "bearer_token": "s3cret-bearer",
    "peer_secret": "s3cret-peer-of-at-least-32-characters",
    "secret_keys": base64.b64encode(b"s3cret-key-of-exactly-32-bytes-.").decode(),
}
HASH = "5" * 64
_authority = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115 - it is there as long as the tests are
_authority.write(trustme.CA().cert_pem.bytes())
_authority.flush()
AUTHORITY = _authority.name
"""File with the certificate of an authority."""
FOLDER = str(pathlib.Path(__file__).parent)
OF_GLUE = {
    "aws_region": "us-gov-west-1",
    "aws_endpoint_url": "https://vpce-1.glue.us-gov-west-1.vpce.amazonaws.com",
    "aws_profile": "schemas",
    "aws_role_arn": "arn:aws-us-gov:iam::123456789012:role/path/schemas",
    "aws_external_id": "s3cret-external-id",
    "aws_sts_region": "us-gov-east-1",
    "aws_sts_endpoint_url": "https://vpce-1.sts.us-gov-west-1.vpce.amazonaws.com",
}
LEFT_OUT = {
    *("registry.kind", "registry.folder", "registry.bearer_token"),
    *(f"registry.{name}" for name in OF_GLUE),
    "auth.key_table",
    "auth.methods",
    "auth.certificate_proxies",
    "auth.certificates",
    *("kafka.iam_region", "kafka.iam_profile", "kafka.iam_sts_region"),
    *("kafka.iam_role_arn", "kafka.iam_role_session_name", "kafka.iam_external_id"),
    "auth.oidc",
    "tracing.headers",
}

Values = dict[tuple[str, ...], Any]


def every_key() -> Values:
    """All keys that can be set together: a registry by URL, its password and not its token; API keys alone; a
    password for Kafka and no AWS identity."""
    chosen = {
        "kafka.bootstrap_servers": "broker-1:9092,[::1]:9093",
        "kafka.security_protocol": "SASL_SSL",
        "kafka.max_in_flight_bytes": 50_000_000,
        "registry.url": "https://registry.example:8443/path",
        "http.max_in_flight_bytes": 200_000_000,
        "auth.mode": "api_keys",
        "auth.api_keys": ({"principal": "scheduling", "sha256": HASH, "roles": ("writer",)},),
        "auth.certificate_header": "x-client-subject",
        "auth.grants": ({"principal": "scheduling", "actions": ("publish",), "topics": ("visits*",)},),
        "auth.events_per_second": 12.5,
        "auth.limits": ({"role": "batch", "weight": 3, "requests_per_second": 12.5},),
        "auth.reserved_share": 0.25,
        "subscriptions.internal_topic_prefix": "_another",
        "subscriptions.advertised_address": "gateway-1.internal:8081",
        "webhooks.allowed_ports": ("8443", "9000-9099"),
        "webhooks.allowed_networks": ("10.0.0.0/8", "fd00::/8"),
        "webhooks.allowed_hosts": ("hooks.example.org",),
        "webhooks.denied_networks": ("203.0.113.0/24",),
        "webhooks.denied_hosts": ("*.example.net",),
        "tracing.endpoint": "https://collector.example/v1/traces",
        "tracing.sample_ratio": 0.5,
    }
    values: Values = {}
    for key in KEYS:
        name = ".".join(key.path)
        if name not in LEFT_OUT:
            path = tuple(TOPIC if part == ANY_TOPIC else part for part in key.path)
            values[path] = chosen[name] if name in chosen else _another_value(key)
    return values


def as_toml(values: Values) -> str:
    """The values as a TOML file."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for path, value in values.items():
        tables.setdefault(path[:-1], []).append(f"{path[-1]} = {_inline(value)}")
    return "\n".join(f"[{'.'.join(table)}]\n" + "\n".join(lines) for table, lines in tables.items())


def as_environment(values: Values) -> dict[str, str]:
    """The values as environment variables, one per key."""
    return {variable(path): value if isinstance(value, str) else json.dumps(value) for path, value in values.items()}


def variable(path: tuple[str, ...]) -> str:
    return "EVENTBUS_" + "__".join(part.upper() for part in path)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(item)}" for name, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return str(value) if isinstance(value, float) else toml_value(value)


def _another_value(key: Key) -> Any:
    name = key.path[-1]
    if name == "ca_file":
        return AUTHORITY
    if name.endswith("_file"):
        return __file__
    if key.secret:
        return SECRETS[name]
    choices = [choice for kind in key.types if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        return next(choice for choice in choices if choice != key.field.default)
    if bool in key.types:
        return key.field.default is not True
    if int in key.types or float in key.types:
        return _another_number(key)
    return "/id" if name == "key" else f"another-{name}"


def _another_number(key: Key) -> int | float:
    bounds = {type(limit): limit for limit in key.field.metadata}
    lowest = bounds.get(annotated_types.Ge, annotated_types.Ge(1))
    default = key.field.default
    highest = bounds.get(annotated_types.Le)
    if default is None:
        return int(str(lowest.ge))
    return default - 1 if highest is not None and default + 1 > highest.le else default + 1  # type: ignore[no-any-return]
