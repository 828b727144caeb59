"""Leases of the events of one shard: who has which event for how long, and what becomes of it."""

from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple

from eventbus_gateway.runs import runs
from eventbus_gateway.subscriptions.dead_letters import DeadLetters
from eventbus_gateway.subscriptions.leased import Cause, DeadLetter, Leased, Outcome, Standing
from eventbus_gateway.subscriptions.partition import Partition
from eventbus_gateway.subscriptions.references import Group, References
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.terms import Term, Terms
from eventbus_gateway.subscriptions.tokens import AnyReference
from eventbus_gateway.subscriptions.window import P

_OK = Outcome.OK
_LEASED, _DELAYED, _READY, _DEAD = Standing.LEASED, Standing.DELAYED, Standing.READY, Standing.DEAD


class Counts(NamedTuple):
    """How many unacked events there are.

    Args:
        ready: to be handed out at once.
        leased: with clients.
        delayed: released with a delay that still runs.
        blocked: waiting for an earlier event of their key.
        dead_letters: given up and not stored among the dead letters yet.
    """

    ready: int
    leased: int
    delayed: int
    blocked: int
    dead_letters: int


class Leases(Generic[P]):
    """Hands out the events of a supply for a time and takes back what clients say of them.

    Times are seconds on any clock that never goes back. What falls due happens when somebody calls with a later time.
    Delivery counts begin anew with each supply.

    Args:
        supply: the events.
        max_deliveries: hand-outs of one event before it becomes a dead letter, None for no limit.
    """

    def __init__(self, supply: Supply[P], max_deliveries: int | None = None) -> None:
        self.supply = supply
        self.max_deliveries = max_deliveries
        self._terms: Terms[Leased[P]] = Terms()
        self._dead: DeadLetters[P] = DeadLetters()

    def receive(
        self, now: float, max_events: int, lease_seconds: float, max_bytes: int, run: int = 1
    ) -> list[Leased[P]]:
        """Lease ready events; see ``Supply.hand_out``.

        Args:
            now: the time.
            max_events: number of events at the most.
            lease_seconds: how long the client has for them.
            max_bytes: no further event once the sizes of those before reach this.
            run: events of one lane (a key or a partition, by the supply's order) that are leased together at the
                most. Whoever asks for more than one has to give them on in their order and stop at the first that
                fails.
        """
        self.advance(now)
        term: Term[Leased[P]] = Term(now + lease_seconds)
        leased = self.supply.hand_out(max_events, max_bytes, term, run)
        term.members = dict.fromkeys(leased)
        self._terms.start(term)
        return leased

    def take_back(self, leased: Iterable[Leased[P]]) -> None:
        """Undo hand-outs of which no client has heard; they do not count as deliveries."""
        for each in leased:
            if each.standing is _LEASED and each.term is not None:
                self._leave_term(each)
                each.delivery_count -= 1
                self.supply.put_back(each)

    def ack(self, references: Iterable[AnyReference]) -> list[Outcome]:
        """Be done with events. It is not too late as long as the event was not handed out again."""
        outcomes, left = list[Outcome](), list[Leased[P]]()
        last: Term[Leased[P]] = Term(0.0)
        for group in References.of(references).groups:
            source = _own(self.supply, group)
            found = [None] * len(group.offsets) if source is None else list(map(source.leases.get, group.offsets))
            # Nearly all acks are for the lease that runs; what else there is, is looked at one by one.
            for term, run in runs(_terms(found, group.delivery_count)):
                if term is None or source is None:
                    outcomes += self._each(group.some(run), self._ack)
                    continue
                if term is not last:
                    self._terms.leave(last, left)
                    last, left = term, []
                acked = list(filter(None, found[run]))
                for leased in acked:
                    leased.term = None
                left += acked
                self.supply.ack(source, *group.offsets[run])
                outcomes += [_OK] * len(acked)
        self._terms.leave(last, left)
        return outcomes

    def done(self, hand_outs: Iterable[Leased[P]]) -> None:
        """The same for whoever has the hand-outs themselves, which need not be looked for."""
        for origin, run in groupby(hand_outs, attrgetter("origin")):
            source, acked = self.supply.source_of(origin), list[int]()
            for leased in run:
                if leased.term is not None and leased.standing is _LEASED:
                    self._leave_term(leased)
                    acked.append(leased.event.offset)
                else:
                    self._be_done(source, acked)
                    self._each((leased.reference,), self._ack)
            self._be_done(source, acked)

    def release(self, now: float, references: Iterable[AnyReference], delay_seconds: float) -> list[Outcome]:
        """Give leases back to be handed out again after a delay; the last delivery ends as a dead letter."""
        self.advance(now)
        term: Term[Leased[P]] = Term(now + delay_seconds)

        def release(_: Partition[P], leased: Leased[P]) -> Outcome:
            if leased.standing is not _LEASED:
                return self._too_late(leased)
            self._leave_term(leased)
            if self._is_last(leased):
                self._give_up(leased, Cause.MAX_DELIVERIES)
            elif delay_seconds <= 0:
                self.supply.put_back(leased)
            else:
                leased.standing = _DELAYED
                _enter(term, leased)
            return Outcome.OK

        outcomes = self._each(references, release)
        self._terms.start(term)
        return outcomes

    def extend(self, now: float, references: Iterable[AnyReference], lease_seconds: float) -> list[Outcome]:
        """Let leases end that many seconds from now, be it later or earlier than before."""
        self.advance(now)
        term: Term[Leased[P]] = Term(now + lease_seconds)

        def extend(_: Partition[P], leased: Leased[P]) -> Outcome:
            if leased.standing is not _LEASED:
                return self._too_late(leased)
            self._leave_term(leased)
            _enter(term, leased)
            return Outcome.OK

        outcomes = self._each(references, extend)
        self._terms.start(term)
        return outcomes

    def reject(self, references: Iterable[AnyReference], reason: str) -> list[Outcome]:
        """Make dead letters of events. Like an ack it is not too late while nobody was handed the event again.

        Args:
            references: the hand-outs.
            reason: what the client says about it.
        """

        def reject(source: Partition[P], leased: Leased[P]) -> Outcome:
            if leased.standing is _DEAD:
                return Outcome.SETTLED if self._dead.is_rejected(leased) else Outcome.OK
            source.withdraw(leased)
            self._leave_term(leased)
            self._give_up(leased, Cause.REJECTED, reason)
            return Outcome.OK

        return self._each(references, reject)

    def keep(self, letters: Iterable[Leased[P]]) -> None:
        """Have dead letters stored once more that a redrive did not want; see ``Supply.offer_some``."""
        for leased in letters:
            self._dead.add(leased, Cause.KEPT)

    def due_dead_letters(self, now: float, count: int) -> list[DeadLetter[P]]:
        """Events to be stored among the dead letters; each comes once until ``dead_letter_failed``."""
        self.advance(now)
        return self._dead.hand_out(count)

    def dead_lettered(self, references: Iterable[AnyReference]) -> list[Outcome]:
        """Be done with events that are stored among the dead letters."""

        def stored(source: Partition[P], leased: Leased[P]) -> Outcome:
            if leased.standing is not _DEAD:
                return Outcome.UNKNOWN
            self._settle(source, leased)
            return Outcome.OK

        return self._each(references, stored)

    def dead_letter_failed(
        self, now: float, references: Iterable[AnyReference], retry_seconds: float
    ) -> list[Outcome]:
        """Have events that could not be stored among the dead letters come again after a while."""
        term: Term[Leased[P]] = Term(now + retry_seconds)

        def failed(_: Partition[P], leased: Leased[P]) -> Outcome:
            if leased.standing is not _DEAD:
                return Outcome.UNKNOWN
            if leased.term is None and not self._dead.is_due(leased):
                _enter(term, leased)
            return Outcome.OK

        outcomes = self._each(references, failed)
        self._terms.start(term)
        return outcomes

    def advance(self, now: float) -> None:
        """Let everything happen that is due."""
        for leased in self._terms.due(now):
            leased.term = None
            if leased.standing is _DEAD:
                self._dead.again(leased)
            elif leased.standing is _LEASED and self._is_last(leased):
                self._give_up(leased, Cause.MAX_DELIVERIES)
            else:
                self.supply.put_back(leased)

    def next_deadline(self) -> float | None:
        """When ``advance`` has something to do next."""
        return self._terms.next()

    def counts(self) -> Counts:
        """How many unacked events there are; looks at each that was handed out."""
        return _counted(self.supply.partitions.values(), len(self._dead))

    def _be_done(self, source: Partition[P] | None, acked: list[int]) -> None:
        """Have what was acked in a row off the books at once, which takes two thirds of the time of one by one."""
        if acked and source is not None:
            self.supply.ack(source, *acked)
            acked.clear()

    def _each(
        self, references: Iterable[AnyReference], verdict: Callable[[Partition[P], Leased[P]], Outcome]
    ) -> list[Outcome]:
        # One after the other: what comes twice may be settled by then.
        named = (_named(self.supply, reference) for reference in references)
        return [one if isinstance(one, Outcome) else verdict(*one) for one in named]

    def _ack(self, source: Partition[P], leased: Leased[P]) -> Outcome:
        if leased.standing is _DEAD and self._dead.is_rejected(leased):
            return Outcome.SETTLED
        self._settle(source, leased)
        return Outcome.OK

    def _settle(self, source: Partition[P], leased: Leased[P]) -> None:
        self._leave_term(leased)
        if leased.standing is _DEAD:
            self._dead.forget(leased)
        source.withdraw(leased)
        self.supply.ack(source, leased.event.offset)

    def _give_up(self, leased: Leased[P], cause: Cause, reason: str = "") -> None:
        leased.standing = _DEAD
        self._dead.add(leased, cause, reason)

    def _is_last(self, leased: Leased[P]) -> bool:
        return self.max_deliveries is not None and leased.delivery_count >= self.max_deliveries

    def _leave_term(self, leased: Leased[P]) -> None:
        if leased.term is not None:
            self._terms.leave(leased.term, (leased,))
            leased.term = None

    def _too_late(self, leased: Leased[P]) -> Outcome:
        rejected = leased.standing is _DEAD and self._dead.is_rejected(leased)
        return Outcome.SETTLED if rejected else Outcome.EXPIRED


