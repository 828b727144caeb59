"""What an error of the client or the broker says about a record: is it certainly not in the log?

Everything is ``Unknown`` that is not listed here with a reason. Not listed on purpose:

- ``_MSG_TIMED_OUT``, ``_PURGE_INFLIGHT``, ``_PURGE_QUEUE``, ``_FATAL``, ``_TRANSPORT``: an earlier attempt may have
  been stored, also when the record waits in a queue again.
- ``NOT_ENOUGH_REPLICAS``: the broker checks the replicas before it looks for duplicates, so a second attempt can get
  it for a record whose first attempt was appended (``NOT_ENOUGH_REPLICAS_AFTER_APPEND``).
- ``INVALID_PRODUCER_EPOCH``, ``OUT_OF_ORDER_SEQUENCE_NUMBER`` and the like: they are about the producer's state, not
  about the record.
"""

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from eventbus_gateway.errors import (
    EventTooLarge,
    GatewayError,
    InternalError,
    NotAttempted,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    RecordRefused,
    TopicUnavailable,
    UnknownTopic,
)
from eventbus_gateway.kafka.records import NotStored, Unknown


class Refusal(NamedTuple):
    """A definite "no" from the broker.

    Args:
        error: what the caller is told.
        whole_batch: whether one bad record makes the broker refuse the good ones beside it, too.
        reason: why nothing can be in the log.
    """

    error: GatewayError
    whole_batch: bool
    reason: str


_TOO_LARGE = EventTooLarge("The encoded event is larger than the topic takes")
_REFUSED = RecordRefused("The broker refused the record: it breaks a rule of the topic")
_NO_TOPIC = UnknownTopic("The topic does not exist")
_VALIDATION = "the broker validates a batch before it appends it"
_ACCESS = "the broker checks the permission before it looks at the records"
_LOOKUP = "there is no log to append to"

REFUSALS: Mapping[int, Refusal] = {
    KafkaError.MSG_SIZE_TOO_LARGE: Refusal(_TOO_LARGE, True, _VALIDATION),
    KafkaError.RECORD_LIST_TOO_LARGE: Refusal(_TOO_LARGE, True, _VALIDATION),
    KafkaError.INVALID_RECORD: Refusal(_REFUSED, True, _VALIDATION),
    # The client's word for the good records of a batch of which the broker named the bad ones.
    KafkaError._INVALID_DIFFERENT_RECORD: Refusal(
        NotAttempted("Another event of the same batch was refused by the broker"), True, _VALIDATION
    ),
    KafkaError.POLICY_VIOLATION: Refusal(_REFUSED, True, _VALIDATION),
    KafkaError.INVALID_TIMESTAMP: Refusal(
        RecordRefused("The broker refused the record's timestamp: compare the clocks"), False, _VALIDATION
    ),
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE: Refusal(
        TopicUnavailable("The broker does not know the gateway's compression"), False, _VALIDATION
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Refusal(
        TopicUnavailable("The gateway may not write to the topic"), False, _ACCESS
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Refusal(
        TopicUnavailable("The gateway may not write to the cluster"), False, _ACCESS
    ),
    KafkaError.UNKNOWN_TOPIC_OR_PART: Refusal(_NO_TOPIC, False, _LOOKUP),
    KafkaError.TOPIC_EXCEPTION: Refusal(_NO_TOPIC, False, _LOOKUP),
    KafkaError._UNKNOWN_TOPIC: Refusal(_NO_TOPIC, False, _LOOKUP),
    KafkaError._UNKNOWN_PARTITION: Refusal(_NO_TOPIC, False, _LOOKUP),
    KafkaError.THROTTLING_QUOTA_EXCEEDED: Refusal(
        QuotaExceeded("A Kafka quota is exceeded", retry_after=1.0), False, "the request was rejected as a whole"
    ),
}

TIMED_OUT = Unknown(OutcomeUnknown("Kafka did not confirm the event in time; it may or may not be stored"))
LOST = Unknown(OutcomeUnknown("The Kafka client failed before the event was confirmed; it may or may not be stored"))
_UNCLEAR = Unknown(OutcomeUnknown("Kafka did not confirm the event; it may or may not be stored"))


def judge(error: KafkaError, *, disturbed: bool) -> NotStored | Unknown:
    """What a failed delivery means.

    Args:
        error: what the delivery report says.
        disturbed: whether a connection was lost since the record was handed over. Then an earlier attempt may have
            been stored with its answer lost, and a refusal of a later one proves nothing.
    """
    refusal = REFUSALS.get(error.code())
    if refusal is None or disturbed:
        return _UNCLEAR
    return NotStored(refusal.error)


def spoils_its_batch(error: KafkaError) -> bool:
    """Whether the error may be about another record of the same batch."""
    refusal = REFUSALS.get(error.code())
    return refusal is not None and refusal.whole_batch


def not_taken(error: Exception) -> NotStored:
    """What it means that ``produce()`` raised: the client did not take the record, so nobody can have stored it."""
    if isinstance(error, BufferError):
        return NotStored(Overloaded("The gateway has too many unconfirmed events", retry_after=1.0))
    if isinstance(error, KafkaException):
        refusal = REFUSALS.get(error.args[0].code())
        return NotStored(refusal.error if refusal else TopicUnavailable("The Kafka client refused the record"))
    return NotStored(InternalError("The record could not be handed to the Kafka client"))
