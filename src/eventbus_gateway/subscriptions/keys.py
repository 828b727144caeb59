"""Events that wait because an earlier one of their lane is not acked."""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from operator import attrgetter
from typing import Generic

from eventbus_gateway.subscriptions.leased import Order
from eventbus_gateway.subscriptions.window import Held, P


class Keys(Generic[P]):
    """Lets the first unacked event of each lane pass; events without a lane always pass.

    A lane is what keeps its order: the events of one key, or all events of a partition. There are never more lanes,
    nor events in one, than the partition's window holds.

    Args:
        order: what a lane is; not ``none``.
    """

    __slots__ = ("_lane_of", "_lanes")

    def __init__(self, order: Order) -> None:
        # Offsets in order; most lanes have a single event, and then no queue is made.
        self._lanes: dict[bytes, int | deque[int]] = {}
        self._lane_of: Callable[[Held[P]], bytes | None] = _key if order == "key" else _whole

    def admit(self, events: Iterable[Held[P]]) -> list[Held[P]]:
        """The events that may be handed out at once; the others wait."""
        lanes, lane_of = self._lanes, self._lane_of
        free = []
        for event in events:
            key = lane_of(event)
            if key is None:
                free.append(event)
            elif (lane := lanes.get(key)) is None:
                lanes[key] = event.offset
                free.append(event)
            elif isinstance(lane, int):
                lanes[key] = deque((lane, event.offset))
            else:
                lane.append(event.offset)
        return free

    def is_first(self, event: Held[P]) -> bool:
        """Whether no earlier event of its lane is unacked."""
        key = self._lane_of(event)
        if key is None:
            return True
        lane = self._lanes[key]
        return (lane if isinstance(lane, int) else lane[0]) == event.offset

    def behind(self, event: Held[P], count: int) -> list[int]:
        """The offsets that come next in the lane of its first event.

        Args:
            event: the first one.
            count: number of offsets at the most.
        """
        key = self._lane_of(event)
        lane = None if key is None else self._lanes[key]
        return list(islice(lane, 1, 1 + count)) if isinstance(lane, deque) else []

    def acked(self, event: Held[P]) -> int | None:
        """The offset of the event that comes first in its lane now, None where there is no other first one."""
        key = self._lane_of(event)
        if key is None:
            return None
        lane = self._lanes[key]
        if isinstance(lane, int):
            del self._lanes[key]
            return None
        if lane[0] != event.offset:
            lane.remove(event.offset)
            first = None
        else:
            lane.popleft()
            first = lane[0]
        if len(lane) == 1:
            self._lanes[key] = lane[0]
        return first


# No function: it is asked three times for each event.
_key = attrgetter("key")


def _whole(_: Held[P]) -> bytes | None:
    return b""
