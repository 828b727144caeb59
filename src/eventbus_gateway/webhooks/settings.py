"""The ``[webhooks]`` section of the configuration."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from eventbus_gateway.section import Network, Section

_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_ORIGIN = r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"


def _host(text: str) -> str:
    if not _HOST.fullmatch(text) or text.rpartition(".")[2].isdigit():
        raise ValueError("must be a host name such as hooks.example.org, or *.example.org for all names below")
    return text.lower()


def _ports(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= 65_535:
        raise ValueError('must be a port such as "8443" or a range such as "8000-8999"')
    return text


Host = Annotated[str, AfterValidator(_host)]
Ports = Annotated[str, AfterValidator(_ports)]


class WebhookSettings(Section):
    """Signed pushes to receivers: whom the gateway may call, the bounds of each call, and how secrets are kept."""

    secret_keys: SecretStr | None = None
    """Keys that encrypt the secrets of webhooks where they are stored: 32 random bytes in base64 each, separated by
    spaces, the same everywhere. The first one encrypts, all of them decrypt, so a new one is put in front of the old
    one. Without any, no subscription can have a webhook."""
    allow_http: bool = False
    """Take receivers without TLS: everything that is delivered can be read on its way."""
    allowed_ports: tuple[Ports, ...] = Field(("443",), min_length=1, max_length=100)
    """Ports of receivers, or ranges such as ``8000-8999``; with ``allow_http`` also 80."""
    allowed_networks: tuple[Network, ...] = Field((), max_length=1_000)
    """Networks that are not public and may be called all the same, such as ``10.0.0.0/8``; link-local, multicast and
    cloud metadata addresses never are."""
    allowed_hosts: tuple[Host, ...] = Field((), max_length=1_000)
    """Host names, or ``*.`` and a domain, whose addresses need not be public."""
    denied_networks: tuple[Network, ...] = Field((), max_length=1_000)
    """Networks that are never called, whatever else allows them."""
    denied_hosts: tuple[Host, ...] = Field((), max_length=1_000)
    """Host names, or ``*.`` and a domain, that are never called."""
    ca_file: str | None = None
    """PEM file with the authorities that sign receivers' certificates; the system's when empty."""
    origin: str | None = Field(None, pattern=_ORIGIN)
    """Name of this system in the handshake with receivers, ``WebHook-Request-Origin``; no handshake when empty."""
    connect_timeout_seconds: float = Field(5.0, ge=0.1, le=60)
    """How long looking up a receiver's address, connecting and TLS may take together."""
    max_timeout_seconds: float = Field(120.0, ge=0.5, le=300)
    """Longest time for an attempt, from the look-up to the end of the answer, whatever its subscription asks for."""
    max_answer_bytes: int = Field(65_536, ge=0, le=1_048_576)
    """Bytes of an answer's body that are read so that the connection can be used again; a longer one ends it."""
    connections_per_endpoint: int = Field(64, ge=1, le=1_024)
    """Connections in use for one endpoint; further attempts wait for them."""
    max_connections: int = Field(2_048, ge=1, le=65_536)
    """Connections in use for all endpoints together; further attempts are not made, and unused connections are kept
    only within this number."""
    max_waiting_attempts: int = Field(10_000, ge=0, le=1_000_000)
    """Attempts that wait for a connection of their endpoint; further ones are not made."""
    idle_connection_seconds: float = Field(4.0, ge=0.1, le=300)
    """How long an unused connection is kept. Many servers close theirs after 5 seconds, and an attempt that meets
    that moment fails."""
    dns_timeout_seconds: float = Field(3.0, ge=0.1, le=60)
    """How long an attempt waits for the addresses of its receiver."""
    dns_cache_seconds: float = Field(10.0, ge=0, le=3_600)
    """How long the addresses of a name are used before they are looked up again."""
    dns_failure_seconds: float = Field(1.0, ge=0, le=60)
    """How long a name that has no address is not looked up again."""
    max_dns_names: int = Field(10_000, ge=1, le=1_000_000)
    """Names whose addresses are kept."""
    dns_threads: int = Field(16, ge=1, le=256)
    """Look-ups at the same time; four times as many may wait."""
    token_timeout_seconds: float = Field(10.0, ge=0.5, le=60)
    """How long an authorization server may take to issue a token for a receiver."""
    token_margin_seconds: float = Field(30.0, ge=0, le=600)
    """How long before its end a token is replaced, or half its lifetime where that is shorter."""
    token_retry_seconds: float = Field(5.0, ge=0.1, le=300)
    """How often the authorization server is asked at the most, after a failure or a refused token."""
    max_tokens: int = Field(1_000, ge=1, le=100_000)
    """Tokens that are kept; the one that was used least recently makes room."""
