"""What keys must fulfil together; every rule says what to do about it."""

import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from eventbus_gateway.auth.principal import ANONYMOUS
from eventbus_gateway.config import kafka_rules
from eventbus_gateway.config.broken import Broken
from eventbus_gateway.config.broken import broken as _broken
from eventbus_gateway.config.broken import plain as _plain
from eventbus_gateway.config.files import fault_of_file, is_writable
from eventbus_gateway.config.model import Config
from eventbus_gateway.config.oidc_rules import configured_principals, oidc_faults
from eventbus_gateway.tracing.settings import TracingHeaderSettings
from eventbus_gateway.webhooks.sealing import InvalidKeys, parse_keys

_SECRET_LENGTH = 32
_ADDRESS = "must be http:// or https:// with a host, without user, query or fragment"
_OF_CONFLUENT = ("username", "password", "bearer_token", "client_certificate_file")
_OF_GLUE = ("aws_region", "aws_endpoint_url", "aws_profile", "aws_role_arn")
_OF_EXPORTS = frozenset({"host", "connection", "transfer-encoding", "content-length", "content-type", "user-agent"})
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104


def broken_rules(config: Config) -> Iterator[Broken]:
    """Every rule that a configuration breaks; each key by itself must be sound already."""
    for rule in _RULES:
        yield from rule(config)


def _registry_place(config: Config) -> Iterator[Broken]:
    registry, kind = config.registry, "registry.kind"
    if registry.kind == "folder" and not registry.folder:
        yield _broken("is missing: registry.kind folder needs it", "registry.folder", kind)
    places = {"confluent": "url", "folder": "folder"}
    for owner, name in places.items():
        if registry.kind != owner and getattr(registry, name):
            yield _broken(f"would not be used: registry.kind is {registry.kind}", f"registry.{name}", kind)
    if registry.kind == "confluent" and registry.url and not _is_web_address(registry.url):
        yield _broken(_ADDRESS, "registry.url", kind)
    if registry.kind == "confluent" and not registry.url and config.uses_registry:
        formats = ("topic_defaults.format", "topic_defaults.key_format", "topics")
        yield _broken("is missing: topics of format avro need a registry", "registry.url", kind, *formats)


def _registry_aws(config: Config) -> Iterator[Broken]:
    """What is for one kind of registry alone, and what the credentials of AWS need."""
    registry, kind, role = config.registry, "registry.kind", "registry.aws_role_arn"
    for name in _OF_CONFLUENT if registry.kind == "glue" else _OF_GLUE:
        if getattr(registry, name) is not None:
            yield _broken(f"would not be used: registry.kind is {registry.kind}", f"registry.{name}", kind)
    for name in ("aws_endpoint_url", "aws_sts_endpoint_url"):
        url = getattr(registry, name)
        if url is not None and not _is_web_address(url):
            yield _broken(_ADDRESS, f"registry.{name}")
    for name in ("aws_external_id", "aws_sts_region", "aws_sts_endpoint_url"):
        if getattr(registry, name) is not None and registry.aws_role_arn is None:
            yield _broken(f"would not be used: {role} is not set", f"registry.{name}", role)


def _is_web_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return False
    plain = not (url.query or url.fragment or "@" in url.netloc or re.search(r"\s", text))
    return url.scheme in {"http", "https"} and bool(url.hostname) and plain


def _registry_credentials(config: Config) -> Iterator[Broken]:
    registry = config.registry
    user, password, token = "registry.username", "registry.password", "registry.bearer_token"
    if registry.username is not None and not _plain(registry.password):
        yield _broken("is missing: registry.username is set", password, user)
    if registry.password is not None and not registry.username:
        yield _broken("is missing: registry.password is set", user, password)
    if registry.bearer_token is not None and (registry.username is not None or registry.password is not None):
        yield _broken("is set beside registry.username or registry.password; set one of them", token, user, password)
    if registry.bearer_token is not None and not _plain(registry.bearer_token):
        yield _broken("is empty", token)


def _registry_tls(config: Config) -> Iterator[Broken]:
    certificate = "registry.client_certificate_file"
    for name in ("client_key_file", "client_key_password"):
        if getattr(config.registry, name) is not None and config.registry.client_certificate_file is None:
            yield _broken(f"would not be used: {certificate} is not set", f"registry.{name}", certificate)
    if config.registry.url.lower().startswith("http://"):
        for name in ("ca_file", "client_certificate_file"):
            if getattr(config.registry, name) is not None:
                yield _broken("would not be used: registry.url is not https://", f"registry.{name}", "registry.url")


def _ways(config: Config) -> Iterator[Broken]:
    auth = config.auth
    if auth.mode == "several" and not auth.methods:
        yield _broken("is empty: auth.mode several needs at least one", "auth.methods", "auth.mode")
    elif auth.mode != "several" and auth.methods:
        yield _broken(f"would not be used: auth.mode is {auth.mode}", "auth.methods", "auth.mode")
    if len(set(auth.methods)) < len(auth.methods):
        yield _broken("names one more than once", "auth.methods")
    if auth.mode == "several" and auth.methods and auth.ways == {"anonymous"}:
        sentence = 'has anonymous alone: set auth.mode to "anonymous" to let everybody do everything'
        yield _broken(sentence, "auth.methods", "auth.mode")


