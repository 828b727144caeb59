"""The latest attempts of a subscription, for whoever looks why its events do not arrive."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions import together
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.webhooks.decisions import Decision, Disable, Done, GiveUp, Outcome

MOST_ATTEMPTS = 200
"""What one shard remembers."""
_MOST_ID = 256
_PLACE = attrgetter("topic", "partition", "offset")


class Attempt(NamedTuple):
    """One event in one attempt; nothing of what it says, and nothing of what was answered.

    Args:
        at: milliseconds since the epoch of its start.
        topic: name of the topic.
        partition: number of the partition.
        offset: of the record.
        event_id: id of the event, cut where it is very long.
        number: of the attempt; begins anew with another owner of the shard.
        status: of the answer, None where there was none.
        failure: why there was none, None where there was one.
        latency_ms: from start to end.
        decision: ``done``, ``retry``, ``disable``, or why it was given up.
    """

    at: int
    topic: str
    partition: int
    offset: int
    event_id: str
    number: int
    status: int | None
    failure: str | None
    latency_ms: float
    decision: str

    def shown(self) -> dict[str, Any]:
        """The attempt as its subscription's owner sees it; can be rendered as JSON."""
        return {
            "at": timestamp(self.at),
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "eventId": self.event_id,
            "attempt": self.number,
            "status": self.status,
            "error": self.failure,
            "latencyMs": round(self.latency_ms, 1),
            "decision": self.decision,
        }


class Tried(NamedTuple):
    """The events of a request, in columns: nobody will ask for those of nearly all requests.

    Args:
        places: topic, partition and offset of each.
        event_ids: their ids, cut where they are very long.
        numbers: how often each was attempted, this time included.
    """

    places: Sequence[tuple[str, int, int]]
    event_ids: Sequence[str]
    numbers: Sequence[int]

    @classmethod
    def of(cls, events: Sequence[Leased[Consumed]], event_ids: Iterable[str]) -> "Tried":
        """What is remembered of events.

        Args:
            events: their hand-outs.
            event_ids: their ids, however long.
        """
        places = list(map(_PLACE, together.records_of([each.event for each in events])))
        return cls(places, [event_id[:_MOST_ID] for event_id in event_ids], [each.delivery_count for each in events])


class _Request(NamedTuple):
    """A request that has ended; see ``RecentAttempts.add``."""

    tried: Tried
    at: int
    latency_ms: float
    outcome: Outcome
    decisions: Sequence[Decision]

    def attempts(self) -> Iterator[Attempt]:
        """One for each of its events."""
        at, outcome = self.at, self.outcome
        failure = None if outcome.failure is None else outcome.failure.value
        for place, event_id, number, decision in zip(*self.tried, self.decisions, strict=True):
            yield Attempt(at, *place, event_id, number, outcome.status, failure, self.latency_ms, name(decision))


class RecentAttempts:
    """The latest attempts of one shard.

    Args:
        most: attempts that are remembered.
    """

    def __init__(self, most: int = MOST_ATTEMPTS) -> None:
        self._most = most
        # Put together when somebody asks: that nobody will for nearly all of them.
        self._requests: deque[_Request] = deque()
        self._count = 0

    def add(self, tried: Tried, at: int, latency_ms: float, outcome: Outcome, decisions: Sequence[Decision]) -> None:
        """Remember the attempts of a request, and forget those that ended first where there are too many.

        Args:
            tried: its events.
            at: milliseconds since the epoch of its start.
            latency_ms: from start to end.
            outcome: how it ended.
            decisions: what became of each event.
        """
        most = self._most
        last = Tried(tried.places[-most:], tried.event_ids[-most:], tried.numbers[-most:])
        self._requests.append(_Request(last, at, latency_ms, outcome, decisions[-most:]))
        self._count += min(most, len(decisions))
        while self._count - len(self._requests[0].decisions) >= most:
            self._count -= len(self._requests.popleft().decisions)

    def latest(self, limit: int) -> list[Attempt]:
        """The attempts that started last, the latest first."""
        attempts = [attempt for request in self._requests for attempt in request.attempts()][-self._most :]
        # Of those that started together, the one that ended last.
        return sorted(attempts, key=_start)[::-1][: max(0, limit)]


def name(decision: Decision) -> str:
    """What a decision is called, in one word of a closed set."""
    if isinstance(decision, GiveUp):
        return decision.cause.value
    if isinstance(decision, Done):
        return "done"
    return "disable" if isinstance(decision, Disable) else "retry"


def _start(attempt: Attempt) -> int:
    return attempt.at
