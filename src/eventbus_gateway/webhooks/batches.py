"""When a batch is sent and how much of what is at hand goes into it."""

from collections.abc import Iterable

_BRACKETS = 2
_COMMA = 1


class Filling:
    """How long the next batch of one shard is waited for.

    Args:
        max_events: a full batch is sent at once.
        wait_seconds: after the first event another one is waited for so long.
    """

    def __init__(self, max_events: int, wait_seconds: float) -> None:
        self.max_events = max_events
        self.wait_seconds = wait_seconds
        self._since: float | None = None

    def due_at(self, at_hand: int, now: float) -> float | None:
        """When the batch is to be sent if nothing more comes, None as long as there is nothing to send.

        Args:
            at_hand: events that could go into it now, as ``Supply.at_hand`` counts them.
            now: seconds on a clock that never goes back.
        """
        if not at_hand:
            self._since = None
            return None
        if self._since is None:
            self._since = now
        return now if at_hand >= self.max_events else max(now, self._since + self.wait_seconds)

    def sent(self) -> None:
        """Begin the wait of the next batch with whatever is at hand next."""
        self._since = None


def fitting(sizes: Iterable[int], max_events: int, max_bytes: int) -> int:
    """How many of the first events make one batch, at least one where there is any.

    The others are given back (``Leases.take_back``): what a run of a lane loses is its end.

    Args:
        sizes: bytes of each event in JSON.
        max_events: events of a batch at the most.
        max_bytes: size of its body, a JSON array, at the most; a single larger event is a batch of its own.
    """
    total, count = _BRACKETS - _COMMA, 0
    for size in sizes:
        total += size + _COMMA
        if count and (count >= max_events or total > max_bytes):
            break
        count += 1
    return count
