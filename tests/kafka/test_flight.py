"""What is counted and answered while records are on their way."""

import asyncio

import pytest
from confluent_kafka import KafkaError, Message

from eventbus_gateway.errors import NotAttempted
from eventbus_gateway.kafka.flight import Batch, Flight, Single, size_of
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored, Unknown
from eventbus_gateway.kafka.verdicts import REFUSALS

RECORD = Record(b"key", b"value", [("a", b"12"), ("ü", b"")])
INVALID = KafkaError(KafkaError.INVALID_RECORD)


def report(offset: int) -> Message:
    return Message(topic="t", partition=1, offset=offset, timestamp=(1, 77))


class Flown:
    """A flight with one batch in it, outside of any loop."""

    def __init__(self, size: int, sent_at: float = 10.0) -> None:
        self.loop = asyncio.new_event_loop()
        self.spoiled: list[Batch] = []
        self.flight = Flight(self.spoiled.append)
        self.future: asyncio.Future[list[Outcome]] = self.loop.create_future()
        self.batch = Batch(self.flight, self.future, "t", [RECORD] * size, 100, sent_at)
        self.flight.records += size
        self.flight.bytes += 100
        self.flight.pending[self.batch] = None
        self.loop.close()

    def counters(self) -> tuple[int, int, int, int]:
        flight = self.flight
        return flight.records, flight.bytes, len(flight.pending), len(flight.late)


def test_a_record_counts_with_its_key_value_and_headers() -> None:
    assert size_of(RECORD) == 3 + 5 + 1 + 2 + 2
    assert size_of(Record(None, b"", [])) == 0


@pytest.mark.parametrize("headers", [[("\ud800", b"")], [("a", 5)]])
def test_a_record_that_the_binding_does_not_survive_has_no_size(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises((ValueError, TypeError)):
        size_of(Record(None, b"", headers))


def test_a_batch_is_answered_when_its_last_record_is_reported() -> None:
    flown = Flown(3)
    for index in (2, 0):
        flown.batch.delivered(index, None, report(index))
        assert not flown.future.done()
    flown.batch.delivered(1, None, report(1))
    assert flown.future.result() == [Stored(1, 0, 77), Stored(1, 1, 77), Stored(1, 2, 77)]
    assert flown.counters() == (0, 0, 0, 0)


def test_a_record_that_is_stored_at_an_untold_place_is_stored() -> None:
    flown = Flown(1)
    flown.batch.delivered(0, None, Message(topic="t", partition=1, timestamp=(1, 77)))
    assert flown.future.result() == [Stored(1, -1, 77)]


def test_what_was_not_handed_over_is_answered_with_what_was() -> None:
    flown = Flown(3)
    held = NotStored(NotAttempted())
    flown.batch.refuse_from(1, [held, held])
    assert not flown.future.done()
    flown.batch.delivered(0, None, report(0))
    assert flown.future.result() == [Stored(1, 0, 77), held, held]
    assert flown.counters() == (0, 0, 0, 0)


def test_a_request_of_which_nothing_was_handed_over_is_answered_at_once() -> None:
    flown = Flown(2)
    held = NotStored(NotAttempted())
    flown.batch.refuse_from(0, [held, held])
    assert flown.future.result() == [held, held]
    assert flown.counters() == (0, 0, 0, 0)


def test_at_the_deadline_known_outcomes_stay_known() -> None:
    flown = Flown(2)
    flown.batch.delivered(1, None, report(1))
    flown.flight.expire(9.9)
    assert not flown.future.done()
    flown.flight.expire(10.0)
    first, second = flown.future.result()
    assert (type(first), second) == (Unknown, Stored(1, 1, 77))
    assert flown.counters() == (2, 100, 0, 1)
    assert flown.flight.has_lost_reports(10.0)
    flown.batch.delivered(0, None, report(0))
    assert flown.counters() == (0, 0, 0, 0)


def test_a_spoiled_batch_waits_for_its_second_try() -> None:
    flown = Flown(2)
    flown.batch.delivered(0, INVALID, None)
    assert flown.spoiled == []
    flown.batch.delivered(1, None, report(1))
    assert flown.spoiled == [flown.batch]
    assert flown.batch.spoiled == [0]
    assert not flown.future.done()
    assert flown.counters() == (2, 100, 1, 0)


def test_a_refusal_after_a_lost_connection_is_unknown_and_not_tried_again() -> None:
    flown = Flown(1)
    flown.flight.disturbed_at = 10.0
    flown.batch.delivered(0, INVALID, None)
    assert type(flown.future.result()[0]) is Unknown
    assert flown.spoiled == []


def test_a_late_refusal_is_not_tried_again() -> None:
    flown = Flown(1)
    flown.flight.expire(10.0)
    flown.batch.delivered(0, INVALID, None)
    assert flown.spoiled == []
    assert flown.counters() == (0, 0, 0, 0)


def test_reports_after_the_client_was_given_up_change_nothing() -> None:
    flown = Flown(2)
    flown.batch.delivered(0, None, report(0))
    flown.flight.abandon()
    first, second = flown.future.result()
    assert (first, type(second)) == (Stored(1, 0, 77), Unknown)
    flown.batch.delivered(1, INVALID, None)
    assert flown.spoiled == []
    assert type(flown.future.result()[1]) is Unknown


@pytest.mark.parametrize("expired", [False, True])
def test_a_single_record_that_fails_is_judged_like_a_batch_of_one(expired: bool) -> None:
    flown = Flown(1)
    del flown.flight.pending[flown.batch]
    single = Single(flown.flight, flown.future, "t", RECORD, 100, 10.0)
    flown.flight.pending[single] = None
    if expired:
        flown.flight.expire(10.0)
    code = KafkaError.TOPIC_AUTHORIZATION_FAILED
    single(KafkaError(code), report(-1))
    (outcome,) = flown.future.result()
    assert type(outcome) is Unknown if expired else outcome == NotStored(REFUSALS[code].error)
    assert flown.counters() == (0, 0, 0, 0)
