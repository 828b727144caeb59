"""Subscriptions as values: what changes them, what is stored of them and what their owners see."""

from typing import Any

import orjson
import pytest

from eventbus_gateway.subscriptions.control import SeekTarget
from eventbus_gateway.subscriptions.resource import (
    Subscription,
    created,
    from_bytes,
    same_state,
    shown,
    to_bytes,
    with_pause,
    with_redrive,
    with_seek,
    with_spec,
)
from eventbus_gateway.subscriptions.spec import Spec

NOON = 1_700_000_000_000
LATER = NOON + 5_000
TO_END = SeekTarget(to="latest")


def spec(**fields: Any) -> Spec:
    return Spec.model_validate({"topics": ["notes", "orders"], **fields})


def subscription(**fields: Any) -> Subscription:
    return created("clinic", "board", spec(**fields), NOON)


def changed(before: Subscription, **fields: Any) -> Subscription:
    return with_spec(before, spec(**fields), LATER)


def test_no_two_subscriptions_have_the_same_id_or_group() -> None:
    one, other = subscription(), subscription()
    assert one.id != other.id
    assert one.group("eventbus") != other.group("eventbus")
    assert one.group("eventbus") == f"eventbus.clinic.board.{one.id}"
    assert one.dead_letter_topic == other.dead_letter_topic == "clinic.board.dlq"


def test_every_shard_has_a_slot() -> None:
    one = subscription(parallelism=3)
    assert len(set(one.slots(64))) == 3
    assert one.slots(1) == (0, 0, 0)


def test_a_spec_that_says_the_same_changes_nothing() -> None:
    one = subscription(filter={"data": {"a": [1], "b": [2]}})
    assert with_spec(one, spec(filter={"data": {"b": [2], "a": [1]}}), LATER) is one


@pytest.mark.parametrize(
    "fields",
    [
        {"filter": {"data": {"a": [True]}}},
        {"topics": ["orders", "notes"]},
        {"topics": ["notes"]},
        {"start": "earliest"},
        {"delivery": {"type": "pull", "maxDeliveries": 3}},
    ],
)
def test_a_spec_that_moves_no_position_keeps_the_group(fields: dict[str, Any]) -> None:
    one = subscription(filter={"data": {"a": [1]}})
    after = with_spec(one, Spec.model_validate({"topics": ["notes", "orders"], **fields}), LATER)
    assert after is not one
    assert (after.id, after.created_at, after.updated_at) == (one.id, NOON, LATER)
    assert after.group("g") == one.group("g")


@pytest.mark.parametrize(
    "fields", [{"parallelism": 2}, {"topics": ["notes", "orders", "bills"]}, {"topics": ["bills"]}]
)
def test_a_spec_that_gives_partitions_other_owners_or_starts_makes_a_new_group(fields: dict[str, Any]) -> None:
    one = subscription()
    after = changed(one, **fields)
    assert after.group("g") != one.group("g")
    assert after.id == one.id
    # Back to where it was is not back in the former group: positions there are out of date.
    assert with_spec(after, one.spec, LATER).group("g") != one.group("g")


def test_a_pause_holds_until_it_is_resumed() -> None:
    one = subscription()
    paused = with_pause(one, True, LATER)
    assert paused.control.paused
    assert with_pause(paused, True, LATER + 1) is paused
    resumed = with_pause(paused, False, LATER)
    assert (resumed.control, resumed.spec) == (one.control, one.spec)


def test_every_seek_makes_a_new_group_and_is_remembered_for_people() -> None:
    one = subscription()
    once = with_seek(with_pause(one, True, NOON), TO_END, LATER)
    twice = with_seek(once, SeekTarget(positions={"notes": {"0": 5}}), LATER + 1)
    assert len({each.group("g") for each in (one, once, twice)}) == 3
    assert once.control.paused
    assert (shown(once, "g")["lastSeek"], shown(twice, "g")["lastSeek"]) == (
        {"to": "latest", "at": "2023-11-14T22:13:25.000Z"},
        {"to": None, "at": "2023-11-14T22:13:25.001Z"},
    )


