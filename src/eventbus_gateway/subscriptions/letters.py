"""Dead letters as records: the event as it was stored, with headers that say where it comes from and why."""

from typing import NamedTuple

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.subscriptions.leased import Cause, DeadLetter

PREFIX = "eventbus-"
"""What the names of all headers that a dead letter adds begin with."""

_TOPIC = "eventbus-origin-topic"
_PARTITION = "eventbus-origin-partition"
_OFFSET = "eventbus-origin-offset"
_TIMESTAMP = "eventbus-origin-timestamp"
_TOMBSTONE = "eventbus-origin-tombstone"
_SUBSCRIPTION = "eventbus-subscription"
_CAUSE = "eventbus-cause"
_REASON = "eventbus-reason"
_DELIVERIES = "eventbus-deliveries"
_SINCE = "eventbus-dead-lettered-at"
_MAX_DIGITS = 19


class Letter(NamedTuple):
    """A dead letter that was read back.

    Args:
        event: the record as it was before.
        cause: ``max_deliveries`` or ``rejected``.
        reason: what the client said that rejected it.
        deliveries: how often it was handed out.
        since: milliseconds since the epoch of when it was given up.
        subscription: full name of its subscription; empty for what is no dead letter of the gateway.
    """

    event: Consumed
    cause: str
    reason: str
    deliveries: int
    since: int
    subscription: str


class LetterTopic(NamedTuple):
    """Where the dead letters of a subscription are.

    Args:
        name: name of the topic.
        subscription: full name of the subscription.
        topics: what it reads.
    """

    name: str
    subscription: str
    topics: frozenset[str]

    def redriven(self, record: Consumed) -> Consumed | None:
        """The event in a dead letter, None for what is none of the subscription's.

        The topic may have another use beside. And what comes from a topic that the subscription no longer reads is
        nothing that its owner has to be allowed to read.
        """
        found = opened(record)
        return found.event if found.subscription == self.subscription and found.event.topic in self.topics else None


def letter(dead: DeadLetter[Consumed], subscription: str, now: int) -> Record:
    """The record to be stored for an event that was given up.

    Args:
        dead: the event.
        subscription: full name of its subscription.
        now: milliseconds since the epoch.
    """
    event = dead.leased.event.payload
    if dead.cause is Cause.KEPT:
        headers = [(name, value) for name, value in event.headers.pairs() if value is not None]
        return Record(event.key, event.value or b"", headers)
    headers = [(name, value) for name, value in event.headers.pairs() if value is not None]
    added = {
        _TOPIC: event.topic,
        _PARTITION: str(event.partition),
        _OFFSET: str(event.offset),
        _TIMESTAMP: str(event.timestamp),
        _SUBSCRIPTION: subscription,
        _CAUSE: dead.cause.value,
        _REASON: dead.reason,
        _DELIVERIES: str(dead.leased.delivery_count),
        _SINCE: str(now),
    }
    if event.value is None:
        # A record of ours has a value, and a topic for dead letters need not care about tombstones.
        added[_TOMBSTONE] = "true"
    headers += [(name, text.encode()) for name, text in added.items() if text]
    return Record(event.key, event.value or b"", headers)


def opened(record: Consumed) -> Letter:
    """A dead letter and the event inside.

    What somebody else stored in the topic counts as an event of its own, for no cause that is known.

    Args:
        record: as it was read.
    """
    ours = {name: value for name, value in record.headers.pairs() if name.startswith(PREFIX) and value is not None}
    headers = [(name, value) for name, value in record.headers.pairs() if not name.startswith(PREFIX)]
    event = Consumed.of(
        _text(ours, _TOPIC) or record.topic,
        _number(ours, _PARTITION, record.partition),
        _number(ours, _OFFSET, record.offset),
        _number(ours, _TIMESTAMP, record.timestamp),
        record.key,
        None if _TOMBSTONE in ours else record.value,
        Headers.of(headers),
    )
    return Letter(
        event,
        _text(ours, _CAUSE) or "unknown",
        _text(ours, _REASON),
        _number(ours, _DELIVERIES, 0),
        _number(ours, _SINCE, record.timestamp),
        _text(ours, _SUBSCRIPTION),
    )


def _text(headers: dict[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode(errors="replace")


def _number(headers: dict[str, bytes], name: str, otherwise: int) -> int:
    value = headers.get(name, b"")
    return int(value) if value.isdigit() and len(value) <= _MAX_DIGITS else otherwise
