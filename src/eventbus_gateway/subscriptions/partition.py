"""The events of one partition on their way to clients."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import accumulate, chain, takewhile
from typing import Generic

from eventbus_gateway.subscriptions.keys import Keys
from eventbus_gateway.subscriptions.leased import HandOut, Lease, Leased, Order, Origin, Standing
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.window import SIZE_OF, Held, P, Window

_LEASED, _READY = Standing.LEASED, Standing.READY
_BLOCKED, _DEAD = Standing.BLOCKED, Standing.DEAD


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
        self.leases: dict[int, Lease] = {}
        self.ready = 0
        self.in_turn = False
        self._keys: Keys[P] | None = None if order == "none" else Keys(order)
        # No more than a window holds, so that to take some from its beginning moves little.
        self._fresh: list[Held[P]] = []
        # Offsets that became ready out of the order of reading. One that was acked since stays until its turn comes.
        self._returned: list[int] = []

    def add(self, events: Iterable[Held[P]]) -> None:
        """Queue events that were just taken in."""
        before = len(self._fresh)
        self._fresh.extend(events if self._keys is None else self._keys.admit(events))
        self.ready += len(self._fresh) - before

    def hand_out(self, count: int, max_bytes: int, term: "Term[Partition[P]]", run: int = 1) -> list[HandOut[P]]:
        """Lease the ready events with the lowest offsets.

        Args:
            count: number of events at the most.
            max_bytes: no further event once their sizes reach this.
            term: when the leases end.
            run: events of one lane that are leased together at the most.
        """
        out: list[HandOut[P]] = []
        while max_bytes > 0 and count > 0:
            first = self._next(count if run == 1 else 1, max_bytes)
            if first is None:
                break
            self.ready -= len(first.events)
            chosen: Iterable[HandOut[P]] = (first,)
            if run > 1:
                chosen = chain(chosen, self._run(first.events[0], min(run, count) - 1, max_bytes - first.size))
            for one in chosen:
                self._lease(one, term)
                out.append(one)
                count -= len(one.events)
                max_bytes -= one.size
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
        self.leases[event.offset] = Lease(0, _DEAD, None)
        return Leased(self.origin, event, 0)

    def put_back(self, offset: int, deliveries: int) -> None:
        """Make an event ready once more, as soon as it is the first of its lane.

        Args:
            offset: its place.
            deliveries: how often it counts as handed out.
        """
        is_first = self._keys is None or self._keys.is_first(self.window.held[offset])
        self.leases[offset] = Lease(deliveries, _READY if is_first else _BLOCKED, None)
        if is_first:
            heappush(self._returned, offset)
            self.ready += 1

    def withdraw(self, lease: Lease) -> None:
        """No longer count a ready event as ready; its place in the queue is passed over."""
        if lease.standing is _READY:
            self.ready -= 1

    def acked(self, offsets: Iterable[int], events: Iterable[Held[P]]) -> None:
        """Forget events and let the next one of each one's lane pass.

        Args:
            offsets: their places.
            events: the events.
        """
        keys, leases = self._keys, self.leases
        if keys is None:
            for offset in offsets:
                del leases[offset]
            return
        # One after the other: what follows an event may be acked in the same call, and is still leased until then.
        for event in events:
            # What was never to be handed out is in no lane.
            first = keys.acked(event) if leases.pop(event.offset).delivery_count else None
            if first is not None:
                self._pass(first)

    def _pass(self, offset: int) -> None:
        """Have the first event of a lane handed out, unless a client has it or it waits for its time."""
        last = self.leases.get(offset)
        if last is None or last.standing is _BLOCKED:
            heappush(self._returned, offset)
            self.ready += 1
            if last is not None:
                self.leases[offset] = last._replace(standing=_READY)

    def _lease(self, hand_out: HandOut[P], term: "Term[Partition[P]]") -> None:
        self.leases.update(dict.fromkeys(hand_out.offsets, Lease(hand_out.delivery_count, _LEASED, term)))
        term.enter(self, hand_out.offsets)

    def _next(self, count: int, max_bytes: int) -> HandOut[P] | None:
        """Take out the ready events with the lowest offsets that are handed out for the same time."""
        fresh, returned = self._fresh, self._returned
        while returned and (not fresh or returned[0] < fresh[0].offset):
            event, deliveries = self._next_returned()
            if event is not None:
                return HandOut.of(self.origin, deliveries, [event])
        if not fresh:
            return None
        events = fresh[:count]
        if returned:
            events = list(takewhile(lambda event: event.offset < returned[0], events))
        hand_out = HandOut.of(self.origin, 1, events)
        if hand_out.size > max_bytes:
            # The one with which the sizes reach the limit is the last one.
            fitting = 1 + bisect_left(list(accumulate(map(SIZE_OF, events))), max_bytes)
            hand_out = HandOut.of(self.origin, 1, events[:fitting])
        del fresh[: len(hand_out.events)]
        return hand_out

    def _run(self, first: Held[P], count: int, max_bytes: int) -> Iterator[HandOut[P]]:
        """What follows an event in its lane, up to the first that is still out or waits for its time."""
        for offset in [] if self._keys is None else self._keys.behind(first, count):
            last = self.leases.get(offset)
            if max_bytes <= 0 or (last is not None and last.standing is not _BLOCKED):
                break
            one = HandOut.of(self.origin, 1 if last is None else last.delivery_count + 1, [self.window.held[offset]])
            max_bytes -= one.size
            yield one

    def _is_ready(self, event: Held[P] | None) -> bool:
        last = None if event is None else self.leases.get(event.offset)
        return last is None or last.standing is _READY

    def _next_returned(self) -> tuple[Held[P] | None, int]:
        offset = heappop(self._returned)
        last = self.leases.get(offset)
        if last is None or last.standing is _READY:
            # Without any it waited for its key and was never handed out, or it was acked after its lease had expired.
            return self.window.held.get(offset), 1 if last is None else last.delivery_count + 1
        return None, 0
