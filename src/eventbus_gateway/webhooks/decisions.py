"""What one attempt to deliver means for its event, and what it says about the endpoint.

===================================================== ==============================================================
outcome                                               decision
===================================================== ==============================================================
2xx                                                   done
410                                                   the subscription is disabled, its events stay unacked
401, 405, 407, 408, 421, 425, 429                     tried again: they speak of the endpoint, not of the event
other 4xx                                             tried again or given up, as the policy says
anything else, every network and TLS error            tried again
===================================================== ==============================================================

What is tried again is given up after the last attempt, or when it is too old.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from eventbus_gateway.subscriptions import webhook_spec
from eventbus_gateway.webhooks.retry_after import retry_after

OnClientError = Literal["retry", "dead_letter"]

_GONE = 410
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
_OVERLOADED = frozenset({_TOO_MANY_REQUESTS, 502, _UNAVAILABLE, 504})
# Credentials, method, or a moment that was wrong. Giving events up for them would empty a whole subscription into its
# dead letters because of one expired password.
_OF_THE_ENDPOINT = frozenset({401, 405, 407, _REQUEST_TIMEOUT, 421, 425, _TOO_MANY_REQUESTS})


class Failure(Enum):
    """Why there was no answer.

    ``DNS``: the name has no address. ``BLOCKED``: it has one that may not be connected to. ``CONNECT``: no
    connection. ``TLS``: no trustworthy one. ``TIMEOUT``: no answer in time. ``BROKEN``: the connection or what came
    over it broke. ``AUTHORIZATION``: there is no credential to be sent.
    """

    DNS = "dns"
    BLOCKED = "blocked"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    AUTHORIZATION = "authorization"


class Outcome(NamedTuple):
    """How one attempt ended.

    Args:
        status: status of the answer, None where there was none.
        failure: why there was none, None where there was one.
        retry_after: value of the answer's ``Retry-After``.
    """

    status: int | None
    failure: Failure | None = None
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver took what was sent."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_of_the_event(self) -> bool:
        """Whether the receiver refused this event, which says nothing of any other one."""
        status = self.status
        return status is not None and 400 <= status < 500 and status not in _OF_THE_ENDPOINT

    @property
    def may_be_of_one_event(self) -> bool:
        """Whether one event of several can have been the reason: a refusal, or a receiver that broke over it."""
        return self.is_of_the_event or (self.status is not None and self.status >= 500 and not self.is_overload)

    @property
    def is_of_the_endpoint(self) -> bool:
        """Whether it failed in a way that any other event would have met as well: for the breaker."""
        return not self.is_success and not self.is_of_the_event and self.status != _GONE

    @property
    def is_refusal(self) -> bool:
        """Whether the endpoint works and takes no more for now."""
        return self.status == _TOO_MANY_REQUESTS

    @property
    def is_overload(self) -> bool:
        """Whether less might have gone well: for the pace."""
        return self.status in _OVERLOADED or self.status == _REQUEST_TIMEOUT or self.failure is Failure.TIMEOUT


class Policy(NamedTuple):
    """How long and how often to try.

    With the defaults an event is given up after seven hours on average and a day at the latest, sooner than which no
    breaker lets it happen. In between half of 5, 10, 20 ... 3,600 seconds pass on average after each attempt.

    Args:
        max_attempts: attempts of one event, None for no limit.
        max_age_seconds: no attempt begins later than so long after the first one, None for no limit.
        first_backoff_seconds: bound of the wait after the first attempt.
        backoff_factor: each further bound is so many times the one before.
        max_backoff_seconds: bound of the bounds.
        on_client_error: what becomes of events that were refused themselves.
        max_retry_after_seconds: no endpoint can ask for a longer wait.
    """

    max_attempts: int | None = 24
    max_age_seconds: float | None = 86_400.0
    first_backoff_seconds: float = 5.0
    backoff_factor: float = 2.0
    max_backoff_seconds: float = 3_600.0
    on_client_error: OnClientError = "retry"
    max_retry_after_seconds: float = 3_600.0

    @classmethod
    def of(cls, retry: webhook_spec.Retry) -> "Policy":
        """What the owner of a subscription has asked for."""
        return cls(
            retry.max_attempts,
            retry.max_age_seconds,
            retry.first_backoff_seconds,
            max_backoff_seconds=retry.max_backoff_seconds,
            on_client_error=retry.on_client_error,
        )


class Cause(Enum):
    """Why an event is given up."""

    CLIENT_ERROR = "client_error"
    MAX_ATTEMPTS = "max_attempts"
    MAX_AGE = "max_age"


@dataclass(frozen=True, slots=True)
class Done:
    """The event can be acked."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The event is to be tried again.

    Args:
        delay_seconds: after so long, never earlier than the endpoint asked for.
        pause_seconds: until then the endpoint wants nothing else either; 0 where it did not say so.
    """

    delay_seconds: float
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The event becomes a dead letter, and is done with when that is stored.

    Args:
        cause: why.
    """

    cause: Cause


@dataclass(frozen=True, slots=True)
class Disable:
    """The endpoint is gone for good: nothing more is to be sent, and nothing is done with."""


# No tuples: those without members would all be equal.
Decision = Done | Retry | GiveUp | Disable


def decide(
    outcome: Outcome, attempt: int, age_seconds: float, policy: Policy, now: float, random: Callable[[], float]
) -> Decision:
    """What becomes of an event after an attempt.

    Args:
        outcome: how the attempt ended.
        attempt: its number; the first is 1.
        age_seconds: since the event's first attempt began.
        policy: how long and how often to try.
        now: seconds since the epoch, for dates that the endpoint gave.
        random: a number of [0, 1) at each call.
    """
    if outcome.is_success:
        return Done()
    if outcome.status == _GONE:
        return Disable()
    if policy.on_client_error == "dead_letter" and outcome.is_of_the_event:
        return GiveUp(Cause.CLIENT_ERROR)
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return GiveUp(Cause.MAX_ATTEMPTS)
    asked = retry_after(outcome.retry_after, now, policy.max_retry_after_seconds) or 0.0
    # On top of what was asked for: else all that was refused in one moment would come back in one moment.
    delay = asked + backoff(attempt, policy, random)
    if policy.max_age_seconds is not None:
        left = policy.max_age_seconds - age_seconds
        if left <= 0 or asked > left:
            return GiveUp(Cause.MAX_AGE)
        delay = min(delay, left)
    pause = asked if outcome.status in {_TOO_MANY_REQUESTS, _UNAVAILABLE} else 0.0
    return Retry(delay, pause)


def backoff(attempt: int, policy: Policy, random: Callable[[], float]) -> float:
    """How many seconds to wait after an attempt: anything up to a bound that grows exponentially (full jitter).

    Args:
        attempt: its number; the first is 1.
        policy: bounds.
        random: a number of [0, 1) at each call.
    """
    return random() * exponential(
        attempt, policy.first_backoff_seconds, policy.backoff_factor, policy.max_backoff_seconds
    )


def exponential(step: int, first: float, factor: float, cap: float) -> float:
    """``first`` at step 1, ``factor`` times more at each further one, never more than ``cap``."""
    # Compared as logarithms: the power itself does not fit a float after a thousand steps.
    if first >= cap or (step - 1) * math.log(factor) >= math.log(cap / first):
        return cap
    return first * factor ** (step - 1)
