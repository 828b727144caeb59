"""How many attempts may start at one endpoint now: its breaker and its pace together."""

from collections.abc import Callable
from typing import NamedTuple

from eventbus_gateway.webhooks.breaker import Breaker, BreakerSettings, Pass
from eventbus_gateway.webhooks.decisions import Outcome
from eventbus_gateway.webhooks.pacing import Pace, PaceSettings


class Permit(NamedTuple):
    """An attempt under way; given back exactly once, by ``end`` or ``abandon``.

    Args:
        started_at: when it started.
        attempt: what the breaker knows of it.
    """

    started_at: float
    attempt: Pass


class Endpoint:
    """One endpoint as its subscription's shard sees it.

    An attempt is one request, however many events it carries. Times are seconds on a clock that never goes back.

    Args:
        pace: bounds of the pace.
        breaker: when nothing is sent at all.
        now: the time.
        random: a number of [0, 1) at each call.
    """

    def __init__(self, pace: PaceSettings, breaker: BreakerSettings, now: float, random: Callable[[], float]) -> None:
        self.pace = Pace(pace, now)
        self.breaker = Breaker(breaker, random)

    def allowance(self, now: float) -> int:
        """How many attempts may start now."""
        paced, let_through = self.pace.allowance(now), self.breaker.allowance(now)
        return paced if let_through is None else min(paced, let_through)

    def next_at(self, now: float) -> float | None:
        """When to ask again; None if it is to be asked again when an attempt has ended, or may start one now."""
        times = []
        if not self.pace.allowance(now):
            times.append(self.pace.next_at(now))
        if self.breaker.allowance(now) == 0:
            times.append(self.breaker.next_at(now))
        known = [at for at in times if at is not None]
        return max(known) if known and len(known) == len(times) else None

    def start(self, now: float) -> Permit:
        """Start an attempt; ``allowance`` has said that it may."""
        self.pace.started(now)
        return Permit(now, self.breaker.start())

    def end(self, permit: Permit, now: float, outcome: Outcome, pause_seconds: float = 0.0) -> None:
        """Take note of how an attempt ended.

        Args:
            permit: of the attempt.
            now: the time.
            outcome: how it ended.
            pause_seconds: how long the endpoint wants nothing, as ``decide`` has found.
        """
        is_news = self._paced(permit, now, outcome)
        if pause_seconds > 0:
            self.pace.pause(now + pause_seconds)
        if outcome.is_refusal and not is_news:
            # Who refuses a burst works: the burst was too large. Only one refusal after the other is a failure.
            self.breaker.abandoned(permit.attempt)
        elif outcome.is_of_the_endpoint:
            self.breaker.failed(permit.attempt, now)
        elif self.breaker.succeeded(permit.attempt):
            self.pace.slow_start()

    def abandon(self, permit: Permit) -> None:
        """Forget an attempt that ended before anything was sent."""
        self.pace.abandoned()
        self.breaker.abandoned(permit.attempt)

    def begin_anew(self) -> None:
        """Somebody says that the endpoint is another one, or well again."""
        self.breaker.reset()
        self.pace.slow_start()

    def _paced(self, permit: Permit, now: float, outcome: Outcome) -> bool:
        """Tell the pace, and say whether it learns something new from it."""
        if permit.attempt.is_probe or (outcome.is_of_the_endpoint and not outcome.is_overload):
            # Probes of an endpoint that is down would bring the limit down to its least.
            self.pace.ended(now)
            return True
        if outcome.is_overload:
            return self.pace.overloaded(permit.started_at, now)
        self.pace.succeeded(permit.started_at, now)
        return True