def _own(supply: Supply[P], group: Group) -> Partition[P] | None:
    """The partition that references name, where they are of this state."""
    is_own = (group.shard, group.acquisition) == (supply.shard, supply.acquisition)
    return supply.partitions.get((group.topic, group.partition)) if is_own else None


def _terms(found: Iterable[Leased[P] | None], deliveries: int) -> list[Term[Leased[P]] | None]:
    """The term of each hand-out that is with a client, None for all else that was found."""
    return [
        leased.term
        if leased is not None and leased.delivery_count == deliveries and leased.standing is _LEASED
        else None
        for leased in found
    ]


def _named(supply: Supply[P], reference: AnyReference) -> tuple[Partition[P], Leased[P]] | Outcome:
    """The hand-out that a reference names, or why it names none."""
    shard, acquisition, topic, partition, offset, deliveries = reference
    if (shard, acquisition) != (supply.shard, supply.acquisition):
        return Outcome.STALE
    source = supply.partitions.get((topic, partition))
    if source is None:
        return Outcome.UNKNOWN
    leased = source.leases.get(offset)
    if leased is not None and leased.delivery_count == deliveries:
        return source, leased
    if leased is not None:
        return Outcome.STALE if 0 < deliveries < leased.delivery_count else Outcome.UNKNOWN
    settled = offset < source.window.position and offset not in source.window.held
    return Outcome.SETTLED if settled else Outcome.UNKNOWN


def _counted(sources: Collection[Partition[P]], dead: int) -> Counts:
    standings = [leased.standing for source in sources for leased in source.leases.values()]
    ready = sum(source.ready for source in sources)
    leased, delayed = standings.count(_LEASED), standings.count(_DELAYED)
    held = sum(len(source.window.held) for source in sources)
    return Counts(ready, leased, delayed, held - ready - leased - delayed - dead, dead)


def _enter(term: Term[Leased[P]], leased: Leased[P]) -> None:
    leased.term = term
    term.members[leased] = None
