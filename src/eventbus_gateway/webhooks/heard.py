"""What a receiver has answered last, and what its owner is told of it."""

from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.webhooks.decisions import Outcome
from eventbus_gateway.webhooks.endpoint import Endpoint


class Heard:
    """The last answer, and the last good one."""

    def __init__(self) -> None:
        self._last: Outcome | None = None
        self._success_at: float | None = None

    def note(self, outcome: Outcome, at: float) -> None:
        """Take note of how an attempt ended.

        Args:
            outcome: how.
            at: when, in seconds since the epoch.
        """
        self._last = outcome
        if outcome.is_success:
            self._success_at = at

    def status(self, endpoint: Endpoint, disabled: bool, now: float, at: float) -> EndpointStatus:
        """The endpoint as its owner sees it.

        Args:
            endpoint: its breaker and pace.
            disabled: whether the receiver said that it is gone.
            now: the time on the endpoint's clock.
            at: the same in seconds since the epoch.
        """
        breaker, last = endpoint.breaker, self._last
        opens_at = breaker.next_at(now)
        state = "closed" if breaker.is_closed else "half-open" if opens_at is None else "open"
        return EndpointStatus(
            "disabled" if disabled else state,
            endpoint.pace.in_flight,
            round(endpoint.pace.limit, 3),
            None if opens_at is None else _milliseconds(at + opens_at - now),
            None if last is None else last.status,
            None if last is None or last.failure is None else last.failure.value,
            None if self._success_at is None else _milliseconds(self._success_at),
        )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
