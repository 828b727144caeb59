"""What one principal does at the moment, and did lately."""

from collections.abc import Callable
from typing import Any

from eventbus_gateway.auth.buckets import Bucket
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import LimitSettings
from eventbus_gateway.auth.shares import Holdings, Pools
from eventbus_gateway.errors import RateLimited

_SOON_SECONDS = 1.0


class Account:
    """What one principal does, measured against its limits.

    Args:
        principal: whose it is.
        terms: its limits.
        pools: what it shares with all others.
        clock: seconds, monotonic.
    """

    __slots__ = (
        "_clock",
        "_events",
        "_requests",
        "_volume",
        "buckets",
        "holdings",
        "memo",
        "name",
        "polls",
        "pools",
        "roles",
        "terms",
    )

    def __init__(self, principal: Principal, terms: LimitSettings, pools: Pools, clock: Callable[[], float]) -> None:
        self.name = principal.name
        self.pools = pools
        self._clock = clock
        self.polls = 0
        """Receives and reads under way, streams included."""
        self.holdings = Holdings()
        self._requests: Bucket | None = None
        self._events: Bucket | None = None
        self._volume: Bucket | None = None
        self.agree(principal.roles, terms)

    def agree(self, roles: frozenset[str], terms: LimitSettings) -> None:
        """Measure against these limits from now on.

        What was used stays used: credentials of one principal can have different roles, and whoever has two of them
        must not get a full bucket with each change between them.
        """
        now = self._clock()
        self.roles = roles
        self.terms = terms
        self.holdings.weigh(terms.weight)
        self._requests = _bucket("requests", terms.requests_per_second, terms.burst_requests, now, self._requests)
        self._events = _bucket("events", terms.events_per_second, terms.burst_events, now, self._events)
        self._volume = _bucket("bytes", terms.bytes_per_second, terms.burst_bytes, now, self._volume)
        self.buckets = tuple(each for each in (self._requests, self._events, self._volume) if each is not None)
        """Those of its buckets that there are."""
        self.memo: Any = None
        """What whoever shows these limits has made of them, kept while they hold."""

    def enter(self, size: int) -> "Stay":
        """Begin with a request; :meth:`Stay.end` has to follow.

        Args:
            size: bytes of its body.

        Raises:
            RateLimited: a limit, or the principal's share, is reached; nothing was taken.
            Overloaded: the gateway is full; nothing was taken.
        """
        requests, volume = self._requests, self._volume
        if requests is None and volume is None:
            return Stay(self, size)
        now = self._clock()
        if requests is not None:
            requests.require(1, now)
        if volume is not None:
            volume.require(size, now)
        stay = Stay(self, size)
        if requests is not None:
            requests.tokens -= 1
        if volume is not None:
            volume.tokens -= size
        return stay

    def require_events(self, count: int) -> Bucket | None:
        """Refuse events that there are not enough tokens for.

        Returns:
            Where to take them from.

        Raises:
            RateLimited: not enough is left.
        """
        bucket = self._events
        if bucket is not None:
            bucket.require(count, self._clock())
        return bucket

    def spend(self, size: int) -> None:
        """Take the bytes of an answer, which is sent whatever is left."""
        if self._volume is not None:
            self._volume.tokens -= size

    def pause_seconds(self) -> float:
        """For how long a stream has to send nothing, so that it keeps to the limit of bytes."""
        return 0.0 if self._volume is None else self._volume.debt_seconds(self._clock())

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return not self.polls and not self.holdings.requests.amount

    def begin_poll(self) -> None:
        """Count a receive; :meth:`end_poll` has to follow.

        Raises:
            RateLimited: as many are under way as may be; it was not counted.
        """
        most = self.terms.max_polls
        if most is not None and self.polls >= most:
            sentence = f"The principal may have {most} receives and reads under way."
            raise RateLimited(sentence, retry_after=_SOON_SECONDS)
        self.polls += 1

    def end_poll(self) -> None:
        """Count one less."""
        self.polls -= 1

    def begin_read(self, *, is_stream: bool) -> Callable[[], None]:
        """Count a read.

        Returns:
            What has to be called when it is over.

        Raises:
            RateLimited: as many are under way as may be, or as are the principal's share; it was not counted.
            Overloaded: there are too many of all principals together; it was not counted.
        """
        pools, holdings = self.pools, self.holdings
        self.begin_poll()
        try:
            pools.reads.take(holdings.reads, 1)
            try:
                if is_stream:
                    pools.streams.take(holdings.streams, 1)
            except BaseException:
                pools.reads.give_back(holdings.reads, 1)
                raise
        except BaseException:
            self.end_poll()
            raise

        def end() -> None:
            self.end_poll()
            pools.reads.give_back(holdings.reads, 1)
            if is_stream:
                pools.streams.give_back(holdings.streams, 1)

        return end


class Stay:
    """One request under way, with what it holds.

    Args:
        account: its principal's.
        size: bytes of its body.

    Raises:
        RateLimited, Overloaded: see ``Shared.take``; it holds nothing then.
    """

    __slots__ = ("_account", "_event_bytes", "_events", "_holdings", "_pools", "_size")

    def __init__(self, account: Account, size: int) -> None:
        self._account = account
        pools = self._pools = account.pools
        holdings = self._holdings = account.holdings
        self._size = size
        self._events = 0
        pools.requests.take(holdings.requests, 1)
        if size:
            try:
                pools.bytes.take(holdings.bytes, size)
            except BaseException:
                pools.requests.give_back(holdings.requests, 1)
                raise

    def publish(self, count: int, size: int) -> None:
        """Have events on their way to Kafka until the end of the request; not more than once.

        Args:
            count: how many.
            size: bytes of all of them.

        Raises:
            RateLimited, Overloaded: a limit, a share or a bound is reached; nothing was taken.
        """
        bucket = self._account.require_events(count)
        pools, holdings = self._pools, self._holdings
        pools.events.take(holdings.events, count)
        try:
            pools.event_bytes.take(holdings.event_bytes, size)
        except BaseException:
            pools.events.give_back(holdings.events, count)
            raise
        self._events, self._event_bytes = count, size
        if bucket is not None:
            bucket.tokens -= count

    def end(self) -> None:
        """Give back what it holds."""
        pools, holdings = self._pools, self._holdings
        pools.requests.give_back(holdings.requests, 1)
        if self._size:
            pools.bytes.give_back(holdings.bytes, self._size)
        if self._events:
            pools.events.give_back(holdings.events, self._events)
            pools.event_bytes.give_back(holdings.event_bytes, self._event_bytes)


def _bucket(what: str, rate: float | None, burst: int, now: float, former: Bucket | None) -> Bucket | None:
    if rate is None:
        return None
    bucket = Bucket(what, rate, burst, now)
    if former is not None:
        bucket.tokens = min(bucket.burst, former.tokens + (now - former.then) * former.rate)
    return bucket
