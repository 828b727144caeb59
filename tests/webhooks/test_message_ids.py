"""``webhook-id`` of requests: receivers leave out what came under the same id before, so it stands for its events."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.requests import Requests

Place = tuple[str, int, int]

PLACES: list[Place] = [(topic, partition, at) for topic in ("a", "a.b") for partition in (0, 1) for at in (0, 1, 2)]


def handed_out(acquisition: int) -> dict[Place, Leased[Consumed]]:
    """Every place once, as one state of a shard hands it out."""
    supply: Supply[Consumed] = Supply(0, acquisition, ["a", "a.b"], Bounds(100, 10**6), "none")
    for topic, partition in dict.fromkeys(place[:2] for place in PLACES):
        supply.add(topic, partition, 0, "")
        events = [
            Event(at, 0, None, 1, Consumed.of(topic, partition, at, 0, None, b"1", NO_HEADERS)) for at in (0, 1, 2)
        ]
        supply.offer(topic, partition, events, 0, 3)
    leased = Leases(supply).receive(0.0, 100, 60.0, 10**6)
    return {(each.origin.topic, each.origin.partition, each.event.offset): each for each in leased}


def no_events(topic: str) -> Outgoing:
    raise AssertionError(topic)


BEFORE, AFTER = handed_out(1), handed_out(2)


def message_id(found: dict[Place, Leased[Consumed]], places: Sequence[Place]) -> str:
    return Requests("0123456789abcdef", no_events).message_id([found[place] for place in places])


batches = st.lists(st.sampled_from(PLACES), min_size=1, max_size=4, unique=True)


@given(batches, batches)
def test_two_requests_have_the_same_id_if_and_only_if_they_have_the_same_events(
    one: list[Place], other: list[Place]
) -> None:
    assert (message_id(BEFORE, one) == message_id(AFTER, other)) is (one == other)


def test_an_id_is_short_and_can_be_signed() -> None:
    found = message_id(BEFORE, PLACES)
    assert found.isascii()
    assert "." not in found
    assert len(found) < 100
