"""Token buckets."""

from eventbus_gateway.errors import RateLimited


class Bucket:
    """A token bucket.

    Args:
        what: name for messages, in the plural.
        rate: tokens per second.
        burst: tokens that it holds.
        now: seconds on the clock of all that follows.
    """

    __slots__ = ("burst", "rate", "then", "tokens", "what")

    def __init__(self, what: str, rate: float, burst: int, now: float) -> None:
        self.what = what
        self.rate = rate
        self.burst = float(burst)
        self.then = now
        self.tokens = self.burst
        """What was there at ``then``, less than nothing in debt; whoever takes some takes it from here."""

    def require(self, amount: int, now: float) -> None:
        """Fill up to now, and refuse what there are not enough tokens for; takes none.

        A request larger than a whole bucket passes when the bucket is full and leaves a debt behind it: it could
        never pass otherwise.

        Raises:
            RateLimited: not enough is left; says when there will be.
        """
        tokens = self.tokens + (now - self.then) * self.rate
        self.then = now
        if tokens >= self.burst:
            self.tokens = self.burst
            return
        self.tokens = tokens
        if tokens < amount:
            wait = (min(amount, self.burst) - tokens) / self.rate
            allowed = f"The principal may have {self.rate:g} {self.what} a second"
            raise RateLimited(f"{allowed}; {amount} can be had in {wait:.1f} s.", retry_after=wait)

    def debt_seconds(self, now: float) -> float:
        """Time until a debt is paid, 0 where there is none."""
        return max(0.0, -self.tokens / self.rate - (now - self.then))
