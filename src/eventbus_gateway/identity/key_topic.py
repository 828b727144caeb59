"""The table of API keys in Kafka, among the topics that the gateway needs for itself."""

from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.internal_topics import COMPACTED, WantedTopic
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.kafka.table_limits import TableLimits
from eventbus_gateway.subscriptions.needed_topics import internal_topics
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

_ENTRY_BYTES = 65_536


def key_topic(settings: SubscriptionSettings) -> WantedTopic:
    """What the topic must be like."""
    return WantedTopic(f"{settings.internal_topic_prefix}.keys", 1, settings.replication_factor, COMPACTED)


def needed_topics(auth: AuthSettings, subscriptions: SubscriptionSettings) -> tuple[WantedTopic, ...]:
    """All topics of the gateway's own that its configuration needs."""
    of_subscriptions = internal_topics(subscriptions) if subscriptions.enabled else ()
    return (*of_subscriptions, key_topic(subscriptions)) if auth.uses_key_table else of_subscriptions


def key_table(
    auth: AuthSettings,
    subscriptions: SubscriptionSettings,
    kafka: KafkaSettings,
    sink: RecordSink,
    pace: Pace | None = None,
) -> Table:
    """The table; whoever makes it starts and closes it.

    Args:
        auth: its bounds.
        subscriptions: what internal topics are called.
        kafka: how to reach Kafka.
        sink: where writes go.
        pace: how often it is looked at.
    """
    limits = TableLimits(auth.max_key_principals, auth.max_key_principals * _ENTRY_BYTES, _ENTRY_BYTES)
    return Table(kafka, key_topic(subscriptions).name, sink, limits, pace=pace)
