"""Only what is certainly not in the log is called not stored."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from eventbus_gateway.errors import EventTooLarge, InternalError, Overloaded, RecordRefused, TopicUnavailable
from eventbus_gateway.kafka.records import NotStored, Unknown
from eventbus_gateway.kafka.verdicts import REFUSALS, judge, not_taken, spoils_its_batch

ALL_CODES = sorted({value for name in dir(KafkaError) if isinstance(value := getattr(KafkaError, name), int)})


def test_there_are_codes_to_judge() -> None:
    assert len(ALL_CODES) > 100
    assert set(REFUSALS) < set(ALL_CODES)


@pytest.mark.parametrize("code", [code for code in ALL_CODES if code not in REFUSALS])
def test_a_code_without_a_reason_in_the_table_is_unknown(code: int) -> None:
    assert type(judge(KafkaError(code), disturbed=False)) is Unknown
    assert not spoils_its_batch(KafkaError(code))


@pytest.mark.parametrize(
    "name",
    [
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_FATAL",
        "_TRANSPORT",
        "REQUEST_TIMED_OUT",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        "INVALID_PRODUCER_EPOCH",
    ],
)
def test_what_may_follow_a_stored_attempt_is_unknown(name: str) -> None:
    assert type(judge(KafkaError(getattr(KafkaError, name)), disturbed=False)) is Unknown


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_is_not_stored_unless_a_connection_was_lost_meanwhile(code: int) -> None:
    assert judge(KafkaError(code), disturbed=False) == NotStored(REFUSALS[code].error)
    assert REFUSALS[code].reason
    assert type(judge(KafkaError(code), disturbed=True)) is Unknown


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BufferError(), Overloaded),
        (KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), EventTooLarge),
        (KafkaException(KafkaError(KafkaError.INVALID_RECORD)), RecordRefused),
        (KafkaException(KafkaError(KafkaError._FATAL)), TopicUnavailable),
        (TypeError(), InternalError),
    ],
)
def test_what_the_client_does_not_take_is_not_stored(error: Exception, kind: type) -> None:
    outcome = not_taken(error)
    assert type(outcome) is NotStored
    assert type(outcome.error) is kind