def _api_keys(config: Config) -> Iterator[Broken]:
    auth = config.auth
    if "api_keys" in auth.ways and not auth.api_keys and not auth.key_table:
        sentence = (
            "is empty, so nobody could call: add a key with its principal and sha256, set auth.key_table, "
            'or set auth.mode to "anonymous" to let everybody do everything'
        )
        yield _broken(sentence, "auth.api_keys", "auth.mode", "auth.methods", "auth.key_table")
    first: dict[str, int] = {}
    for at, key in enumerate(auth.api_keys):
        other = first.setdefault(key.sha256, at)
        if other != at:
            place = f"auth.api_keys[{at}].sha256"
            yield Broken(place, f"is the same as of auth.api_keys[{other}]", ("auth.api_keys",))


def _certificates(config: Config) -> Iterator[Broken]:
    auth = config.auth
    proxies, certificates = "auth.certificate_proxies", "auth.certificates"
    for key, values in ((proxies, auth.certificate_proxies), (certificates, auth.certificates)):
        if "certificates" in auth.ways and not values:
            yield _broken("is empty, and auth.methods has certificates", key, "auth.mode", "auth.methods")
        elif "certificates" not in auth.ways and values:
            yield _broken("would not be used: auth.methods has no certificates", key, "auth.mode", "auth.methods")
    if auth.certificate_header in {"authorization", "x-api-key"}:
        yield _broken("must not be a header of other credentials", "auth.certificate_header")
    first: dict[tuple[str, str], int] = {}
    for at, one in enumerate(auth.certificates):
        other = first.setdefault((one.kind, one.value), at)
        if other != at:
            place = f"{certificates}[{at}].value"
            yield Broken(place, f"is the same as of {certificates}[{other}]", (certificates,))
        if one.kind != "subject" and auth.certificate_format == "subject":
            sentence = "would never be found: auth.certificate_format is subject"
            yield Broken(f"{certificates}[{at}].kind", sentence, (certificates, "auth.certificate_format"))


def _nobody(config: Config) -> Iterator[Broken]:
    """No credential may stand for those who have none."""
    for key, place, principal in configured_principals(config.auth):
        if principal == ANONYMOUS.name:
            yield Broken(place, "must not be that of callers without a credential", (key,))


def _oidc(config: Config) -> Iterator[Broken]:
    return oidc_faults(config.auth)


def _grants(config: Config) -> Iterator[Broken]:
    principals = {key.principal for key in config.auth.api_keys} | {"*"}
    for at, grant in enumerate(config.auth.grants):
        place = f"auth.grants[{at}]"
        named = {None, *principals}
        if config.auth.mode == "api_keys" and not config.auth.key_table and grant.principal not in named:
            sentence = "has no key in auth.api_keys"
            keys = ("auth.grants", "auth.api_keys", "auth.mode", "auth.key_table")
            yield Broken(f"{place}.principal", sentence, keys)
        for number, topic in enumerate(grant.topics):
            if not re.fullmatch(r"[A-Za-z0-9._*-]{1,249}", topic):
                sentence = "must be the name of a topic, or a pattern of letters, digits, '.', '_', '-' and '*'"
                yield Broken(f"{place}.topics[{number}]", sentence, ("auth.grants",))


def _bounds(config: Config) -> Iterator[Broken]:
    """A request that one bound lets in must fit into those behind it, or trying again could never help."""
    http, publish, kafka = config.http, config.publish, config.kafka
    bounds = [
        ("publish.max_batch_bytes", publish.max_batch_bytes, "publish.max_event_bytes", publish.max_event_bytes),
        ("http.max_in_flight_bytes", http.max_in_flight_bytes, "publish.max_batch_bytes", publish.max_batch_bytes),
        ("kafka.max_in_flight_bytes", kafka.max_in_flight_bytes, "publish.max_batch_bytes", publish.max_batch_bytes),
        ("kafka.max_in_flight_bytes", kafka.max_in_flight_bytes, "kafka.max_record_bytes", kafka.max_record_bytes),
        (
            "kafka.max_in_flight_records",
            kafka.max_in_flight_records,
            "publish.max_batch_events",
            publish.max_batch_events,
        ),
    ]
    yield from _too_small(bounds)


def _too_small(bounds: Iterable[tuple[str, float, str, float]]) -> Iterator[Broken]:
    """Which of the first keys have values below those of the second ones."""
    for larger, value, smaller, least in bounds:
        if value < least:
            yield _broken(f"must be at least {smaller}", larger, smaller)


