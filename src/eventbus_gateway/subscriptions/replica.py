"""What serves subscriptions in one process, put together, started, and stopped again."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from eventbus_gateway.kafka.feeds import Feeds
from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.internal_topics import until_usable
from eventbus_gateway.kafka.membership import Membership, Terms
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.reading_thread import reading_threads
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.settings import ConsumeSettings, KafkaSettings
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.kafka.table_limits import TableLimits
from eventbus_gateway.subscriptions.dead_letter_topics import DeadLetterTopics, TopicKeeper
from eventbus_gateway.subscriptions.ends import Ends
from eventbus_gateway.subscriptions.hand import Hand, Push
from eventbus_gateway.subscriptions.lifecycle import Lifecycle
from eventbus_gateway.subscriptions.means import Means
from eventbus_gateway.subscriptions.needed_topics import internal_names, internal_topics, membership_group
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.owners import Owners
from eventbus_gateway.subscriptions.places import Directory, Places
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.retired import RetiredGroups
from eventbus_gateway.subscriptions.routing import Routing
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.shards import Shards
from eventbus_gateway.subscriptions.store import SubscriptionStore, subscription_table
from eventbus_gateway.subscriptions.vault import Vault
from eventbus_gateway.telemetry import Serving

_logger = logging.getLogger(__name__)

_OWNER_BYTES = 1_024
_LEAVE_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the process gives.

    Args:
        kafka: how to reach Kafka.
        consume: how records are read.
        sink: stores records.
        positions: reads and moves positions of groups.
        directory: knows the topics.
        keeper: looks after internal and dead letter topics.
        outgoing_of: what makes events of a topic's records, by its name.
        partitions_of: how many partitions a topic has; raises UnknownTopic or KafkaUnavailable.
        count: counts events by what became of them.
        push: makes what sends the events of a shard to its webhook; None where nothing can.
        vault: seals the secrets of subscriptions; None where none are taken.
        address: ``host:port`` at which other replicas reach this one.
        pace: how often tables are looked at.
    """

    kafka: KafkaSettings
    consume: ConsumeSettings
    sink: RecordSink
    positions: Positions
    directory: Directory
    keeper: TopicKeeper
    outgoing_of: Callable[[str], Outgoing]
    partitions_of: Callable[[str], Awaitable[int]]
    count: Callable[[str, str, int], None]
    push: Callable[[Subscription, Hand], Push] | None
    vault: Vault | None
    address: str
    pace: Pace


class Replica:
    """This process among those that serve subscriptions together.

    To be made on the event loop.

    Args:
        settings: bounds, names and times.
        around: what the rest of the process gives.
    """

    def __init__(self, settings: SubscriptionSettings, around: Surroundings) -> None:
        self._settings = settings
        self._around = around
        names = internal_names(settings)
        owners = TableLimits(settings.slots, settings.slots * _OWNER_BYTES, _OWNER_BYTES)
        self._subscriptions = subscription_table(settings, around.kafka, around.sink, around.pace)
        self._owned = self._table(names.owners, owners)
        self.store = SubscriptionStore(self._subscriptions, settings, around.vault)
        self.places = Places(around.positions, around.directory, settings.group_prefix)
        letter_topics = DeadLetterTopics(around.keeper, settings)
        self._retired = RetiredGroups(self.places)
        self.lifecycle = Lifecycle(self.store, self.places, letter_topics, self._retired)
        self._feeds = Feeds(reading_threads(around.kafka, around.consume), around.positions.ends, around.consume)

        async def create_letters(topic: str) -> None:
            await letter_topics.ensure(topic)

        means = Means(
            self._feeds,
            around.positions,
            around.sink,
            around.outgoing_of,
            around.partitions_of,
            create_letters,
            around.count,
            settings,
            around.push,
        )
        terms = Terms(
            names.slots,
            membership_group(settings),
            settings.session_timeout_seconds,
            settings.release_timeout_seconds,
        )
        self._membership = Membership(around.kafka, terms, self)
        holds = self._membership.holds
        self.shards = Shards(self.store, means, holds)
        self.store.on_change(self.shards.changed)
        self._ends = Ends(around.positions.highs, settings.lag_seconds)
        self._owners = Owners(self._owned, around.address, holds)
        # 9 MiB of memory with all that it imports, which only who serves subscriptions needs.
        from eventbus_gateway.subscriptions.peers import Peers  # noqa: PLC0415

        self._peers = Peers(settings)
        self.routing = Routing(self.shards, self._owners, self._peers, settings.slots)
        self._checking: asyncio.Task[None] | None = None

    @property
    def slots(self) -> int:
        """How many slots this process owns at this moment."""
        return len(self._membership.slots())

    def serving(self) -> list[Serving]:
        """What this process has of each subscription, for whoever measures."""
        return self.shards.serving(self._ends.of)

    @property
    def is_ready(self) -> bool:
        """Whether both tables were read."""
        return self._subscriptions.is_ready and self._owned.is_ready

    async def start(self, seconds: float) -> None:
        """Begin to serve; Kafka need not be reachable.

        Args:
            seconds: how long to wait for the tables.
        """
        # Phase 1: the topics; what cannot be created now is tried again in the background
        check = self._around.keeper.ensure if self._settings.create_topics else self._around.keeper.examine
        wanted = internal_topics(self._settings)
        self._checking = asyncio.create_task(until_usable(check, wanted, "subscriptions wait"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._checking)

        # Phase 2: know the subscriptions and their owners before any shard is opened
        ready = await asyncio.gather(self._subscriptions.start(seconds), self._owned.start(seconds))
        if not all(ready):
            _logger.warning("the internal topics of subscriptions were not read in time; that goes on")
        await self._peers.start()

        # Phase 3: take part
        self.shards.start(self._around.kafka.metadata_refresh_seconds)
        self._ends.start()
        self._membership.start()

    async def close(self) -> None:
        """Let the others take over at once, with everything committed that was done."""
        # Phase 1: give the slots back, whose shards commit first
        await self._membership.close(self._settings.release_timeout_seconds + _LEAVE_GRACE_SECONDS)
        await self.shards.close()

        # Phase 2: nothing asks or is told any more
        if self._checking is not None:
            self._checking.cancel()
        await self._ends.close()
        await self._retired.close()
        await self._owners.close()
        await self._peers.close()
        await asyncio.gather(self._subscriptions.close(), self._owned.close(), self._feeds.close())

    # What the membership tells; see ``SlotListener``.

    def assigned(self, acquisitions: Mapping[int, int]) -> None:
        """Serve these slots."""
        self.shards.assigned(acquisitions)
        self._owners.announce(acquisitions)

    async def revoked(self, slots: frozenset[int]) -> None:
        """End what is served in these slots."""
        self._owners.retract(slots)
        await self.shards.revoked(slots)

    def lost(self, slots: frozenset[int]) -> None:
        """Drop what is served in these slots."""
        self._owners.retract(slots)
        self.shards.lost(slots)

    # Inside.

    def _table(self, topic: str, limits: TableLimits) -> Table:
        return Table(self._around.kafka, topic, self._around.sink, limits, pace=self._around.pace)
