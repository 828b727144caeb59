"""The root of the configuration."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, StringConstraints, ValidationInfo, field_validator

from eventbus_gateway.api.settings import AuditSettings, HttpSettings, PublishSettings, ReadSettings, TopicSettings
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.section import Section
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.tracing.settings import TracingSettings
from eventbus_gateway.webhooks.settings import WebhookSettings

MAX_TOPICS = 10_000

# Kafka's rule: at most 249 characters, not "." and not ".."; names with a leading underscore are internal.
TopicName = Annotated[
    str,
    StringConstraints(
        pattern=r"^([A-Za-z0-9-][A-Za-z0-9._-]{0,248}|\.[A-Za-z0-9_-][A-Za-z0-9._-]{0,247}|\.\.[A-Za-z0-9._-]{1,247})$"
    ),
]


class Config(Section):
    """Everything that can be configured."""

    http: HttpSettings = HttpSettings.model_validate({})
    """The listening sockets and the bounds on what callers may send."""
    audit: AuditSettings = AuditSettings.model_validate({})
    """Who changed what, and who was refused: one JSON line each."""
    publish: PublishSettings = PublishSettings.model_validate({})
    """Bounds and defaults of publishing."""
    read: ReadSettings = ReadSettings.model_validate({})
    """Bounds of reading topics without a subscription."""
    kafka: KafkaSettings = KafkaSettings.model_validate({})
    """How the gateway reaches and writes to Kafka."""
    consume: ConsumeSettings = ConsumeSettings.model_validate({})
    """How records are read from Kafka for subscriptions and readers."""
    subscriptions: SubscriptionSettings = SubscriptionSettings.model_validate({})
    """Durable subscriptions: what they need in Kafka, how replicas share them, and their bounds."""
    webhooks: WebhookSettings = WebhookSettings.model_validate({})
    """Webhook deliveries: whom the gateway may call, the bounds of each call, and how secrets are kept."""
    registry: RegistrySettings = RegistrySettings.model_validate({})
    """Where schemas come from and how long they are kept."""
    auth: AuthSettings = AuthSettings.model_validate({})
    """Who may call, and what each caller may do."""
    tracing: TracingSettings = TracingSettings.model_validate({})
    """OpenTelemetry traces: what is sampled, and where spans are sent to."""
    topic_defaults: TopicSettings = TopicSettings.model_validate({})
    """Settings of topics without a table of their own, and of the keys that a topic's table leaves out."""
    topics: Mapping[TopicName, TopicSettings] = Field(
        default_factory=lambda: MappingProxyType({}), max_length=MAX_TOPICS
    )
    """Settings per topic."""

    _sources: Mapping[tuple[str | int, ...], str] = PrivateAttr(default_factory=dict)

    @field_validator("topics", mode="after")
    @classmethod
    def _inherit(cls, topics: Mapping[str, TopicSettings], info: ValidationInfo) -> Mapping[str, TopicSettings]:
        defaults = info.data.get("topic_defaults", TopicSettings.model_validate({}))
        return MappingProxyType({name: _inherited(topic, defaults) for name, topic in topics.items()})

    def topic(self, name: str) -> TopicSettings:
        """The settings of a topic, which are ``topic_defaults`` where it has no table."""
        return self.topics.get(name, self.topic_defaults)

    def remember(self, sources: Mapping[tuple[str | int, ...], str]) -> Self:
        """Keep where the values came from, for people who ask what is used and why."""
        self._sources = MappingProxyType(dict(sources))
        return self

    def source(self, path: tuple[str | int, ...]) -> str:
        """The file or variable that set a key; empty for a default."""
        return self._sources.get(path, "")

    @property
    def uses_registry(self) -> bool:
        """Whether any topic can need a schema."""
        topics = (self.topic_defaults, *self.topics.values())
        return any(topic.format == "avro" or topic.key_format == "avro" for topic in topics)


def _inherited(topic: TopicSettings, defaults: TopicSettings) -> TopicSettings:
    return defaults.model_copy(update={name: getattr(topic, name) for name in topic.model_fields_set})
