"""The ``[subscriptions]`` section of the configuration."""

from pydantic import Field, SecretStr

from eventbus_gateway.section import Section


class SubscriptionSettings(Section):
    """Durable subscriptions: what they need in Kafka, how replicas share them, and their bounds."""

    enabled: bool = False
    """Serve subscriptions. All replicas need the same internal topics and the same peer secret."""
    internal_topic_prefix: str = Field("_eventbus", pattern=r"^_[A-Za-z0-9._-]{0,63}$")
    """Name of the internal topics before ``.subscriptions``, ``.owners``, ``.slots`` and ``.keys``."""
    group_prefix: str = Field("eventbus", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of all consumer groups before the first dot."""
    replication_factor: int | None = Field(None, ge=1, le=32)
    """Replicas of internal and dead letter topics that the gateway creates; the brokers' default when empty."""
    create_topics: bool = True
    """Create missing internal topics at start and dead letter topics when they are needed; otherwise an administrator
    does it, as ``eventbus init`` prints."""
    dead_letter_retention_seconds: float = Field(1_209_600.0, ge=3_600, le=315_360_000)
    """How long dead letters are kept, in topics that the gateway creates."""
    slots: int = Field(64, ge=1, le=1_024)
    """Parts in which subscriptions are shared among replicas: partitions of the slots topic. To be changed only while
    no replica runs."""
    session_timeout_seconds: float = Field(10.0, ge=1, le=300)
    """After so long without a sign of life a replica's subscriptions go to others; brokers may ask for 6 at least."""
    release_timeout_seconds: float = Field(5.0, ge=0.1, le=60)
    """How long a replica may take to give subscriptions back to others, or at its end."""
    commit_interval_seconds: float = Field(1.0, ge=0.05, le=60)
    """How often the positions of subscriptions are committed: what was acked since comes again after a crash."""
    lag_seconds: float = Field(15.0, ge=1, le=3_600)
    """How often the ends of topics are looked up for the lag that metrics show, while somebody reads them."""
    max_subscriptions: int = Field(1_000, ge=1, le=100_000)
    """Subscriptions of all principals together."""
    max_subscriptions_per_owner: int = Field(200, ge=1, le=100_000)
    """Subscriptions of one principal."""
    max_topics: int = Field(50, ge=1, le=1_000)
    """Topics of one subscription."""
    max_parallelism: int = Field(64, ge=1, le=64)
    """Shards of one subscription."""
    max_subscription_bytes: int = Field(65_536, ge=4_096, le=524_288)
    """Size of one subscription as it is stored."""
    max_window_events: int = Field(10_000, ge=10, le=1_000_000)
    """Unacked events that one shard holds; further ones wait in Kafka."""
    max_window_bytes: int = Field(16_777_216, ge=65_536, le=1_073_741_824)
    """Bytes of the unacked events that one shard holds; further ones wait in Kafka."""
    default_lease_seconds: float = Field(30.0, ge=1, le=43_200)
    """How long a client has for an event when neither it nor the subscription says."""
    max_lease_seconds: float = Field(3_600.0, ge=1, le=43_200)
    """Longest lease that may be asked for."""
    max_wait_seconds: float = Field(60.0, ge=0, le=300)
    """How long a receive may wait for the first event."""
    max_receive_events: int = Field(1_000, ge=1, le=10_000)
    """Events in the answer to one receive, and events that one receive acks."""
    max_receive_bytes: int = Field(8_388_608, ge=65_536, le=268_435_456)
    """Bytes of events in the answer to one receive; a single larger event is given all the same."""
    max_concurrent_polls: int = Field(1_000, ge=1, le=100_000)
    """Receives at the same time, of all callers; further ones are refused. They count as requests in work."""
    max_concurrent_polls_per_owner: int = Field(500, ge=1, le=100_000)
    """Receives of one principal at the same time; further ones are refused."""
    max_ack_tokens: int = Field(10_000, ge=1, le=100_000)
    """Events that are acked, released, extended or rejected by one request, however many tokens stand for them."""
    peer_secret: SecretStr | None = None
    """With it replicas prove to each other that they belong together; at least 32 characters, the same everywhere."""
    advertised_address: str | None = None
    """``host:port`` under which other replicas reach this one's internal port; its address there when empty."""
    peer_timeout_seconds: float = Field(5.0, gt=0, le=60)
    """How long another replica may take to answer, beyond the time that a receive waits."""
    max_peer_connections: int = Field(64, ge=1, le=4_096)
    """Connections to each other replica."""
