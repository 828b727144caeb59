"""The events of one partition on their way to clients."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import accumulate, chain
from typing import Generic

from eventbus_gateway.runs import runs
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

    __slots__ = ("_fresh", "_keys", "_returned", "in_turn", "leases", "origin", "ready", "window")

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
        if run == 1 and not self._returned:
            return self._hand_out_fresh(count, max_bytes, term)
        events: list[Held[P]] = []
        counts: list[int] = []
        leases: dict[int, Lease] = {}
        while max_bytes > 0 and len(events) < count:
            event, deliveries = self._next()
            if event is None:
                break
            self.ready -= 1
            some = [(event, deliveries)]
            if run > 1:
                some += self._run(event, min(run, count - len(events)) - 1, max_bytes - event.size)
            for event, deliveries in some:
                lease = leases.get(deliveries) or leases.setdefault(deliveries, Lease(deliveries, _LEASED, term))
                self.leases[event.offset] = lease
                events.append(event)
                counts.append(deliveries)
                max_bytes -= event.size
        hand_outs = [HandOut.of(self.origin, deliveries, events[which]) for deliveries, which in runs(counts)]
        for hand_out in hand_outs:
            term.enter(self, hand_out.offsets)
        return hand_outs

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
        if deliveries:
            self.leases[offset] = Lease(deliveries, _READY if is_first else _BLOCKED, None)
        else:
            del self.leases[offset]
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
            offsets: places of events that were handed out or set aside.
            events: these events.
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

    def _hand_out_fresh(self, count: int, max_bytes: int, term: "Term[Partition[P]]") -> list[HandOut[P]]:
        """The same where no event came back, in a sixth of the time: what is to be said, is to be said of all."""
        fresh = self._fresh
        events = fresh[:count] if max_bytes > 0 else []
        if not events:
            return []
        hand_out = HandOut.of(self.origin, 1, events)
        if hand_out.size > max_bytes:
            # The one with which the sizes reach the limit is the last one.
            fitting = 1 + bisect_left(list(accumulate(map(SIZE_OF, events))), max_bytes)
            hand_out = HandOut.of(self.origin, 1, events[:fitting])
        del fresh[: len(hand_out.events)]
        self.ready -= len(hand_out.events)
        self.leases.update(dict.fromkeys(hand_out.offsets, Lease(1, _LEASED, term)))
        term.enter(self, hand_out.offsets)
        return [hand_out]

    def _next(self) -> tuple[Held[P] | None, int]:
        """Take out the ready event with the lowest offset, if there is one, and which hand-out of it this is."""
        fresh, returned = self._fresh, self._returned
        while returned and (not fresh or returned[0] < fresh[0].offset):
            offset = heappop(returned)
            last = self.leases.get(offset)
            if last is None:
                # It waited for its key and was never handed out, or it was acked after its lease had expired.
                event = self.window.held.get(offset)
                if event is not None:
                    return event, 1
            elif last.standing is _READY:
                return self.window.held[offset], last.delivery_count + 1
        return (fresh.pop(0), 1) if fresh else (None, 0)

    def _run(self, first: Held[P], count: int, max_bytes: int) -> Iterator[tuple[Held[P], int]]:
        """What follows an event in its lane, up to the first that is still out or waits for its time."""
        for offset in [] if self._keys is None else self._keys.behind(first, count):
            last = self.leases.get(offset)
            if max_bytes <= 0 or (last is not None and last.standing is not _BLOCKED):
                break
            event = self.window.held[offset]
            yield event, 1 if last is None else last.delivery_count + 1
            max_bytes -= event.size

    def _is_ready(self, event: Held[P] | None) -> bool:
        last = None if event is None else self.leases.get(event.offset)
        return last is None or last.standing is _READY
