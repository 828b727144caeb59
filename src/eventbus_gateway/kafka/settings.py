"""The ``[kafka]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from eventbus_gateway.section import Section


class KafkaSettings(Section):
    """How the gateway reaches and writes to Kafka."""

    bootstrap_servers: str = ""
    """Comma-separated ``host:port`` list of brokers to start from."""
    client_id: str = "eventbus-gateway"
    """Name of the client in broker logs and quotas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections to the brokers are secured."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"] | None = None
    """SASL mechanism; needed when the security protocol starts with SASL. ``AWS_MSK_IAM`` signs in with an AWS
    identity (OAUTHBEARER to the brokers) and needs the ``aws`` extra."""
    sasl_username: str | None = None
    """SASL user name; not with ``AWS_MSK_IAM``."""
    sasl_password: SecretStr | None = None
    """SASL password; not with ``AWS_MSK_IAM``."""
    iam_region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")
    """AWS region of the cluster; taken from the brokers' names when empty."""
    iam_profile: str | None = Field(None, min_length=1, max_length=128)
    """Profile of the AWS configuration files to take credentials from; the default chain when empty: environment,
    web identity (IRSA), profile, container credentials (Pod Identity, ECS), instance role."""
    iam_role_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}$")
    """Role to assume with those credentials."""
    iam_role_session_name: str = Field("eventbus-gateway", pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$")
    """Name of the assumed role's session. Brokers see it as part of who calls, so it never changes while a process
    runs."""
    iam_external_id: SecretStr | None = Field(None, min_length=2, max_length=1224)
    """External id that the role's trust policy asks for."""
    iam_sts_region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")
    """Region whose STS is asked for roles, ``us-gov-west-1`` for example; that of the cluster when empty."""
    ca_file: str | None = None
    """PEM file with the authorities that sign the brokers' certificates; the system's when empty."""
    client_certificate_file: str | None = None
    """PEM file with the gateway's own certificate and its chain, for mutual TLS."""
    client_key_file: str | None = None
    """PEM file with the key of that certificate."""
    client_key_password: SecretStr | None = None
    """Password of that key, where it is encrypted."""
    linger_ms: float = Field(0.0, ge=0, le=1000)
    """How long a record waits for others to share its batch, in milliseconds."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    """Compression of record batches."""
    delivery_timeout_seconds: float = Field(20.0, ge=1, le=120)
    """How long the client tries to store a record before its outcome is unknown."""
    socket_timeout_seconds: float = Field(4.0, ge=0.5, le=60)
    """How long a broker may leave a request unanswered before the connection is given up."""
    reconnect_backoff_max_seconds: float = Field(2.0, ge=0.1, le=60)
    """Longest wait between two attempts to reach a broker."""
    max_record_bytes: int = Field(1_000_000, ge=1_024, le=100_000_000)
    """Largest encoded record that is sent."""
    max_in_flight_records: int = Field(100_000, ge=1, le=10_000_000)
    """Records that wait for their acknowledgement; at this bound publishes are refused."""
    max_in_flight_bytes: int = Field(33_554_432, ge=1_048_576, le=2_147_483_647)
    """Bytes of the records that wait for their acknowledgement; at this bound publishes are refused."""
    metadata_refresh_seconds: float = Field(30.0, ge=1, le=900)
    """How often the list of topics is read again."""
    metadata_timeout_seconds: float = Field(5.0, ge=0.5, le=60)
    """How long one reading of the list of topics may take."""
    unknown_topic_recheck_seconds: float = Field(1.0, ge=0.1, le=60)
    """A topic that was not there is looked for again after this time, for all callers together."""
    probe_seconds: float = Field(1.0, ge=0.1, le=60)
    """How often an unreachable Kafka is tried again."""
    statistics_seconds: float = Field(15.0, ge=0, le=3_600)
    """How often librdkafka tells how fast each broker answers, for the metrics; 0 for never."""
    durability_checks: Literal["warn", "refuse", "off"] = "warn"
    """What follows when a configured topic is set up so that it can lose acknowledged events: ``warn`` logs it,
    ``refuse`` also answers publishes to it with 503 until it is mended, ``off`` does not look."""
    required_replicas: int = Field(3, ge=1, le=32)
    """Replicas that each partition must have, for these checks."""
    required_insync_replicas: int = Field(2, ge=1, le=32)
    """Least ``min.insync.replicas`` of a topic, for these checks."""
    check_seconds: float = Field(300.0, ge=1, le=86_400)
    """How often permissions and topics are looked at again."""


class ConsumeSettings(Section):
    """How records are read from Kafka for subscriptions and readers."""

    max_catch_up_readers: int = Field(4, ge=1, le=64)
    """Consumers that serve subscriptions which are behind; further ones wait for their turn."""
    catch_up_quantum_seconds: float = Field(1.0, ge=0, le=60)
    """How long a subscription may keep such a consumer while others wait for one."""
    batch_records: int = Field(500, ge=1, le=10_000)
    """Most records that are handed on at once."""
    queue_bytes: int = Field(4_194_304, ge=65_536, le=1_073_741_824)
    """Bytes that each consumer reads ahead; three times as much can be in memory."""
    partition_fetch_bytes: int = Field(1_048_576, ge=1_024, le=100_000_000)
    """Bytes of one partition that a broker sends at once."""
    fetch_wait_ms: int = Field(500, ge=10, le=10_000)
    """How long a broker keeps a request open while there is nothing new, in milliseconds."""
    retry_seconds: float = Field(1.0, ge=0.05, le=60)
    """First wait before a partition that could not be read is tried again; it doubles up to 16 times as long."""
    positions_timeout_seconds: float = Field(10.0, ge=1, le=60)
    """How long reading or committing positions may take."""
    max_position_calls: int = Field(64, ge=1, le=1_000)
    """Commits under way at the same time; further ones wait within their timeout."""
    max_group_readers: int = Field(16, ge=1, le=256)
    """Short-lived consumers that look positions up at the same time; further ones wait within their timeout."""