def test_a_redrive_says_how_far_and_survives_a_seek() -> None:
    one = with_redrive(subscription(), {0: 12}, LATER)
    assert one.control.redrive is not None
    assert one.control.redrive.end(0) == 12
    assert with_seek(one, TO_END, LATER).control.redrive == one.control.redrive
    assert with_redrive(one, {0: 15}, LATER).control.redrive != one.control.redrive


def test_a_clock_that_goes_back_makes_no_change_older_than_the_one_before() -> None:
    assert with_pause(subscription(), True, NOON - 1_000).updated_at == NOON


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"start": "earliest"}, True),
        ({"delivery": {"type": "pull", "leaseSeconds": 5, "maxDeliveries": 2, "maxInFlight": 3}}, True),
        ({"delivery": {"type": "pull", "order": "key"}}, False),
        ({"topics": ["orders", "notes"]}, False),
        ({"topics": ["orders"]}, False),
        ({"parallelism": 2}, False),
        ({"filter": None}, False),
        ({"filter": {"data": {"a": [True]}}}, False),
        ({"filter": {"data": {"a": [1]}}}, True),
    ],
)
def test_shards_are_opened_anew_for_what_changes_their_events_and_for_nothing_else(
    fields: dict[str, Any], is_same: bool
) -> None:
    wanted = {"topics": ["notes", "orders"], "filter": {"data": {"a": [1]}}}
    one = created("clinic", "board", Spec.model_validate(wanted), NOON)
    assert same_state(one, with_spec(one, Spec.model_validate(wanted | fields), LATER)) is is_same


def test_a_pause_and_a_redrive_leave_shards_open_and_a_seek_does_not() -> None:
    one = subscription()
    assert same_state(one, with_pause(one, True, LATER))
    assert same_state(one, with_redrive(one, {0: 1}, LATER))
    assert not same_state(one, with_seek(one, TO_END, LATER))
    assert not same_state(one, subscription())


def test_what_is_stored_comes_back_as_it_was() -> None:
    one = subscription(
        filter={"data": {"a": [{"numeric": [">", 1.5]}, True, None, "é"]}},
        parallelism=2,
        delivery={"type": "pull", "order": "key", "leaseSeconds": 7},
    )
    for each in (one, with_pause(one, True, LATER), with_redrive(with_seek(one, TO_END, LATER), {0: 3}, LATER)):
        assert from_bytes(to_bytes(each)) == each


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"subscription": None},
        {"surprise": 1},
    ],
)
def test_what_another_version_has_stored_is_not_misread(change: dict[str, Any]) -> None:
    assert from_bytes(orjson.dumps(orjson.loads(to_bytes(subscription())) | change)) is None


def test_a_stored_field_that_is_not_known_here_is_not_passed_over() -> None:
    stored = orjson.loads(to_bytes(subscription()))
    stored["subscription"]["spec"]["delivery"]["url"] = "https://team.example"
    assert from_bytes(orjson.dumps(stored)) is None


@pytest.mark.parametrize("value", [b"", b"{", b"null", b"[]", b"\xff"])
def test_what_is_no_subscription_at_all_is_none(value: bytes) -> None:
    assert from_bytes(value) is None


def test_an_owner_sees_everything_that_was_said_and_done() -> None:
    one = subscription()
    assert shown(one, "eventbus") == {
        "name": "board",
        "id": one.id,
        "topics": ["notes", "orders"],
        "filter": None,
        "start": "latest",
        "parallelism": 1,
        "delivery": {
            "type": "pull",
            "order": "none",
            "leaseSeconds": None,
            "maxDeliveries": 16,
            "maxInFlight": None,
        },
        "paused": False,
        "pauseReason": None,
        "lastSeek": None,
        "lastRedrive": None,
        "deadLetterTopic": "clinic.board.dlq",
        "consumerGroup": f"eventbus.clinic.board.{one.id}",
        "createdAt": "2023-11-14T22:13:20.000Z",
        "updatedAt": "2023-11-14T22:13:20.000Z",
    }
