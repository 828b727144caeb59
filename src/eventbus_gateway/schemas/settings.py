"""The ``[registry]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from eventbus_gateway.section import Section


class RegistrySettings(Section):
    """Where schemas come from and how long they are kept."""

    kind: Literal["confluent", "glue", "folder"] = "confluent"
    """``confluent`` speaks the Confluent Schema Registry API, ``glue`` is the AWS Glue Schema Registry (it needs the
    ``aws`` extra), ``folder`` reads ``.avsc`` files."""
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
    glue_registry: str = Field(default="default-registry", pattern=r"^[A-Za-z0-9_$#.-]{1,255}$")
    """Name of the registry in AWS Glue (kind ``glue``)."""
    glue_schema_names: Literal["topic", "subject"] = "topic"
    """What the schemas of values are called in AWS Glue: ``<topic>``, as AWS's serializers have it by default, or
    ``<topic>-value``. Those of keys are called ``<topic>-key``."""
    glue_compression: Literal["none", "zlib"] = "none"
    """Whether values and keys in Glue's framing are compressed when they are written; both are read always."""
    max_decompressed_bytes: int = Field(default=16_777_216, ge=1_024, le=268_435_456)
    """Largest record in Glue's framing that is read, after decompression."""
    aws_region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")
    """AWS region of the registry; that of the environment or the profile when empty."""
    aws_endpoint_url: str | None = None
    """Address of a VPC endpoint for AWS Glue; the public one of the region when empty."""
    aws_profile: str | None = Field(default=None, min_length=1, max_length=128)
    """Profile of the AWS configuration files to take credentials from; the default chain when empty: environment,
    web identity (IRSA), profile, container credentials (Pod Identity, ECS), instance role."""
    aws_role_arn: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}$"
    )
    """Role to assume with those credentials."""
    aws_external_id: SecretStr | None = Field(default=None, min_length=2, max_length=1_224)
    """External id that the role's trust policy asks for."""
    aws_sts_region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")
    """Region whose STS endpoint is asked for the role, ``us-gov-west-1`` for example; the registry's when empty."""
    aws_sts_endpoint_url: str | None = None
    """Address of a VPC endpoint for STS; the public one of the region when empty."""
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
