"""The audit finds each kind of lie, so that a fault test can fail."""

import pytest
from tests.kafka.ledger import Entry, audit
from tests.kafka.support import LoggedRecord

from eventbus_gateway.errors import KafkaUnavailable, OutcomeUnknown
from eventbus_gateway.kafka.records import NotStored, Record, Stored, Unknown

FIRST = Record(b"k", b"k#1", [("h", b"1")])
SECOND = Record(b"k", b"k#2", [("h", b"2")])
BOOKS = [Entry(FIRST, Stored(0, 0, 5)), Entry(SECOND, Stored(0, 1, 5))]
LOG = [LoggedRecord(0, 0, 5, *FIRST[:3]), LoggedRecord(0, 1, 5, *SECOND[:3])]


def test_true_books_pass() -> None:
    assert audit(BOOKS, LOG) == 0
    assert audit([Entry(FIRST, Unknown(OutcomeUnknown())), BOOKS[1]], LOG) == 0
    assert audit([Entry(FIRST, NotStored(KafkaUnavailable())), BOOKS[1]], LOG[1:]) == 0
    assert audit([Entry(FIRST, Stored(0, -1, 5)), BOOKS[1]], LOG) == 0


def test_second_copies_are_counted() -> None:
    assert audit(BOOKS, [*LOG, LoggedRecord(0, 2, 5, *FIRST[:3])]) == 1


@pytest.mark.parametrize(
    ("books", "log", "lie"),
    [
        (BOOKS, LOG[:1], "missing"),
        (BOOKS, [LOG[0], LoggedRecord(0, 1, 5, b"k", b"k#2", [])], "changed"),
        (BOOKS, [LOG[0], LoggedRecord(0, 2, 5, *SECOND[:3])], "another record"),
        (BOOKS, [LOG[0], LoggedRecord(1, 1, 5, *SECOND[:3])], "another partition"),
        (BOOKS, [*LOG, LoggedRecord(0, 2, 5, b"k", b"k#3", [])], "nobody sent"),
        ([BOOKS[0], Entry(SECOND, NotStored(KafkaUnavailable()))], LOG, "not stored is in the log"),
        (
            [Entry(SECOND, Stored(0, 1, 5)), Entry(FIRST, Stored(0, 0, 5))],
            LOG,
            "another order",
        ),
    ],
)
def test_a_lie_is_found(books: list[Entry], log: list[LoggedRecord], lie: str) -> None:
    with pytest.raises(AssertionError, match=lie):
        audit(books, log)
