"""The ``[registry]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from eventbus_gateway.section import Section


class RegistrySettings(Section):
    """Where schemas come from and how long they are kept."""

    kind: Literal["confluent", "folder"] = "confluent"
    """``confluent`` speaks the Confluent Schema Registry API, ``folder`` reads ``.avsc`` files."""
    url: str = ""
    """Base URL of the registry (kind ``confluent``)."""
    folder: str = ""
    """Folder with ``<topic>.avsc``, ``<topic>-key.avsc`` or ``<subject>.v<N>.avsc`` files (kind ``folder``)."""
    username: str | None = None
    """User name for basic authentication."""
    password: SecretStr | None = None
    """Password for basic authentication."""
    bearer_token: SecretStr | None = None
    """Token for bearer authentication; not together with a user name."""
    ca_file: str | None = None
    """PEM file with the authorities that sign the registry's certificate; the system's when empty."""
    client_certificate_file: str | None = None
    """PEM file with the gateway's own certificate and its chain, for mutual TLS."""
    client_key_file: str | None = None
    """PEM file with the key of that certificate; when empty, the key is in the same file."""
    client_key_password: SecretStr | None = None
    """Password of that key, where it is encrypted."""
    connect_timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long connecting to the registry may take."""
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    """How long one whole call may take."""
    max_connections: int = Field(default=8, ge=1, le=256)
    """Connections to the registry at the same time; further calls wait, within ``timeout_seconds``."""
    max_response_bytes: int = Field(default=2_097_152, ge=1_024, le=67_108_864)
    """Largest answer of the registry that is read."""
    latest_ttl_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """After this time the latest version of a subject is asked for again, in the background."""
    missing_ttl_seconds: float = Field(default=5.0, ge=0.1, le=3_600)
    """How long the absence of a subject or version is remembered."""
    retry_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """After a failed call, the same one is not made again for this time."""
    max_schemas: int = Field(default=1_000, ge=1, le=100_000)
    """Compiled schemas kept at the most; the one unused for longest goes first."""
    max_subjects: int = Field(default=10_000, ge=1, le=1_000_000)
    """Subjects and absences remembered at the most."""
    max_schema_bytes: int = Field(default=1_048_576, ge=1_024, le=16_777_216)
    """Largest schema text that is compiled."""
