"""Events that wait because an earlier one of their key is not acked."""

from collections import deque
from collections.abc import Iterable
from typing import Generic

from eventbus_gateway.subscriptions.window import Event, P


class Keys(Generic[P]):
    """Lets one event of a key pass at a time; events without a key always pass."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # Every key that has an event which passed; most have no second one, and then no queue is made.
        self._waiting: dict[bytes, deque[int] | None] = {}

    def admit(self, events: Iterable[Event[P]]) -> list[Event[P]]:
        """The events that may be handed out at once; the others wait."""
        waiting = self._waiting
        free = []
        for event in events:
            key = event.key
            if key is None:
                free.append(event)
            elif key not in waiting:
                waiting[key] = None
                free.append(event)
            elif (line := waiting[key]) is None:
                waiting[key] = deque((event.offset,))
            else:
                line.append(event.offset)
        return free

    def acked(self, key: bytes | None) -> int | None:
        """The offset of the event that may be handed out now that the one before it is acked."""
        if key is None:
            return None
        line = self._waiting[key]
        if line:
            return line.popleft()
        del self._waiting[key]
        return None
