"""What an error of the client or the broker means to those who read records or positions."""

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException

from eventbus_gateway.errors import (
    GatewayError,
    InternalError,
    KafkaUnavailable,
    PositionsUnavailable,
    TopicUnreadable,
    UnknownTopic,
)

COORDINATOR_MOVES = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Another broker becomes responsible for a group; asking again soon helps."""

LEADER_MOVES = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
"""Another broker becomes responsible for a partition, or one begins with a new topic; asking again soon helps."""

_IN_USE = PositionsUnavailable("Another program is a live member of the subscription's Kafka group")
_NO_TOPIC = UnknownTopic("The topic or one of its partitions does not exist")
_NO_LEADER = TopicUnreadable("A partition of the topic has no leader now")

_MEANINGS: Mapping[int, GatewayError] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NO_TOPIC,
    KafkaError.TOPIC_EXCEPTION: _NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: _NO_TOPIC,
    KafkaError._UNKNOWN_PARTITION: _NO_TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TopicUnreadable("The gateway may not read the topic"),
    # What the client knows of a topic that it may not even describe.
    KafkaError._NOENT: TopicUnreadable("The gateway may not describe the topic"),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: TopicUnreadable("The gateway may not read from the cluster"),
    **dict.fromkeys(LEADER_MOVES, _NO_LEADER),
    KafkaError._BAD_MSG: TopicUnreadable("A record of the topic is damaged in the log"),
    KafkaError._BAD_COMPRESSION: TopicUnreadable("A record of the topic is damaged in the log"),
    KafkaError._AUTO_OFFSET_RESET: TopicUnreadable("The position is outside of what the topic holds"),
    KafkaError.OFFSET_OUT_OF_RANGE: TopicUnreadable("The position is outside of what the topic holds"),
    KafkaError.GROUP_AUTHORIZATION_FAILED: PositionsUnavailable(
        "The gateway may not use the subscription's Kafka group"
    ),
    # The broker lets nobody move the positions of a group whose members are alive.
    KafkaError.UNKNOWN_MEMBER_ID: _IN_USE,
    KafkaError.ILLEGAL_GENERATION: _IN_USE,
    KafkaError.REBALANCE_IN_PROGRESS: _IN_USE,
    KafkaError.FENCED_INSTANCE_ID: _IN_USE,
    KafkaError.NON_EMPTY_GROUP: _IN_USE,
    KafkaError.GROUP_SUBSCRIBED_TO_TOPIC: _IN_USE,
    KafkaError.INVALID_GROUP_ID: InternalError("The name of the subscription's Kafka group is not valid"),
    KafkaError._INVALID_ARG: InternalError("The Kafka client refuses the request"),
}


def meaning(error: KafkaError) -> GatewayError:
    """The error that callers are told.

    Args:
        error: what Kafka or the client says; what is not known here counts as an outage, since that is tried again.
    """
    found = _MEANINGS.get(error.code())
    if found is None:
        return KafkaUnavailable(f"Kafka did not answer as it should: {error.name()}")
    return type(found)(found.detail)


def meaning_of(exception: KafkaException) -> GatewayError:
    """The same for an exception of the client."""
    error = next(iter(exception.args), None)
    return meaning(error) if isinstance(error, KafkaError) else KafkaUnavailable()
