"""How many attempts may be under way to one endpoint, and how fast they may follow each other.

What adapts is the number of attempts under way, as TCP adapts its window (RFC 5681): up by one per success until the
limit at which it last went wrong, from there by one per round of attempts, and down to seven tenths (RFC 9438) for
each round that meets overload: 429, 502, 503, 504, a timeout, or an answer that took too long. A number under way
needs no measured rate: a receiver that gets slower gets less by itself.

Two things are not as in TCP. Below one attempt under way the limit goes on as a fraction, by leaving ever longer gaps
between one attempt and the next: a receiver that answers 429 within milliseconds would otherwise get hundreds of
attempts per second out of a single one. And latency counts by a fixed bound only. Gradients over the smallest latency
seen (Vegas, and what service meshes do with it) find the best throughput of calls that are alike; they need times of
low load to measure in, and take a key order that lets little through, or one large batch, for a receiver that
struggles. Here it is enough not to push somebody who does.
"""

import math
from typing import NamedTuple

from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery

_DECREASE = 0.7
_INCREASE = 1 / 16
"""Largest part by which the limit grows per success once it has gone wrong; up to four attempts it is what binds."""
_LEAST_LIMIT = 1 / 256
_GAP_SECONDS = 0.1
"""Between one attempt and the next at a limit of a half; twice and once more at each half of that."""
_BURST_SECONDS = 0.1
"""A fixed rate may be made up for after so long without attempts, not more."""


class PaceSettings(NamedTuple):
    """The bounds of a pace.

    Args:
        max_in_flight: attempts under way at the most.
        rate_per_second: attempts that start per second, None for no fixed rate.
        slow_seconds: an answer that takes longer counts as overload.
    """

    max_in_flight: int
    rate_per_second: float | None
    slow_seconds: float

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> "PaceSettings":
        """What the owner of a subscription has asked for; half of the time for an answer is slow."""
        return cls(delivery.max_in_flight, delivery.rate_per_second, delivery.timeout_seconds / 2)


class Pace:
    """The pace at one endpoint; times are seconds on a clock that never goes back.

    Over any time of ``t`` seconds at most ``rate_per_second * t`` attempts start, and a tenth of a second's worth
    (but at least one) more.

    Args:
        settings: its bounds.
        now: the time.
    """

    def __init__(self, settings: PaceSettings, now: float) -> None:
        self.settings = settings
        self.in_flight = 0
        self._limit = 1.0
        self._threshold = math.inf
        # Attempts that started until then met the same overload as the one that has lowered the limit.
        self._lowered_at = -math.inf
        self._used_at = -math.inf
        self._ended_at = -math.inf
        self._paused_until = -math.inf
        # When the attempt that comes next would start if all had kept the fixed rate exactly.
        self._scheduled = now

    @property
    def limit(self) -> float:
        """Attempts that may be under way; below one, the part of the time in which one may be."""
        return min(self._limit, float(self.settings.max_in_flight))

    def allowance(self, now: float) -> int:
        """How many attempts may start now."""
        free = max(1, int(self.limit)) - self.in_flight
        if free <= 0 or now < self._not_before():
            return 0
        rate = self.settings.rate_per_second
        if rate is None:
            return free
        # Virtual scheduling, ITU-T I.371: who is not earlier than the schedule by more than a tolerance conforms.
        early = now + _tolerance(rate) - max(self._scheduled, now)
        return min(free, 1 + int(max(0.0, early) * rate))

    def next_at(self, now: float) -> float | None:
        """When time alone lets attempts start that may not start now; None if it does not."""
        if self.in_flight >= max(1, int(self.limit)):
            return None
        at = self._not_before()
        return at if at > now else None

    def started(self, now: float) -> None:
        """Note an attempt that starts; ``allowance`` has said that it may."""
        self.in_flight += 1
        if self.in_flight * 2 >= self.limit:
            self._used_at = now
        if self.settings.rate_per_second is not None:
            self._scheduled = max(self._scheduled, now) + 1 / self.settings.rate_per_second

    def succeeded(self, started_at: float, now: float) -> None:
        """Note an attempt that was answered without a sign of overload; a slow answer is one."""
        if now - started_at > self.settings.slow_seconds:
            self.overloaded(started_at, now)
            return
        # A limit that is not used says nothing about what the endpoint can take.
        if self._used_at >= started_at:
            step = min(1.0, self._limit)
            if self._limit >= self._threshold:
                step = min(1 / self._limit, _INCREASE * self._limit)
            self._limit = min(self._limit + step, float(self.settings.max_in_flight))
        self._end(now)

    def overloaded(self, started_at: float, now: float) -> bool:
        """Note an attempt whose end says that the endpoint has too much to do.

        Returns:
            Whether that is news: attempts that had started before the limit was lowered last are no reason to lower
            it once more.
        """
        self._end(now)
        if started_at <= self._lowered_at:
            return False
        self._limit = max(_LEAST_LIMIT, self.limit * _DECREASE)
        self._threshold = self._limit
        self._lowered_at = now
        return True

    def ended(self, now: float) -> None:
        """Note an attempt whose end says nothing about load."""
        self._end(now)

    def abandoned(self) -> None:
        """Note an attempt that ended before anything was sent."""
        self.in_flight -= 1

    def pause(self, until: float) -> None:
        """Start nothing before a time that the endpoint has asked for."""
        self._paused_until = max(self._paused_until, until)

    def slow_start(self) -> None:
        """Begin as at first, with a single attempt: what the endpoint could take before says little now."""
        self._limit = 1.0
        self._threshold = math.inf

    def _end(self, now: float) -> None:
        self.in_flight -= 1
        self._ended_at = now

    def _not_before(self) -> float:
        rate, at = self.settings.rate_per_second, self._paused_until
        if self.limit < 1:
            at = max(at, self._ended_at + _GAP_SECONDS * (1 / self.limit - 1))
        return at if rate is None else max(at, self._scheduled - _tolerance(rate))


def _tolerance(rate: float) -> float:
    return max(0.0, _BURST_SECONDS - 1 / rate)