def _peers(config: Config) -> Iterator[Broken]:
    settings, enabled = config.subscriptions, "subscriptions.enabled"
    secret, address = "subscriptions.peer_secret", "subscriptions.advertised_address"
    if settings.enabled and not _plain(settings.peer_secret):
        yield _broken("is missing: with it replicas prove to each other that they belong together", secret, enabled)
    elif settings.peer_secret is not None and len(_plain(settings.peer_secret) or "") < _SECRET_LENGTH:
        yield _broken(f"must have at least {_SECRET_LENGTH} characters", secret)
    if settings.advertised_address is not None:
        if not kafka_rules.is_address(settings.advertised_address):
            yield _broken("must be host:port", address)
    elif settings.enabled and config.http.internal_host in _EVERYWHERE:
        sentence = "is missing: other replicas cannot reach http.internal_host, which stands for every address"
        yield _broken(sentence, address, enabled, "http.internal_host")


def _sessions(config: Config) -> Iterator[Broken]:
    settings = config.subscriptions
    lease, default = "subscriptions.max_lease_seconds", "subscriptions.default_lease_seconds"
    most, each = "subscriptions.max_subscriptions", "subscriptions.max_subscriptions_per_owner"
    yield from _too_small(
        [
            (lease, settings.max_lease_seconds, default, settings.default_lease_seconds),
            (most, settings.max_subscriptions, each, settings.max_subscriptions_per_owner),
        ]
    )
    if settings.enabled and settings.max_concurrent_polls >= config.http.max_in_flight_requests:
        key, other = "subscriptions.max_concurrent_polls", "http.max_in_flight_requests"
        sentence = f"must be less than {other}, or nobody can publish while so many wait"
        yield _broken(sentence, key, other, "subscriptions.enabled")


def _webhook_keys(config: Config) -> Iterator[Broken]:
    keys = config.webhooks.secret_keys
    if keys is not None:
        try:
            parse_keys(keys.get_secret_value())
        except InvalidKeys as error:
            yield _broken(str(error), "webhooks.secret_keys")


def _tracing(config: Config) -> Iterator[Broken]:
    tracing, queue = config.tracing, "tracing.max_queued_spans"
    if not _is_web_address(tracing.endpoint):
        yield _broken(_ADDRESS, "tracing.endpoint")
    if tracing.max_batch_spans > tracing.max_queued_spans:
        yield _broken(f"must be at most {queue}", "tracing.max_batch_spans", queue)
    yield from _tracing_headers(tracing.headers)


def _tracing_headers(headers: Sequence[TracingHeaderSettings]) -> Iterator[Broken]:
    key = "tracing.headers"
    first: dict[str, int] = {}
    for at, header in enumerate(headers):
        name, value = header.name.lower(), header.value.get_secret_value()
        other = first.setdefault(name, at)
        if name in _OF_EXPORTS:
            yield Broken(f"{key}[{at}].name", "is a header that the gateway sets itself", (key,))
        if other != at:
            yield Broken(f"{key}[{at}].name", f"is the same as of {key}[{other}]", (key,))
        if not (value.isascii() and value.isprintable()):
            yield Broken(f"{key}[{at}].value", "must be printable ASCII characters", (key,))


def _ports(config: Config) -> Iterator[Broken]:
    http = config.http
    shared = http.host == http.internal_host or {http.host, http.internal_host} & _EVERYWHERE
    if shared and http.port == http.internal_port != 0:
        keys = ("http.internal_port", "http.port", "http.host", "http.internal_host")
        yield _broken("must not be http.port: probes and metrics are not for callers", *keys)


def _files(config: Config) -> Iterator[Broken]:
    files = {
        "kafka.ca_file": config.kafka.ca_file,
        "kafka.client_certificate_file": config.kafka.client_certificate_file,
        "kafka.client_key_file": config.kafka.client_key_file,
        "registry.ca_file": config.registry.ca_file,
        "registry.client_certificate_file": config.registry.client_certificate_file,
        "registry.client_key_file": config.registry.client_key_file,
        "webhooks.ca_file": config.webhooks.ca_file,
        "tracing.ca_file": config.tracing.ca_file,
    }
    for key, name in files.items():
        if name is not None and (fault := fault_of_file(name, holds_certificates=key.endswith(".ca_file"))):
            yield _broken(fault, key)
    audit = config.audit
    if audit.enabled and audit.file is not None and not is_writable(audit.file):
        yield _broken("is not a file that can be written, nor can it be made", "audit.file")
    folder = config.registry.folder
    if folder and not (pathlib.Path(folder).is_dir() and os.access(folder, os.R_OK | os.X_OK)):
        yield _broken("is not a folder that can be read", "registry.folder")


_RULES: tuple[Callable[[Config], Iterator[Broken]], ...] = (
    _ports,
    _bounds,
    kafka_rules.brokers,
    kafka_rules.sasl,
    kafka_rules.msk_iam,
    kafka_rules.tls,
    _registry_place,
    _registry_aws,
    _registry_credentials,
    _registry_tls,
    _ways,
    _api_keys,
    _certificates,
    _nobody,
    _oidc,
    _grants,
    _peers,
    _sessions,
    _webhook_keys,
    _tracing,
    _files,
)
