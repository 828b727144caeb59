"""Whether an endpoint gets anything at all: closed, open, and half-open with a few probes in between."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from eventbus_gateway.webhooks.decisions import exponential

_FACTOR = 2.0


class BreakerSettings(NamedTuple):
    """When a breaker opens and for how long.

    Args:
        failures_in_a_row: so many open it.
        recent: attempts that are remembered for the share of failures.
        failure_share: of at least ``least_recent`` attempts that are remembered; it opens then as well.
        least_recent: fewer attempts say nothing.
        first_open_seconds: bound of the first open time; each further one is twice the one before.
        max_open_seconds: bound of the bounds.
        least_open_seconds: it stays open so long at least, whatever chance says.
        probes: attempts at the same time that were let through half-open.
    """

    failures_in_a_row: int = 10
    recent: int = 50
    failure_share: float = 0.5
    least_recent: int = 20
    first_open_seconds: float = 5.0
    max_open_seconds: float = 300.0
    least_open_seconds: float = 1.0
    probes: int = 1


class Pass(NamedTuple):
    """An attempt that a breaker has let through.

    Args:
        period: the breaker's period in which that was; a later one learns nothing from it.
        is_probe: whether it was half-open.
    """

    period: int
    is_probe: bool


class Breaker:
    """The breaker of one endpoint.

    Failures are those of the endpoint (``Outcome.is_of_the_endpoint``): an event that was refused shows that somebody
    is there. Only attempts of the present period count: those that were under way when it opened can neither close it
    nor open it once more. Times are seconds on a clock that never goes back.

    Args:
        settings: when it opens and for how long.
        random: a number of [0, 1) at each call.
    """

    def __init__(self, settings: BreakerSettings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._period = 0
        self._recent: deque[bool] = deque(maxlen=settings.recent)
        self._in_a_row = 0
        # Since the endpoint was last well for as long as it takes to say so.
        self._openings = 0
        self._open_until: float | None = None
        # Of former periods too: an endpoint that does not answer would gather one more with each.
        self._probing = 0

    @property
    def is_closed(self) -> bool:
        """Whether the endpoint gets all that other limits allow."""
        return self._open_until is None

    def allowance(self, now: float) -> int | None:
        """How many attempts may start now, None for any number."""
        if self._open_until is None:
            return None
        return max(0, self._settings.probes - self._probing) if now >= self._open_until else 0

    def next_at(self, now: float) -> float | None:
        """When time alone lets attempts start that may not start now; None if it does not."""
        return self._open_until if self._open_until is not None and now < self._open_until else None

    def start(self) -> Pass:
        """Let an attempt through; ``allowance`` has said that it may start."""
        is_probe = self._open_until is not None
        self._probing += is_probe
        return Pass(self._period, is_probe)

    def succeeded(self, attempt: Pass) -> bool:
        """Note an attempt that reached the endpoint.

        Returns:
            Whether the breaker closes because of it.
        """
        self._probing -= attempt.is_probe
        if attempt.period != self._period:
            return False
        closes = self._open_until is not None
        if closes:
            self._begin(None)
        self._in_a_row = 0
        self._recent.append(False)
        if len(self._recent) >= self._settings.least_recent and not any(self._recent):
            self._openings = 0
        return closes

    def failed(self, attempt: Pass, now: float) -> None:
        """Note an attempt that failed because of the endpoint."""
        self._probing -= attempt.is_probe
        if attempt.period != self._period:
            return
        self._in_a_row += 1
        self._recent.append(True)
        if self._open_until is not None or self._is_too_much():
            self._openings += 1
            self._begin(now + self._open_seconds())

    def abandoned(self, attempt: Pass) -> None:
        """Note an attempt that ended before anything was sent, and that says nothing."""
        self._probing -= attempt.is_probe

    def reset(self) -> None:
        """Begin anew: somebody says that the endpoint is another one, or well again."""
        self._openings = 0
        self._begin(None)

    def _begin(self, open_until: float | None) -> None:
        self._period += 1
        self._open_until = open_until
        self._in_a_row = 0
        self._recent.clear()

    def _is_too_much(self) -> bool:
        settings, seen = self._settings, len(self._recent)
        if self._in_a_row >= settings.failures_in_a_row:
            return True
        return seen >= settings.least_recent and sum(self._recent) >= settings.failure_share * seen

    def _open_seconds(self) -> float:
        settings = self._settings
        bound = exponential(self._openings, settings.first_open_seconds, _FACTOR, settings.max_open_seconds)
        return max(settings.least_open_seconds, self._random() * bound)
