"""One shard of a subscription while this process owns it: what it reads, hands out, takes back and commits."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from functools import partial

from eventbus_gateway.errors import GatewayError, NotOwner
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions.calls import Ask, HandedOut, PartitionStatus, Settling, ShardStatus, Verb
from eventbus_gateway.subscriptions.committing import Committing
from eventbus_gateway.subscriptions.coverage import Coverage
from eventbus_gateway.subscriptions.ends import EndOf, behind
from eventbus_gateway.subscriptions.hand import Hand, Push
from eventbus_gateway.subscriptions.intake import Intake
from eventbus_gateway.subscriptions.leased import HandOut, LeasedColumns, Outcome, each_leased, references_to
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.letters import LetterTopic
from eventbus_gateway.subscriptions.means import Means
from eventbus_gateway.subscriptions.outgoing import Opened
from eventbus_gateway.subscriptions.patterns import compile_filter
from eventbus_gateway.subscriptions.references import tokens_of
from eventbus_gateway.subscriptions.rendering import rendered
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.spec import Delivery
from eventbus_gateway.subscriptions.storing import Destination, Storing
from eventbus_gateway.subscriptions.supply import Progress, Supply
from eventbus_gateway.subscriptions.timer import Timer
from eventbus_gateway.subscriptions.waiters import Waiters
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.telemetry import Serving

_SETTLE_SESSIONS = 2.0


class Shard:
    """A shard as its owner has it; see ``ShardCalls`` for what is asked of it.

    It does something only while ``holds`` says that nobody else can be the owner: handing out, taking back,
    committing and storing dead letters.

    Args:
        subscription: whose shard.
        number: which one.
        means: what it works with.
        holds: whether nobody else can own the shard at this moment.
        reopen: asks for another state of this shard in place of this one.

    Raises:
        InvalidFilter: the subscription's filter cannot be used here.
    """

    def __init__(
        self,
        subscription: Subscription,
        number: int,
        means: Means,
        holds: Callable[[], bool],
        reopen: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._means = means
        self._count = partial(means.count, subscription.full_name)
        self._holds = holds
        self._reopen = reopen
        settings, spec = means.settings, subscription.spec
        letters = subscription.dead_letter_topic
        bounds = Bounds(settings.max_window_events, settings.max_window_bytes)
        self._supply: Supply[Consumed] = Supply(
            number, secrets.randbits(64), (*spec.topics, letters), bounds, spec.delivery.order
        )
        self._leases = Leases(self._supply, spec.delivery.max_deliveries)
        letter_topic = LetterTopic(letters, subscription.full_name, frozenset(spec.topics))
        self._intake = Intake(
            self._supply,
            self._wanted(),
            means.outgoing_of,
            letter_topic,
            self._progressed,
            self._begin_anew,
            self._leases.keep,
        )
        destination = Destination(letters, subscription.full_name, means.sink, means.create_letters)
        self._storing = Storing(self._leases, destination, holds, means.clock, self._stored)
        self._coverage = Coverage(subscription, number, means, self._supply, self._intake, self._progressed)
        self._committing = Committing(
            self._supply,
            self._coverage.commit,
            holds,
            settings.commit_interval_seconds,
            _SETTLE_SESSIONS * settings.session_timeout_seconds,
        )
        self._waiters = Waiters(means.clock)
        self._push = self._pushed(spec.delivery)
        self._timer = Timer(means.clock, self._due)
        self._moving: asyncio.Task[None] | None = None
        self._closed = False

    # How it lives.

    @property
    def is_complete(self) -> bool:
        """Whether all topics of the subscription were there when they were looked for last."""
        return self._coverage.trouble is None

    async def open(self) -> None:
        """Find out where it stands and begin to read; called again, go on with partitions that appeared since.

        Raises:
            GatewayError: that cannot be found out now.
        """
        if not self._closed:
            await self._coverage.open()

    async def update(self, subscription: Subscription) -> None:
        """Take in what changed of the subscription without another state: pause, limits, redrive.

        Raises:
            GatewayError: dead letters cannot be read now; ``open`` tries again.
        """
        self._subscription = subscription
        self._leases.max_deliveries = subscription.spec.delivery.max_deliveries
        self._waiters.wake()
        if self._push is not None:
            self._push.update(subscription)
        await self._coverage.update(subscription)

    async def close(self) -> None:
        """Hand out nothing more, commit what is done and be over."""
        if self._push is not None:
            await self._push.close()
        self._end()
        await self._storing.close()
        await self._committing.finish()

    def drop(self) -> None:
        """Be over at once: somebody else may be the owner, or there is nothing to be continued."""
        self._end()
        self._committing.drop()

    # What is asked of it.

    async def receive(self, ask: Ask) -> HandedOut:
        """See ``ShardCalls``."""
        self._require_owned()
        delivery, settings = self._subscription.spec.delivery, self._means.settings
        if self._subscription.control.paused:
            return HandedOut([], [])
        count = ask.max_events
        if delivery.max_in_flight is not None:
            count = min(count, delivery.max_in_flight - self._leases.counts().leased)
        seconds = ask.lease_seconds or delivery.lease_seconds or settings.default_lease_seconds
        hand_outs = self._leases.hand_out(self._means.clock(), count, seconds, ask.max_bytes)
        self._timer.set(self._leases.next_deadline())
        self._storing.look()
        return await self._rendered(hand_outs) if hand_outs else HandedOut([], [])

    async def ready(self, seconds: float) -> bool:
        """See ``ShardCalls``."""
        self._require_owned()
        found = await self._waiters.until(lambda: self._closed or self._has_ready(), seconds)
        self._require_owned()
        return found

    async def settle(self, settling: Settling) -> list[Outcome]:
        """See ``ShardCalls``."""
        self._require_owned()
        outcomes = _settled(self._leases, settling, self._means.clock())
        self._count(settling.verb.value, outcomes.count(Outcome.OK))
        self._changed()
        return outcomes

    async def status(self) -> ShardStatus:
        """See ``ShardCalls``."""
        self._require_owned()
        partitions = tuple(_status(progress, self._intake) for progress in self._supply.progress())
        trouble = _code(self._committing.trouble or self._storing.trouble or self._coverage.trouble)
        push = self._push
        if push is None:
            return ShardStatus(self._leases.counts(), partitions, trouble)
        return ShardStatus(self._leases.counts(), partitions, trouble or push.trouble, push.status())

    def serving(self, end_of: EndOf) -> Serving:
        """What it has of its subscription, for whoever measures."""
        progress = list(self._supply.progress())
        oldest = min((one.oldest_timestamp for one in progress if one.oldest_timestamp is not None), default=None)
        is_open = None if self._push is None else self._push.status().state == "open"
        unacked, lag = sum(one.unacked for one in progress), behind(progress, self._subscription.spec.topics, end_of)
        return Serving(self._subscription.full_name, unacked, oldest, is_open, lag)

    async def attempts(self, limit: int) -> list[bytes]:
        """See ``ShardCalls``."""
        self._require_owned()
        return [] if self._push is None else self._push.attempts(limit)

    # Inside.

    def _pushed(self, delivery: Delivery) -> Push | None:
        if delivery.type == "pull" or self._means.push is None:
            return None
        hand = Hand(self._leases, self._is_owned, self._changed, self._count)
        return self._means.push(self._subscription, hand)

    def _wanted(self) -> Callable[[Opened], bool] | None:
        spec, matchings = self._subscription.spec, self._means.matchings
        if spec.filter is None:
            return None
        pattern = compile_filter(spec.filter)
        matchings.add(self, pattern, spec.topics)
        return lambda opened: matchings.wants(self, pattern, opened)

    def _is_owned(self) -> bool:
        return not self._closed and self._coverage.is_open and self._holds()

    def _require_owned(self) -> None:
        if not self._is_owned():
            raise NotOwner

    def _has_ready(self) -> bool:
        control, delivery = self._subscription.control, self._subscription.spec.delivery
        if control.paused or not self._supply.has_ready():
            return False
        return delivery.max_in_flight is None or self._leases.counts().leased < delivery.max_in_flight

    async def _rendered(self, hand_outs: Sequence[HandOut[Consumed]]) -> HandedOut:
        events: list[bytes] = []
        try:
            await rendered(LeasedColumns.of(hand_outs), self._means.outgoing_of, events)
        except GatewayError:
            # A schema that cannot be fetched now makes no event undecodable, and costs none a delivery.
            self._leases.take_back(each_leased(hand_outs)[len(events) :])
            if not events:
                raise
        self._count("handed_out", len(events))
        return HandedOut(events, tokens_of(references_to(hand_outs, len(events))))

    def _changed(self) -> None:
        """After whatever may have made room, events ready, or progress to commit."""
        if not self._closed:
            self._intake.go_on()
            self._progressed()

    def _progressed(self) -> None:
        if self._closed:
            return
        self._committing.soon()
        self._storing.look()
        self._timer.set(self._leases.next_deadline())
        if self._push is not None:
            self._push.look()
        if len(self._waiters) and self._has_ready():
            self._waiters.wake()

    def _stored(self, count: int) -> None:
        self._count("dead_lettered", count)
        self._changed()

    def _due(self) -> None:
        self._leases.advance(self._means.clock())
        self._changed()

    def _begin_anew(self, topic: str, partition: int, earliest: int) -> None:
        """A topic was deleted and created again: what was known of the partition is about another one."""
        if self._moving is None:
            self._moving = asyncio.get_running_loop().create_task(self._move(topic, partition, earliest))

    async def _move(self, topic: str, partition: int, earliest: int) -> None:
        self.drop()
        # What cannot be stored now is found out by the next state in the same way.
        with contextlib.suppress(GatewayError):
            if self._holds():
                await self._coverage.move(topic, partition, earliest)
        self._reopen()

    def _end(self) -> None:
        self._closed = True
        if self._push is not None:
            self._push.drop()
        self._intake.close()
        self._coverage.close()
        self._means.matchings.remove(self, self._subscription.spec.topics)
        self._timer.close()
        self._waiters.wake()


def _settled(leases: Leases[Consumed], settling: Settling, now: float) -> list[Outcome]:
    verb, references, seconds, reason = settling
    if verb is Verb.ACK:
        return leases.ack(references)
    if verb is Verb.RELEASE:
        return leases.release(now, references, seconds)
    if verb is Verb.EXTEND:
        return leases.extend(now, references, seconds)
    return leases.reject(references, reason)


def _status(progress: Progress, intake: Intake) -> PartitionStatus:
    place = (progress.topic, progress.partition)
    start, end = intake.losses.get(place, (None, None))
    return PartitionStatus(*progress, lost_from=start, lost_until=end, trouble=_code(intake.troubles.get(place)))


def _code(error: GatewayError | None) -> str | None:
    return error.code if error is not None else None
