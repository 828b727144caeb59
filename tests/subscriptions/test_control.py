"""Where a subscription may be told to go on."""

from typing import Any

import pytest

from eventbus_gateway.errors import InvalidSubscription
from eventbus_gateway.subscriptions.control import Control, Redrive, parse_seek

TOPICS = frozenset({"notes", "orders"})


def faults(document: object) -> dict[str, str]:
    with pytest.raises(InvalidSubscription) as refused:
        parse_seek(document, TOPICS)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


@pytest.mark.parametrize("place", ["earliest", "latest", "2026-01-31T09:30:00.000Z"])
def test_a_seek_goes_to_one_place_in_everything(place: str) -> None:
    assert parse_seek({"to": place}, TOPICS).to == place


def test_a_seek_goes_to_offsets_of_single_partitions() -> None:
    document = {"positions": {"notes": {"0": 0, "17": 2**63 - 1}, "orders": {"3": 4}}}
    assert parse_seek(document, TOPICS).positions == document["positions"]


@pytest.mark.parametrize(
    ("document", "pointer", "detail"),
    [
        ({}, "", "expected either to or positions"),
        ({"to": "latest", "positions": {"notes": {"0": 1}}}, "", "expected either to or positions"),
        ({"to": "tomorrow"}, "/to", "expected earliest, latest or"),
        ({"to": 3}, "/to", "expected a string"),
        ({"positions": {}}, "/positions", "expected 1 to 10000 partitions"),
        ({"positions": {"notes": {}}}, "/positions", "expected 1 to 10000 partitions"),
        ({"positions": {"others": {"0": 1}}}, "/positions", "expected topics of the subscription"),
        ({"positions": {"notes": [1]}}, "/positions/notes", "expected an object"),
        ({"positions": {"notes": {"0": -1}}}, "/positions/notes/0", "expected at least 0"),
        ({"positions": {"notes": {"0": 2**63}}}, "/positions/notes/0", "expected at most 9223372036854775807"),
        ({"positions": {"notes": {"0": 1.0}}}, "/positions/notes/0", "expected a whole number"),
        ({"positions": {"notes": {"0": None}}}, "/positions/notes/0", "expected a whole number"),
        ({"positions": {"notes": {"first": 1}}}, "/positions/notes/first", "expected the number of a partition"),
        ({"positions": {"notes": {"-1": 1}}}, "/positions/notes/-1", "expected the number of a partition"),
        ({"positions": {"notes": {"01": 1}}}, "/positions/notes/01", "expected the number of a partition"),
        ({"to": "latest", "until": 1}, "/until", "is not a known field"),
    ],
)
def test_a_seek_to_nowhere_is_refused_with_its_place(document: dict[str, Any], pointer: str, detail: str) -> None:
    found = faults(document)
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


def test_a_seek_has_a_bound_on_its_partitions() -> None:
    many = {str(number): 0 for number in range(5_000)}
    assert parse_seek({"positions": {"notes": many, "orders": many}}, TOPICS).positions is not None
    assert faults({"positions": {"notes": many, "orders": {**many, "5000": 0}}}) == {
        "/positions": "expected 1 to 10000 partitions"
    }


def test_nothing_is_redriven_of_a_partition_that_a_redrive_does_not_name() -> None:
    redrive = Redrive(until={"0": 7}, requestedAt=1)
    assert (redrive.end(0), redrive.end(1)) == (7, 0)


def test_a_new_subscription_runs_in_its_first_group() -> None:
    assert Control().model_dump() == {"paused": False, "reason": None, "group": None, "sought": None, "redrive": None}
