"""The events of one partition on their way to clients."""

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import chain
from typing import Generic

from eventbus_gateway.subscriptions.keys import Keys
from eventbus_gateway.subscriptions.leased import Leased, Order, Origin, Standing
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.window import Held, P, Window

_READY, _BLOCKED, _DEAD = Standing.READY, Standing.BLOCKED, Standing.DEAD


class Partition(Generic[P]):
    """Which events of a partition can be handed out, and who has the others.

    Args:
        origin: topic, partition and what their tokens have in common.
        window: what is held of it.
        order: what keeps its order: an event waits until every earlier one of its key, or of the partition, is acked.
    """

    __slots__ = ("_fresh", "_keys", "_out", "_returned", "in_turn", "leases", "origin", "ready", "window")

    def __init__(self, origin: Origin, window: Window[P], order: Order) -> None:
        self.origin = origin
        self.window = window
        self.leases: dict[int, Leased[P]] = {}
        self.ready = 0
        self.in_turn = False
        self._keys: Keys[P] | None = None if order == "none" else Keys(order)
        self._fresh: deque[Held[P]] = deque()
        # Offsets that became ready out of the order of reading. One that was acked since stays until its turn comes.
        self._returned: list[int] = []

    def add(self, events: Iterable[Held[P]]) -> None:
        """Queue events that were just taken in."""
        before = len(self._fresh)
        self._fresh.extend(events if self._keys is None else self._keys.admit(events))
        self.ready += len(self._fresh) - before

    def hand_out(self, count: int, max_bytes: int, term: Term[Leased[P]], run: int = 1) -> list[Leased[P]]:
        """Lease the ready events with the lowest offsets.

        Args:
            count: number of events at the most.
            max_bytes: no further event once their sizes reach this.
            term: when the leases end; they are not entered there.
            run: events of one lane that are leased together at the most.
        """
        origin, leases, fresh, returned = self.origin, self.leases, self._fresh, self._returned
        out: list[Leased[P]] = []
        behind = 0
        while max_bytes > 0 and len(out) < count:
            deliveries = 1
            event: Held[P] | None
            if returned and (not fresh or returned[0] < fresh[0].offset):
                event, deliveries = self._next_returned()
                if event is None:
                    continue
            elif fresh:
                event = fresh.popleft()
            else:
                break
            leases[event.offset] = leased = Leased(origin, event, deliveries, term)
            out.append(leased)
            max_bytes -= event.size
            if run > 1:
                rest = self._run(event, min(run - 1, count - len(out)), max_bytes, term)
                max_bytes -= sum([each.event.size for each in rest])
                behind += len(rest)
                out += rest
        self.ready -= len(out) - behind
        return out

    def at_hand(self, most: int, run: int) -> int:
        """About how many events could be handed out now, runs included; looks at each ready one.

        Args:
            most: it does not count further.
            run: events of one lane that are handed out together at the most.
        """
        if run == 1 or self._keys is None or self.ready >= most:
            return min(most, self.ready)
        count = 0
        for event in chain(self._fresh, filter(self._is_ready, map(self.window.held.get, self._returned))):
            if event is not None:
                count += 1 + len(self._keys.behind(event, run - 1))
            if count >= most:
                return most
        return count

    def set_aside(self, event: Held[P]) -> Leased[P]:
        """Hold an event that is not to be handed out, and give what stands for it."""
        leased = self.leases[event.offset] = Leased(self.origin, event, 0, Term(0.0))
        leased.term, leased.standing = None, _DEAD
        return leased

    def put_back(self, leased: Leased[P]) -> None:
        """Make an event ready once more, as soon as it is the first of its lane."""
        if self._keys is not None and not self._keys.is_first(leased.event):
            leased.standing = _BLOCKED
            return
        leased.standing = _READY
        heappush(self._returned, leased.event.offset)
        self.ready += 1

    def withdraw(self, leased: Leased[P]) -> None:
        """No longer count a ready event as ready; its place in the queue is passed over."""
        if leased.standing is _READY:
            self.ready -= 1

    def acked(self, offsets: Iterable[int]) -> None:
        """Forget events and let the next one of each one's lane pass."""
        keys, leases = self._keys, self.leases
        if keys is None:
            for offset in offsets:
                del leases[offset]
            return
        # One after the other: what follows an event may be acked in the same call, and is still leased until then.
        for offset in offsets:
            leased = leases.pop(offset)
            # What was never to be handed out is in no lane.
            first = keys.acked(leased.event) if leased.delivery_count else None
            if first is not None:
                self._pass(first)

    def _pass(self, offset: int) -> None:
        """Have the first event of a lane handed out, unless a client has it or it waits for its time."""
        last = self.leases.get(offset)
        if last is None or last.standing is _BLOCKED:
            heappush(self._returned, offset)
            self.ready += 1
            if last is not None:
                last.standing = _READY

    def _run(self, first: Held[P], count: int, max_bytes: int, term: Term[Leased[P]]) -> list[Leased[P]]:
        """Lease what follows an event in its lane, up to the first that is still out or waits for its time."""
        run: list[Leased[P]] = []
        for offset in [] if self._keys is None else self._keys.behind(first, count):
            last = self.leases.get(offset)
            if max_bytes <= 0 or (last is not None and last.standing is not _BLOCKED):
                break
            event, deliveries = self.window.held[offset], 1 if last is None else last.delivery_count + 1
            self.leases[offset] = leased = Leased(self.origin, event, deliveries, term)
            run.append(leased)
            max_bytes -= event.size
        return run

    def _is_ready(self, event: Held[P] | None) -> bool:
        last = None if event is None else self.leases.get(event.offset)
        return last is None or last.standing is _READY

    def _next_returned(self) -> tuple[Held[P] | None, int]:
        offset = heappop(self._returned)
        last = self.leases.get(offset)
        if last is None:
            # It waited for its key and was never handed out, or it was acked after its lease had expired.
            return self.window.held.get(offset), 1
        if last.standing is _READY:
            return last.event, last.delivery_count + 1
        return None, 0
