"""Requests that deliver events, and what names them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.webhooks.dispatching import outgoing_of, record, webhook

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.cloudevents import events_of
from eventbus_gateway.webhooks.requests import Made, Requests
from eventbus_gateway.webhooks.rotating import signer_of
from eventbus_gateway.webhooks.signing import Secret, Verdict, Verifier

NOW = 1_700_000_000.0


def delivery(**members: Any) -> WebhookDelivery:
    found = webhook(**members).spec.delivery
    assert isinstance(found, WebhookDelivery)
    return found


def leased(*records: Consumed, acquisition: int = 1) -> list[Leased[Consumed]]:
    """Records as one state of a shard hands them out."""
    topics = list(dict.fromkeys(each.topic for each in records))
    supply: Supply[Consumed] = Supply(0, acquisition, topics, Bounds(1_000, 10**8), "none")
    for each in records:
        if not supply.has(each.topic, each.partition):
            supply.add(each.topic, each.partition, each.offset, "")
        event = Event(each.offset, each.timestamp, each.key, 1, each)
        supply.offer(
            each.topic, each.partition, [event], supply.position(each.topic, each.partition), each.offset + 1
        )
    return Leases(supply).receive(0.0, 1_000, 60.0, 10**8)


def requests(subscription_id: str = "0123456789abcdef") -> Requests:
    return Requests(subscription_id, outgoing_of, lambda: NOW)


def made(events: Sequence[Leased[Consumed]], **members: Any) -> Made:
    return asyncio.run(requests().make(events, delivery(**members)))


def name(*records: Consumed, acquisition: int = 1, of: str = "0123456789abcdef") -> str:
    return requests(of).message_id(leased(*records, acquisition=acquisition))


def test_an_event_has_the_same_name_whoever_hands_it_out_and_how_often() -> None:
    assert name(record(7)) == name(record(7), acquisition=99)
    assert name(record(7, {"other": "content"})) == name(record(7))


def test_each_place_each_subscription_and_each_size_of_a_batch_has_another_name() -> None:
    others = [
        name(record(7)),
        name(record(8)),
        name(record(7, partition=1)),
        name(record(7, topic="note")),
        name(record(7, topic="notes.dlq")),
        name(record(7), of="fedcba9876543210"),
        name(record(7), record(8)),
        name(record(7), record(8), record(9)),
    ]
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("topic", ["a.b.c", "x" * 249, "A_b-1"])
def test_a_name_is_one_that_can_be_signed(topic: str) -> None:
    found = name(record(2**62, topic=topic, partition=99_999))
    assert "." not in found
    assert len(found) < 100
    signer = signer_of(webhook().signing)
    assert signer is not None
    assert signer.headers(found, int(NOW), b"")["webhook-id"] == found


@pytest.mark.parametrize("form", ["binary", "structured", "batch"])
def test_every_format_says_the_same_of_an_event(form: str) -> None:
    headers = {"ce_id": "e-1", "ce_type": "note.taken", "ce_ward": "3 B"}
    found = made(leased(record(7, {"text": "ä"}, key="K", headers=headers)), format=form)
    (event,) = events_of(found.message.headers.items(), found.message.body)  # type: ignore[misc]  # events
    assert event["data"] == {"text": "ä"}
    assert (event["id"], event["type"], event["ward"], event["partitionkey"]) == ("e-1", "note.taken", "3 B", "K")
    assert (event["topic"], str(event["partition"]), str(event["offset"])) == ("notes", "0", "7")
    assert found.ids == ["e-1"]


def test_a_batch_has_what_fits_in_its_order_and_gives_the_rest_back() -> None:
    events = leased(*(record(at, "x" * 400) for at in range(10)))
    found = made(events, format="batch", batch={"maxBytes": 1_500, "maxEvents": 5})
    kept = events_of(found.message.headers.items(), found.message.body)
    assert len(found.message.body) <= 1_500
    assert [each["offset"] for each in kept] == [0, 1]  # type: ignore[index]  # events
    assert len(found.ids) == 2


def test_an_event_that_is_larger_than_a_batch_is_sent_alone() -> None:
    events = leased(record(0, "x" * 5_000), record(1))
    found = made(events, format="batch", batch={"maxBytes": 1_024})
    assert len(found.ids) == 1


def test_what_is_sent_is_signed_at_its_own_time() -> None:
    subscription = webhook(auth={"type": "bearer", "token": "t"})
    chosen = subscription.spec.delivery
    assert isinstance(chosen, WebhookDelivery)
    events = leased(record(7))
    mine = requests()
    message = asyncio.run(mine.make(events, chosen)).message
    found = mine.outbound(events, message, chosen, signer_of(subscription.signing), {"x": "y"})
    secret = subscription.signing[0].secret
    assert secret is not None
    verifier = Verifier([Secret.parse(secret.get_secret_value())], clock=lambda: NOW)
    assert verifier.verify(found.headers, found.body) is Verdict.VALID
    assert (found.url, found.timeout_seconds, found.headers["x"]) == (chosen.url, 15.0, "y")
    assert found.endpoint == "0123456789abcdef"


def test_what_is_not_signed_has_a_name_and_a_time_all_the_same() -> None:
    mine, chosen = requests(), delivery(signing="none")
    events = leased(record(7))
    found = mine.outbound(events, asyncio.run(mine.make(events, chosen)).message, chosen, None, {})
    assert found.headers["webhook-timestamp"] == str(int(NOW))
    assert found.headers["webhook-id"] == name(record(7))
    assert "webhook-signature" not in found.headers
