"""What owners may say about their subscriptions, and how they learn what is wrong with it."""

from typing import Any

import pytest

from eventbus_gateway.errors import InvalidSubscription
from eventbus_gateway.subscriptions.instants import milliseconds, timestamp
from eventbus_gateway.subscriptions.patterns import compile_filter
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import Spec, parse_spec
from eventbus_gateway.subscriptions.spec_rules import SpecRules

RULES = SpecRules(SubscriptionSettings(max_topics=3, max_parallelism=4, max_lease_seconds=600), compile_filter)


def spec(**fields: Any) -> Spec:
    return parse_spec({"topics": ["notes"], **fields}, RULES)


def faults(document: object) -> dict[str, str]:
    with pytest.raises(InvalidSubscription) as refused:
        parse_spec(document, RULES)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


def test_topics_are_enough_and_everything_else_has_a_default() -> None:
    found = spec()
    assert (found.topics, found.filter, found.start, found.parallelism) == (("notes",), None, "latest", 1)
    delivery = found.delivery
    assert (delivery.type, delivery.order, delivery.lease_seconds) == ("pull", "none", None)
    assert (delivery.max_deliveries, delivery.max_in_flight) == (16, None)


def test_everything_that_is_said_is_taken() -> None:
    document = {
        "topics": ["b", "a"],
        "filter": {"data": {"status": ["BOOKED", {"prefix": "X{0}"}]}},
        "start": "earliest",
        "parallelism": 4,
        "delivery": {
            "type": "pull",
            "order": "key",
            "leaseSeconds": 1.5,
            "maxDeliveries": None,
            "maxInFlight": 10,
        },
    }
    assert parse_spec(document, RULES).model_dump(mode="json", by_alias=True) == document


@pytest.mark.parametrize(
    ("fields", "pointer", "detail"),
    [
        ({"topics": "notes"}, "/topics", "expected an array"),
        ({"topics": []}, "/topics", "expected at least 1 entries"),
        ({"topics": ["a", "b", "a"]}, "/topics", "expected each topic once"),
        ({"topics": ["a", "b", "c", "d"]}, "/topics", "expected at most 3 topics"),
        ({"topics": ["a", 7]}, "/topics/1", "expected a string"),
        ({"topics": None}, "/topics", "expected an array"),
        ({"filter": []}, "/filter", "expected an object"),
        (
            {"filter": {"Data": {}}},
            "/filter/Data",
            "no event has this: names of attributes are lower-case letters and",
        ),
        ({"start": "now"}, "/start", "expected earliest, latest or an RFC 3339 timestamp"),
        ({"start": "2026-02-30T00:00:00Z"}, "/start", "expected earliest, latest or an RFC 3339 timestamp"),
        ({"start": 1_700_000_000}, "/start", "expected a string"),
        ({"parallelism": 0}, "/parallelism", "expected at least 1"),
        ({"parallelism": 5}, "/parallelism", "expected at most 4"),
        ({"parallelism": 2.0}, "/parallelism", "expected a whole number"),
        ({"parallelism": True}, "/parallelism", "expected a whole number"),
        ({"delivery": None}, "/delivery", "expected an object"),
        ({"delivery": {}}, "/delivery/type", "is missing"),
        ({"delivery": {"type": "smoke signals"}}, "/delivery/type", "expected 'pull'"),
        ({"delivery": {"type": "pull", "order": "topic"}}, "/delivery/order", "expected 'none' or 'key'"),
        ({"delivery": {"type": "pull", "leaseSeconds": 0.5}}, "/delivery/leaseSeconds", "expected at least 1"),
        ({"delivery": {"type": "pull", "leaseSeconds": 601}}, "/delivery/leaseSeconds", "expected at most 600"),
        ({"delivery": {"type": "pull", "maxDeliveries": 0}}, "/delivery/maxDeliveries", "expected at least 1"),
        ({"delivery": {"type": "pull", "maxInFlight": "1"}}, "/delivery/maxInFlight", "expected a whole number"),
        ({"delivery": {"type": "pull", "max_in_flight": 1}}, "/delivery/max_in_flight", "is not a known field"),
        ({"paused": True}, "/paused", "is not a known field"),
        ({"a/b~c": 1}, "/a~1b~0c", "is not a known field"),
    ],
)
def test_a_fault_has_its_place_and_says_what_was_expected(fields: dict[str, Any], pointer: str, detail: str) -> None:
    found = faults({"topics": ["notes"], **fields})
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


@pytest.mark.parametrize("name", ["_internal", "a/b", "", ".", "x" * 250, "ä"])
def test_what_callers_may_not_name_is_no_topic(name: str) -> None:
    assert faults({"topics": ["notes", name]})["/topics/1"].startswith("expected the name of a topic")


@pytest.mark.parametrize("document", [None, [], "notes", 1, True])
def test_a_body_is_an_object(document: object) -> None:
    assert faults(document) == {"": "expected an object"}


def test_all_faults_come_together_those_of_the_filter_included() -> None:
    document = {"filter": {"data": {"a": [{"prefix": 1}]}}, "start": "now", "delivery": {"type": "pull", "order": 1}}
    assert set(faults(document)) == {"/topics", "/start", "/delivery/order", "/filter/data/a/0/prefix"}


def test_no_fault_repeats_a_value() -> None:
    secret = "s3cr3t-patient"
    document = {
        "topics": [secret + "/", 1],
        "filter": {"data": {"a": [{secret: 1}], "b": secret}},
        "start": secret,
        "parallelism": secret,
        "delivery": {"type": secret, "order": secret, "leaseSeconds": secret},
    }
    with pytest.raises(InvalidSubscription) as refused:
        parse_spec(document, RULES)
    assert len(refused.value.faults) >= 7
    told = [refused.value.detail, *(fault.detail for fault in refused.value.faults)]
    assert not any(secret in sentence for sentence in told)


def test_a_body_full_of_faults_tells_the_first_hundred_and_how_many_there_are() -> None:
    with pytest.raises(InvalidSubscription) as refused:
        parse_spec({"topics": ["notes"], **{f"f{number}": 1 for number in range(1_000)}}, RULES)
    assert len(refused.value.faults) == 100
    assert "1000 faults" in refused.value.detail


def test_a_start_in_time_is_the_same_moment_in_utc() -> None:
    assert spec(start="2026-01-31T09:30:00+01:00").start == "2026-01-31T08:30:00.000Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-01-31t09:30:00.123456789z", 1_769_851_800_123),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_a_moment_is_read_to_the_millisecond(text: str, expected: int) -> None:
    assert milliseconds(text) == expected
    assert milliseconds(timestamp(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31 09:30:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T09:30:00.Z",
    ],
)
def test_what_leaves_open_which_moment_is_meant_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        milliseconds(text)
