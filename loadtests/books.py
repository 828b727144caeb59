"""What was published, what came, and whether that is what was promised."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

Outcome = Literal["stored", "not_stored", "unknown"]


class Published(NamedTuple):
    """An event on its way into the gateway.

    Args:
        number: of all that were published, in their order.
        key: those of one key are published one after the other's answer, or in one batch.
        sent: seconds since the epoch.
    """

    number: int
    key: str
    sent: float


class Subscriber:
    """What came to one subscription, however many clients share it.

    Args:
        name: how it is reported.
        published: every event of the run by its id.
    """

    def __init__(self, name: str, published: Mapping[str, Published]) -> None:
        self.name = name
        self.came: dict[str, int] = {}
        """Place of each event among those that came for the first time."""
        self.repeated = 0
        self.unsigned = 0
        self._published = published

    def take(self, event: str, at: float) -> float | None:
        """Note an event.

        Args:
            event: its id.
            at: when it came, seconds since the epoch.

        Returns:
            Seconds since it was published; None for one that came before or is not of this run.
        """
        if event in self.came:
            self.repeated += 1
            return None
        self.came[event] = len(self.came)
        sent = self._published.get(event)
        return None if sent is None else max(0.0, at - sent.sent)


class Account(NamedTuple):
    """What a subscription was given.

    Args:
        name: which one.
        came: different events.
        lost: events whose storing was acknowledged and that never came.
        disordered: acknowledged events that came behind a later one of their key.
        untrue: events that came although they were answered as not stored, or that nobody published.
        unsigned: requests without the right signature.
        repeated: events that came once more, as at-least-once allows.
    """

    name: str
    came: int
    lost: int
    disordered: int
    untrue: int
    unsigned: int
    repeated: int

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.disordered or self.untrue or self.unsigned)


class Verdict(NamedTuple):
    """What the books say at the end.

    Args:
        published: events that were sent.
        stored: those that were acknowledged.
        not_stored: those that were answered as not stored.
        unknown: those of which nobody knows.
        accounts: each subscription's.
    """

    published: int
    stored: int
    not_stored: int
    unknown: int
    accounts: tuple[Account, ...]

    @property
    def faults(self) -> list[str]:
        """Sentences that say what was not kept; none when all was, and when there was something to keep."""
        found = [] if self.stored else ["nothing was stored"]
        for account in self.accounts:
            if not account.is_good:
                told = f"{account.lost} lost, {account.disordered} out of order, {account.untrue} untrue"
                found.append(f"{account.name}: {told}, {account.unsigned} not signed")
        return found


class Books:
    """Every event of a run: what became of it, and to whom it came."""

    def __init__(self) -> None:
        self.published: dict[str, Published] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.subscribers: dict[str, Subscriber] = {}

    def subscriber(self, name: str) -> Subscriber:
        """The account of a subscription, opened when there is none yet."""
        if name not in self.subscribers:
            self.subscribers[name] = Subscriber(name, self.published)
        return self.subscribers[name]

    def publishing(self, event: str, key: str, at: float) -> None:
        """Note an event that is about to be sent, at so many seconds since the epoch."""
        self.published[event] = Published(len(self.published), key, at)

    def answered(self, event: str, outcome: Outcome) -> None:
        """Note what its caller was told."""
        self.outcomes[event] = outcome

    @property
    def is_settled(self) -> bool:
        """Whether everything that was acknowledged has come to everybody."""
        return all(next(self._lost(subscriber), None) is None for subscriber in self.subscribers.values())

    def verdict(self) -> Verdict:
        """Close the books."""
        told = list(self.outcomes.values())
        # Who had no answer knows nothing either.
        unknown = len(self.published) - told.count("stored") - told.count("not_stored")
        accounts = tuple(self._account(subscriber) for subscriber in self.subscribers.values())
        return Verdict(len(self.published), told.count("stored"), told.count("not_stored"), unknown, accounts)

    def _account(self, subscriber: Subscriber) -> Account:
        untrue = sum(
            event not in self.published or self.outcomes.get(event) == "not_stored" for event in subscriber.came
        )
        lost = sum(1 for _ in self._lost(subscriber))
        numbers = len(subscriber.came), lost, self._disordered(subscriber), untrue
        return Account(subscriber.name, *numbers, subscriber.unsigned, subscriber.repeated)

    def _lost(self, subscriber: Subscriber) -> Iterator[str]:
        return (
            event for event, outcome in self.outcomes.items() if outcome == "stored" and event not in subscriber.came
        )

    def _disordered(self, subscriber: Subscriber) -> int:
        latest: dict[str, int] = {}
        found = 0
        for event in subscriber.came:
            # What was not acknowledged may be stored at any time.
            if self.outcomes.get(event) != "stored" or event not in self.published:
                continue
            number, key, _ = self.published[event]
            found += number < latest.get(key, -1)
            latest[key] = max(number, latest.get(key, -1))
        return found
