"""What is traced: decided before anything else is done for a trace."""

import math
import time
from collections.abc import Callable, Iterable
from random import getrandbits

from eventbus_gateway.tracing.context import Context
from eventbus_gateway.tracing.settings import TracingSettings

_BITS = 64
_PRECISION = 53
_NEVER = 2**62
_LOWER_64_BITS = 16  # digits


class Rate:
    """So many per second at the most, with a second's worth at once.

    Args:
        per_second: how many.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second) if per_second > 0 else 0.0
        self._left = self._most
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        """Whether there is room for one more now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Sampler:
    """Decides by chance, and by what callers want within bounds: nobody can have everything traced.

    Traces that begin here have ids whose lower 64 bits, as a fraction, are below the ratio, which is the rule of
    OpenTelemetry's ``TraceIdRatioBased``: others with the same ratio decide the same.

    Args:
        settings: the section.
        clock: monotonic seconds.
        random: a number of so many random bits.
    """

    def __init__(
        self,
        settings: TracingSettings,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[int], int] = getrandbits,
    ) -> None:
        self._ratio = settings.sample_ratio
        self._bound = int(settings.sample_ratio * 2**_BITS)
        self._ignores_callers = settings.callers == "ignored"
        self._of_callers = Rate(settings.max_caller_traces_per_second, clock)
        self._all = Rate(settings.max_traces_per_second, clock)
        self._random = random
        self._log_of_none = math.log1p(-self._ratio) if 0 < self._ratio < 1 else 0.0

    def gap(self) -> int:
        """How many go without a trace before the next one that has one.

        To count down is cheaper than to draw for each, and the same: gaps between successes of independent draws
        are distributed geometrically.
        """
        if not self._log_of_none:
            return 0 if self._ratio else _NEVER
        # In (0, 1]; zero has no logarithm.
        drawn = (self._random(_PRECISION) + 1) / 2**_PRECISION
        return int(math.log(drawn) / self._log_of_none)

    def begins(self) -> str | None:
        """The id of a trace that begins here; None where there are too many."""
        return self.trace_id() if self.may_begin() else None

    def may_begin(self) -> bool:
        """Whether one more trace may begin here now."""
        return self._bound > 0 and self._all.take()

    def trace_id(self) -> str:
        """An id for one, whenever that is; the ratio must not be zero."""
        return f"{self._random(_BITS) or 1:016x}{self._random(_BITS) % self._bound:016x}"

    def begins_by_chance(self) -> str | None:
        """The same, for the sampled share of those that ask."""
        return self.begins() if self._random(_BITS) < self._bound else None

    def goes_on(self, parent: Context) -> bool:
        """Whether a trace that a caller has begun is recorded here."""
        if not self._ignores_callers:
            if not parent.sampled:
                return False
            if self._of_callers.take():
                return self._all.take()
        return self._random(_BITS) < self._bound and self._all.take()

    def follows(self, causes: Iterable[Context]) -> bool:
        """Whether what events cause is recorded, by the traces that they come from.

        What was sampled here goes on here. What a caller sampled and sent past the gateway's own decision looks the
        same, so it counts as what callers want.

        Args:
            causes: contexts of the events.
        """
        sampled = [cause for cause in causes if cause.sampled]
        if not sampled:
            return False
        if any(int(cause.trace_id[-_LOWER_64_BITS:], 16) < self._bound for cause in sampled):
            return self._all.take()
        if self._ignores_callers:
            return self._random(_BITS) < self._bound and self._all.take()
        return self._of_callers.take() and self._all.take()
