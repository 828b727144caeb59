"""Whatever receivers answer: nothing is lost, nothing overtakes, and nothing is sent while the one before is open."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.webhooks.dispatching import Answer, Post, Receiver, record, webhook
from tests.webhooks.jumping import after, clock, play, until

from eventbus_gateway.webhooks.cloudevents import NotUnderstood, events_of
from eventbus_gateway.webhooks.outbound import Attempted, Outbound

ANSWERS: list[Answer] = [
    200,
    204,
    400,
    401,
    422,
    500,
    Attempted(429, None, "7", 0.01),
    Attempted(503, None, None, 0.01),
    Attempted(None, "timeout", None, 1.0),
    Attempted(None, "connect", None, 0.0),
    Attempted(200, "truncated", None, 0.01),
    Attempted(None, "busy", None, 0.0),
]
KEYS = ["A", "B", "C", None]
POLICY = {"maxAttempts": 4, "maxAgeSeconds": 600, "onClientError": "dead_letter"}


class Ledger(Receiver):
    """A receiver that looks at what it gets while it gets it."""

    def __init__(self, order: str, answers: list[Answer]) -> None:
        super().__init__(0.05)
        self.order = order
        self.answers = answers
        self.wrong: list[str] = []
        self.open: dict[Any, set[int]] = defaultdict(set)
        self.got: dict[Any, list[int]] = defaultdict(list)

    async def send(self, request: Outbound) -> Attempted:
        """See ``Receiver``."""
        found = events_of(request.headers.items(), request.body)
        assert not isinstance(found, NotUnderstood)
        offsets = [int(event["data"]) for event in found]
        lanes = {offset: self.lane(event) for offset, event in zip(offsets, found, strict=True)}
        if any(self.open[lane] for lane in lanes.values() if lane is not None):
            self.wrong.append(f"{offsets}: something of the same lane is under way")
        for offset, lane in lanes.items():
            self.open[lane].add(offset)
        attempted = await super().send(request)
        for offset, lane in lanes.items():
            self.open[lane].discard(offset)
            if attempted.failure is None and 200 <= (attempted.status or 0) < 300:
                self.got[lane].append(offset)
        return attempted

    def lane(self, event: dict[str, Any]) -> Any:
        """What an event must not overtake others in; None for nothing."""
        if self.order == "none" or (self.order == "key" and "partitionkey" not in event):
            return None
        return event["partitionkey"] if self.order == "key" else "partition"


@settings(max_examples=60, deadline=None)
@given(
    order=st.sampled_from(["key", "partition", "none"]),
    form=st.sampled_from(["binary", "batch"]),
    keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=25),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=40),
)
def test_every_event_arrives_or_becomes_a_dead_letter_and_none_overtakes_another_of_its_lane(
    order: str, form: str, keys: list[str | None], answers: list[Answer]
) -> None:
    async def scenario() -> None:
        ledger = Ledger(order, list(answers))
        extra = {"batch": {"maxEvents": 3, "waitSeconds": 0.2}} if form == "batch" else {}
        post = Post(webhook(order=order, format=form, retry=POLICY, maxInFlight=3, **extra), ledger)
        dead: list[int] = []
        for at, key in enumerate(keys):
            post.put(record(at, at, key=key))
            if at % 5 == 0:
                await after(0.3)
        deadline = clock() + 10_000
        while post.unacked():
            assert clock() < deadline
            await after(0.5)
            letters = post.given_up()
            post.leases.dead_lettered([each.leased.reference for each in letters])
            dead += [each.leased.event.offset for each in letters]
            post.dispatcher.look()
        assert not ledger.wrong
        got = [offset for offsets in ledger.got.values() for offset in offsets]
        assert sorted(got + dead) == list(range(len(keys)))
        for lane, offsets in ledger.got.items():
            assert lane is None or offsets == sorted(offsets)
        await until(lambda: post.dispatcher.status().in_flight == 0, 10)
        assert ledger.most_under_way <= 3

    play(scenario)
