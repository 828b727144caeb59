"""The topics that subscriptions need in Kafka."""

from typing import NamedTuple

from eventbus_gateway.kafka.internal_topics import COMPACTED, WantedTopic
from eventbus_gateway.subscriptions.settings import SubscriptionSettings


class InternalTopicNames(NamedTuple):
    """The gateway's own topics.

    Args:
        subscriptions: the table of all subscriptions.
        owners: the table that says who serves which slot.
        slots: has a partition per slot and no records.
    """

    subscriptions: str
    owners: str
    slots: str


def internal_names(settings: SubscriptionSettings) -> InternalTopicNames:
    """What the internal topics are called."""
    prefix = settings.internal_topic_prefix
    return InternalTopicNames(f"{prefix}.subscriptions", f"{prefix}.owners", f"{prefix}.slots")


def internal_topics(settings: SubscriptionSettings) -> tuple[WantedTopic, ...]:
    """What the internal topics must be like."""
    names, factor = internal_names(settings), settings.replication_factor
    return (
        WantedTopic(names.subscriptions, 1, factor, COMPACTED),
        WantedTopic(names.owners, 1, factor, COMPACTED),
        WantedTopic(names.slots, settings.slots, factor, {"cleanup.policy": "delete"}),
    )


def dead_letter_topic(name: str, settings: SubscriptionSettings) -> WantedTopic:
    """What the topic for a subscription's dead letters must be like.

    Args:
        name: name of the topic.
        settings: how long dead letters are kept.
    """
    retention = str(int(settings.dead_letter_retention_seconds * 1000))
    config = {"cleanup.policy": "delete", "retention.ms": retention}
    return WantedTopic(name, 1, settings.replication_factor, config)


def membership_group(settings: SubscriptionSettings) -> str:
    """Id of the group whose members share the slots."""
    return f"{settings.group_prefix}.slots"
