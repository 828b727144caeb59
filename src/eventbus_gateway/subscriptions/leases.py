"""Leases of the events of one shard: who has which event for how long, and what becomes of it."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, NamedTuple, TypeGuard

from eventbus_gateway.runs import runs
from eventbus_gateway.subscriptions.dead_letters import DeadLetters
from eventbus_gateway.subscriptions.leased import (
    Cause,
    DeadLetter,
    HandOut,
    Lease,
    Leased,
    Outcome,
    Standing,
    each_leased,
    groups_of,
)
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


class Found(NamedTuple, Generic[P]):
    """An event that a reference names, and that was not handed out again since.

    Args:
        source: partition of the event.
        offset: its place.
        lease: how it stands.
    """

    source: Partition[P]
    offset: int
    lease: Lease


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
        self._terms: Terms[Partition[P]] = Terms(_waits)
        self._dead: DeadLetters[P] = DeadLetters()

    def receive(
        self, now: float, max_events: int, lease_seconds: float, max_bytes: int, run: int = 1
    ) -> list[Leased[P]]:
        """The same as ``hand_out``, event by event."""
        return each_leased(self.hand_out(now, max_events, lease_seconds, max_bytes, run))

    def hand_out(
        self, now: float, max_events: int, lease_seconds: float, max_bytes: int, run: int = 1
    ) -> list[HandOut[P]]:
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
        term: Term[Partition[P]] = Term(now + lease_seconds)
        handed_out = self.supply.hand_out(max_events, max_bytes, term, run)
        self._terms.start(term)
        return handed_out

    def take_back(self, leased: Iterable[Leased[P]]) -> None:
        """Undo hand-outs of which no client has heard; they do not count as deliveries.

        Args:
            leased: not to be used again: the next hand-out of each event has the same number.
        """
        for origin, event, deliveries in leased:
            source = self.supply.source_of(origin)
            lease = source.leases.get(event.offset)
            if _is_running(lease, deliveries):
                self._leave_term(lease)
                self.supply.put_back(source, event.offset, deliveries - 1)

    def ack(self, references: Iterable[AnyReference]) -> list[Outcome]:
        """Be done with events. It is not too late as long as the event was not handed out again."""
        outcomes: list[Outcome] = []
        for group in References.of(references).groups:
            source = _own(self.supply, group)
            outcomes += (
                self._each(group.some(slice(None)), self._ack) if source is None else self._ack_group(source, group)
            )
        return outcomes

    def done(self, leased: Iterable[Leased[P]]) -> None:
        """The same for whoever has the hand-outs themselves.

        Args:
            leased: hand-outs of different events.
        """
        for origin, group in groups_of(leased):
            self._ack_group(self.supply.source_of(origin), group)

    def release(self, now: float, references: Iterable[AnyReference], delay_seconds: float) -> list[Outcome]:
        """Give leases back to be handed out again after a delay; the last delivery ends as a dead letter."""
        self.advance(now)
        term: Term[Partition[P]] = Term(now + delay_seconds)

        def release(found: Found[P]) -> Outcome:
            source, offset, lease = found
            if lease.standing is not _LEASED:
                return self._too_late(found)
            self._leave_term(lease)
            if self._is_last(lease):
                self._give_up(found, Cause.MAX_DELIVERIES)
            elif delay_seconds <= 0:
                self.supply.put_back(source, offset, lease.delivery_count)
            else:
                _enter(term, found, _DELAYED)
            return Outcome.OK

        outcomes = self._each(references, release)
        self._terms.start(term)
        return outcomes

    def extend(self, now: float, references: Iterable[AnyReference], lease_seconds: float) -> list[Outcome]:
        """Let leases end that many seconds from now, be it later or earlier than before."""
        self.advance(now)
        term: Term[Partition[P]] = Term(now + lease_seconds)

        def extend(found: Found[P]) -> Outcome:
            if found.lease.standing is not _LEASED:
                return self._too_late(found)
            # Else a reference that comes again would have the event entered again.
            if found.lease.term is not term:
                self._leave_term(found.lease)
                _enter(term, found, _LEASED)
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

        def reject(found: Found[P]) -> Outcome:
            source, offset, lease = found
            if lease.standing is _DEAD:
                return Outcome.SETTLED if self._dead.is_rejected(source, offset) else Outcome.OK
            source.withdraw(lease)
            self._leave_term(lease)
            self._give_up(found, Cause.REJECTED, reason)
            return Outcome.OK

        return self._each(references, reject)

    def keep(self, letters: Iterable[Leased[P]]) -> None:
        """Have dead letters stored once more that a redrive did not want; see ``Supply.offer_some``."""
        for leased in letters:
            self._dead.add(self.supply.source_of(leased.origin), leased, Cause.KEPT)

    def due_dead_letters(self, now: float, count: int) -> list[DeadLetter[P]]:
        """Events to be stored among the dead letters; each comes once until ``dead_letter_failed``."""
        self.advance(now)
        return self._dead.hand_out(count)

    def dead_lettered(self, references: Iterable[AnyReference]) -> list[Outcome]:
        """Be done with events that are stored among the dead letters."""

        def stored(found: Found[P]) -> Outcome:
            if found.lease.standing is not _DEAD:
                return Outcome.UNKNOWN
            self._settle(found)
            return Outcome.OK

        return self._each(references, stored)

    def dead_letter_failed(
        self, now: float, references: Iterable[AnyReference], retry_seconds: float
    ) -> list[Outcome]:
        """Have events that could not be stored among the dead letters come again after a while."""
        term: Term[Partition[P]] = Term(now + retry_seconds)

        def failed(found: Found[P]) -> Outcome:
            source, offset, lease = found
            if lease.standing is not _DEAD:
                return Outcome.UNKNOWN
            if lease.term is None and not self._dead.is_due(source, offset):
                _enter(term, found, _DEAD)
            return Outcome.OK

        outcomes = self._each(references, failed)
        self._terms.start(term)
        return outcomes

    def advance(self, now: float) -> None:
        """Let everything happen that is due."""
        while (term := self._terms.due(now)) is not None:
            for source, offset in term:
                if _waits(term, source, offset):
                    self._fall_due(Found(source, offset, source.leases[offset]))

    def next_deadline(self) -> float | None:
        """When ``advance`` has something to do next."""
        return self._terms.next()

    def counts(self) -> Counts:
        """How many unacked events there are; looks at each that was handed out."""
        return _counted(self.supply.partitions.values(), len(self._dead))

    def _fall_due(self, found: Found[P]) -> None:
        source, offset, lease = found
        if lease.standing is _DEAD:
            source.leases[offset] = lease._replace(term=None)
            self._dead.again(source, offset)
        elif lease.standing is _LEASED and self._is_last(lease):
            self._give_up(found, Cause.MAX_DELIVERIES)
        else:
            self.supply.put_back(source, offset, lease.delivery_count)

    def _ack_group(self, source: Partition[P], group: Group) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for lease, run in runs(map(source.leases.get, group.offsets)):
            # Nearly all acks are for a lease that runs; what else there is, is looked at one by one.
            if not _is_running(lease, group.delivery_count):
                outcomes += self._each(group.some(run), self._ack)
                continue
            offsets = group.offsets[run]
            self.supply.ack(source, *offsets)
            self._leave_term(lease, len(offsets))
            outcomes += [_OK] * len(offsets)
        return outcomes

    def _each(self, references: Iterable[AnyReference], verdict: Callable[[Found[P]], Outcome]) -> list[Outcome]:
        # One after the other: what comes twice may be settled by then.
        named = (_named(self.supply, reference) for reference in references)
        return [one if isinstance(one, Outcome) else verdict(one) for one in named]

    def _ack(self, found: Found[P]) -> Outcome:
        if not found.lease.delivery_count:
            return Outcome.UNKNOWN  # made up: nobody was ever handed this dead letter
        if self._dead.is_rejected(found.source, found.offset):
            return Outcome.SETTLED
        self._settle(found)
        return Outcome.OK

    def _settle(self, found: Found[P]) -> None:
        source, offset, lease = found
        if lease.standing is _DEAD:
            self._dead.forget(source, offset)
        source.withdraw(lease)
        self.supply.ack(source, offset)
        self._leave_term(lease)

    def _give_up(self, found: Found[P], cause: Cause, reason: str = "") -> None:
        source, offset, lease = found
        source.leases[offset] = Lease(lease.delivery_count, _DEAD, None)
        leased = Leased(source.origin, source.window.held[offset], lease.delivery_count)
        self._dead.add(source, leased, cause, reason)

    def _is_last(self, lease: Lease) -> bool:
        return self.max_deliveries is not None and lease.delivery_count >= self.max_deliveries

    def _leave_term(self, lease: Lease, number: int = 1) -> None:
        """So many events that had this lease have it no more."""
        if lease.term is not None:
            self._terms.leave(lease.term, number)

    def _too_late(self, found: Found[P]) -> Outcome:
        return Outcome.SETTLED if self._dead.is_rejected(found.source, found.offset) else Outcome.EXPIRED


def _own(supply: Supply[P], group: Group) -> Partition[P] | None:
    """The partition that references name, where they are of this state."""
    is_own = (group.shard, group.acquisition) == (supply.shard, supply.acquisition)
    return supply.partitions.get((group.topic, group.partition)) if is_own else None


def _is_running(lease: Lease | None, deliveries: int) -> TypeGuard[Lease]:
    """Whether it is that of a client to whom events were handed out so often."""
    return lease is not None and lease.delivery_count == deliveries and lease.standing is _LEASED


def _waits(term: Term[Any], source: Partition[Any], offset: int) -> bool:
    lease = source.leases.get(offset)
    return lease is not None and lease.term is term


def _named(supply: Supply[P], reference: AnyReference) -> Found[P] | Outcome:
    """The hand-out that a reference names, or why it names none."""
    shard, acquisition, topic, partition, offset, deliveries = reference
    if (shard, acquisition) != (supply.shard, supply.acquisition):
        return Outcome.STALE
    source = supply.partitions.get((topic, partition))
    if source is None:
        return Outcome.UNKNOWN
    lease = source.leases.get(offset)
    if lease is not None and lease.delivery_count == deliveries:
        return Found(source, offset, lease)
    if lease is not None:
        return Outcome.STALE if 0 < deliveries < lease.delivery_count else Outcome.UNKNOWN
    settled = offset < source.window.position and offset not in source.window.held
    return Outcome.SETTLED if settled else Outcome.UNKNOWN


def _counted(sources: Collection[Partition[P]], dead: int) -> Counts:
    standings = [lease.standing for source in sources for lease in source.leases.values()]
    ready = sum(source.ready for source in sources)
    leased, delayed = standings.count(_LEASED), standings.count(_DELAYED)
    held = sum(len(source.window.held) for source in sources)
    return Counts(ready, leased, delayed, held - ready - leased - delayed - dead, dead)


def _enter(term: Term[Partition[P]], found: Found[P], standing: Standing) -> None:
    """Have an event wait for a term."""
    source, offset, lease = found
    source.leases[offset] = Lease(lease.delivery_count, standing, term)
    term.enter(source, (offset,))
