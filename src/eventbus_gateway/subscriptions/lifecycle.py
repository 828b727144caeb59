"""What is done with subscriptions: created, changed, paused, sought, redriven, deleted.

Positions come first and the entry second: whatever group an entry names has its positions already. Every write that
gives positions makes a group that nobody else knows, so writers cannot spoil each other's, and who serves a former
state can only commit into the group of that state. The entry is replaced under its version; whoever loses that race
looks again. A crash, or a lost race, in between leaves a group that no entry names: it does nothing, and Kafka
forgets it after ``offsets.retention.minutes``.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from eventbus_gateway.errors import (
    Fault,
    InvalidSubscription,
    PreconditionFailed,
    SubscriptionActive,
    UnknownSubscription,
)
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.kafka.table import ABSENT
from eventbus_gateway.subscriptions.control import PauseReason, SeekTarget
from eventbus_gateway.subscriptions.dead_letter_topics import DeadLetterTopics
from eventbus_gateway.subscriptions.latest import Latest, Precondition, anyhow
from eventbus_gateway.subscriptions.places import DEAD_LETTER_PARTITION, Places, dead_letters_of
from eventbus_gateway.subscriptions.resource import (
    Subscription,
    created,
    new_secret,
    with_pause,
    with_redrive,
    with_rotation,
    with_seek,
    with_spec,
)
from eventbus_gateway.subscriptions.retired import RetiredGroups
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore


class Put(NamedTuple):
    """What became of a put.

    Args:
        kept: the subscription as it is now.
        is_new: whether there was none before.
        new_secret: the secret that signs its webhooks, where it was made by this put.
    """

    kept: Kept
    is_new: bool
    new_secret: str | None = None


class Redriven(NamedTuple):
    """What became of a redrive.

    Args:
        kept: the subscription as it is now.
        dead_letters: how many come back, or are held against the filter.
    """

    kept: Kept
    dead_letters: int


class Lifecycle:
    """Carries out what owners ask for; every method can be called again when its outcome is not known.

    All of them raise ``PreconditionFailed``, ``Unavailable`` where nothing was done, and ``OutcomeUnknown``; all but
    ``put`` raise ``UnknownSubscription``.

    Args:
        store: all subscriptions.
        places: finds and commits positions.
        dead_letter_topics: where dead letters go.
        retired: groups that no subscription names any more.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        places: Places,
        dead_letter_topics: DeadLetterTopics,
        retired: RetiredGroups,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._latest = Latest(store)
        self._places = places
        self._dead_letter_topics = dead_letter_topics
        self._retired = retired
        self._now = now

    async def put(self, owner: str, name: str, spec: Spec, precondition: Precondition = anyhow) -> Put:
        """Create a subscription, or change it to what its owner wants now.

        Args:
            owner: name of its principal.
            name: its name.
            spec: what it shall be.
            precondition: what must hold for the version that there is.

        Raises:
            InvalidSubscription: a topic does not exist, or it is too large.
            SubscriptionActive: its parallelism changes while it is not paused.
            TooManySubscriptions: as many as there may be.
        """

        async def attempt(kept: Kept | None) -> Put:
            if kept is None:
                new = await self._create(created(owner, name, spec, self._milliseconds()))
                return Put(new, True, new_secret(new.subscription, None))
            changed = await self._update(kept, spec)
            return Put(changed, False, new_secret(changed.subscription, kept.subscription))

        return await self._latest.put(owner, name, precondition, attempt)

    async def delete(self, owner: str, name: str, precondition: Precondition = anyhow) -> None:
        """Delete a subscription and its positions; its dead letters stay in their topic.

        Args:
            owner: name of its principal.
            name: its name.
            precondition: what must hold for the version that there is.
        """

        async def attempt(kept: Kept) -> None:
            await self._store.delete(owner, name, kept.version)
            self._retired.add(kept.subscription)

        await self._latest.change(owner, name, precondition, attempt)

    async def pause(self, owner: str, name: str, paused: bool, precondition: Precondition = anyhow) -> Kept:
        """Have nothing handed out, or have it handed out again.

        Args:
            owner: name of its principal.
            name: its name.
            paused: whether it shall be paused.
            precondition: what must hold for the version that there is.
        """

        async def attempt(kept: Kept) -> Kept:
            after = with_pause(kept.subscription, paused, self._milliseconds())
            return kept if after is kept.subscription else await self._store.put(after, kept.version)

        return await self._latest.change(owner, name, precondition, attempt)

    async def disable(self, subscription: Subscription, reason: PauseReason) -> None:
        """Pause a subscription because of its receiver, unless it is another one by now.

        Args:
            subscription: as it was when that was found out.
            reason: what is told to its owner.
        """

        async def attempt(kept: Kept) -> None:
            # Whatever its owner has done since may have been about this very receiver.
            if kept.subscription == subscription:
                after = with_pause(subscription, True, self._milliseconds(), reason)
                if after is not subscription:
                    await self._store.put(after, kept.version)

        with contextlib.suppress(UnknownSubscription):
            await self._latest.change(subscription.owner, subscription.name, anyhow, attempt)

    async def rotate(
        self, owner: str, name: str, overlap_seconds: float, precondition: Precondition = anyhow
    ) -> Kept:
        """Sign with a new secret, and for a while with the former one too.

        Args:
            owner: name of its principal.
            name: its name.
            overlap_seconds: for how long.
            precondition: what must hold for the version that there is.
        """

        async def attempt(kept: Kept) -> Kept:
            after = with_rotation(kept.subscription, self._milliseconds(), overlap_seconds)
            return await self._store.put(after, kept.version)

        return await self._latest.change(owner, name, precondition, attempt)

    async def seek(self, owner: str, name: str, target: SeekTarget, precondition: Precondition = anyhow) -> Kept:
        """Go on somewhere else.

        Args:
            owner: name of its principal.
            name: its name.
            target: where.
            precondition: what must hold for the version that there is.

        Raises:
            InvalidSubscription: there are no such places.
        """

        async def attempt(kept: Kept) -> Kept:
            before = kept.subscription
            partitions = _partitions(await self._places.partitions(), before.spec.topics)
            if target.to is not None:
                moved = await self._places.at(target.to, partitions)
            else:
                moved = await self._named(target.positions or {}, partitions)
            stay = [place for place in partitions if place not in moved]
            return await self._move(kept, with_seek(before, target, self._milliseconds()), stay, moved)

        return await self._latest.change(owner, name, precondition, attempt)

    async def redrive(
        self, owner: str, name: str, precondition: Precondition = anyhow, wanted: dict[str, Any] | None = None
    ) -> Redriven:
        """Make the dead letters that there are events of the subscription again.

        Args:
            owner: name of its principal.
            name: its name.
            wanted: event pattern; what it does not match stays among the dead letters. None for all.
            precondition: what must hold for the version that there is.
        """

        async def attempt(kept: Kept) -> Redriven:
            if not await self._dead_letter_topics.is_there(kept.subscription.dead_letter_topic):
                return Redriven(kept, 0)
            left = await self._places.dead_letters_left(kept.subscription)
            if left.high <= left.low:
                return Redriven(kept, 0)
            until = {DEAD_LETTER_PARTITION: left.high}
            after = with_redrive(kept.subscription, until, self._milliseconds(), wanted)
            return Redriven(await self._store.put(after, kept.version), left.high - left.low)

        return await self._latest.change(owner, name, precondition, attempt)

    async def _create(self, new: Subscription) -> Kept:
        self._store.check(new, ABSENT)
        found = await self._places.partitions()
        _require_topics(found, new.spec.topics, new.spec.topics)
        positions = await self._places.at(new.spec.start, _partitions(found, new.spec.topics))
        if await self._dead_letter_topics.ensure(new.dead_letter_topic):
            # Dead letters of a subscription that had the same name before are not this one's.
            positions |= await self._places.at("latest", [dead_letters_of(new)])
        return await self._publish(new, ABSENT, positions)

    async def _update(self, kept: Kept, spec: Spec) -> Kept:
        before = kept.subscription
        after = with_spec(before, spec, self._milliseconds())
        if after is before:
            return kept
        if spec.parallelism != before.spec.parallelism and not before.control.paused:
            raise SubscriptionActive("The parallelism of a subscription changes while it is paused.")
        self._store.check(after, kept.version)
        if after.control.group == before.control.group:
            return await self._store.put(after, kept.version)
        added = [topic for topic in spec.topics if topic not in before.spec.topics]
        found = await self._places.partitions()
        _require_topics(found, added, spec.topics)
        begun = await self._places.at(spec.start, _partitions(found, added))
        stay = _partitions(found, [topic for topic in spec.topics if topic not in added])
        return await self._move(kept, after, stay, begun)

    async def _move(
        self, kept: Kept, after: Subscription, stay: Collection[Partition], moved: Mapping[Partition, Position]
    ) -> Kept:
        """Put a subscription into its new group, in which some partitions stay where they are.

        What is acked between the copy and the moment at which the owner hears of it comes again.
        """
        before = kept.subscription
        copied = await self._places.committed(before, [*stay, dead_letters_of(before)])
        changed = await self._publish(after, kept.version, {**copied, **moved})
        self._retired.add(before)
        return changed

    async def _publish(
        self, subscription: Subscription, version: int, positions: Mapping[Partition, Position]
    ) -> Kept:
        await self._places.commit(subscription, positions)
        try:
            return await self._store.put(subscription, version)
        except PreconditionFailed:
            self._retired.add(subscription)
            raise

    async def _named(
        self, wanted: Mapping[str, Mapping[str, int]], partitions: Collection[Partition]
    ) -> dict[Partition, Position]:
        named = {
            (topic, int(number)): offset for topic, numbers in wanted.items() for number, offset in numbers.items()
        }
        faults = [_fault(place, "expected a partition of the topic") for place in named.keys() - partitions]
        ends = await self._places.ends([place for place in named if place in partitions])
        # A position that is beyond the end is taken for one in a topic that was created anew, and that is read whole.
        faults += [
            _fault(place, f"expected at most {end.high}, the end of the partition")
            for place, end in ends.items()
            if named[place] > end.high
        ]
        if faults:
            raise InvalidSubscription("The subscription cannot go there.", sorted(faults))
        return {place: Position(max(named[place], end.low)) for place, end in ends.items()}

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)


def _partitions(found: Mapping[str, int], topics: Collection[str]) -> list[Partition]:
    """All partitions of those topics that exist."""
    return [(topic, number) for topic in topics for number in range(found.get(topic, 0))]


def _require_topics(found: Mapping[str, int], needed: Collection[str], topics: tuple[str, ...]) -> None:
    missing = [
        Fault(f"/topics/{index}", "expected a topic that exists")
        for index, topic in enumerate(topics)
        if topic in needed and topic not in found
    ]
    if missing:
        raise InvalidSubscription("The subscription has topics that do not exist.", missing)


def _fault(place: Partition, sentence: str) -> Fault:
    return Fault(f"/positions/{place[0]}/{place[1]}", sentence)
