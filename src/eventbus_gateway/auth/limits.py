"""How much a principal may publish."""

import time
from collections import OrderedDict
from collections.abc import Callable

from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import RateLimited

# Principals come from the configuration, so this bound is only reached by a very large one.
_MAX_BUCKETS = 10_000


class EventLimits:
    """A token bucket of events per principal.

    Args:
        events_per_second: rate at which a bucket fills; None for no limit.
        burst_events: size of a bucket.
        clock: seconds, monotonic.
    """

    def __init__(
        self, events_per_second: float | None, burst_events: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = events_per_second
        self._burst = float(burst_events)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, principal: Principal, events: int) -> None:
        """Take events out of the principal's bucket.

        A request larger than a whole bucket passes when the bucket is full and leaves a debt behind it: it could
        never pass otherwise.

        Raises:
            RateLimited: not enough is left; says when there will be.
        """
        if self._rate is None:
            return
        now = self._clock()
        level, then = self._buckets.pop(principal.name, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._rate)
        needed = min(float(events), self._burst)
        passed = level >= needed
        self._buckets[principal.name] = (level - events if passed else level, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not passed:
            wait = (needed - level) / self._rate
            detail = (
                f"The principal may publish {self._rate:g} events a second; {events} can be sent in {wait:.1f} s."
            )
            raise RateLimited(detail, retry_after=wait)
