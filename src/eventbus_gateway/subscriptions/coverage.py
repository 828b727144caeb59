"""Which partitions a shard reads, and from where on."""

from collections.abc import Callable, Mapping, Sequence

from eventbus_gateway.errors import GatewayError, UnknownTopic
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.partitions import Partition, Position
from eventbus_gateway.subscriptions.intake import Intake
from eventbus_gateway.subscriptions.means import Means, OpenFeed
from eventbus_gateway.subscriptions.names import shard_of
from eventbus_gateway.subscriptions.patterns import Pattern, compile_filter
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.supply import Supply


class Coverage:
    """Finds the partitions of a shard, where its group left off, and has them read.

    Args:
        subscription: whose shard.
        number: which one.
        means: what it works with.
        supply: where the partitions are kept.
        intake: where their records go.
        added: told when partitions were added.
    """

    def __init__(
        self,
        subscription: Subscription,
        number: int,
        means: Means,
        supply: Supply[Consumed],
        intake: Intake,
        added: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._number = number
        self._means = means
        self._group = subscription.group(means.settings.group_prefix)
        self._letters = subscription.dead_letter_topic
        self._supply = supply
        self._intake = intake
        self._added = added
        self._feed: OpenFeed | None = None
        self._closed = False
        self.trouble: GatewayError | None = None
        """Why not all topics are read, None where all were there when they were looked for last."""

    @property
    def is_open(self) -> bool:
        """Whether its partitions are read."""
        return self._feed is not None and not self._closed

    async def open(self) -> None:
        """Begin, or go on with partitions that appeared since.

        Raises:
            GatewayError: they, or what was committed, cannot be found out now; may be called again.
        """
        self._intake.allow_letters(self._letters_until(), self._redriven())
        places = await self._missing()
        if places or self._feed is None:
            await self._add(places)

    async def update(self, subscription: Subscription) -> None:
        """Read the dead letters that a redrive asks for since the last time.

        Raises:
            GatewayError: see ``open``.
        """
        self._subscription = subscription
        until = self._letters_until()
        known = [partition for partition in until if self._supply.has(self._letters, partition)]
        further = [partition for partition in known if until[partition] > self._intake.letters_until(partition)]
        self._intake.allow_letters(until, self._redriven())
        if not self.is_open or self._feed is None:
            return
        for partition in further:
            self._feed.resume(self._letters, partition, self._supply.position(self._letters, partition))
        if len(known) < len(until):
            await self.open()

    async def commit(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, GatewayError | None]:
        """Store how far the group of this state is; see ``Positions.commit``."""
        return await self._means.positions.commit(self._group, positions)

    async def move(self, topic: str, partition: int, offset: int) -> None:
        """Commit another position; for the state that comes after this one.

        Raises:
            GatewayError: it may not be stored.
        """
        outcomes = await self.commit({(topic, partition): Position(offset)})
        for error in outcomes.values():
            if error is not None:
                raise error

    def close(self) -> None:
        """Read nothing more."""
        self._closed = True
        if self._feed is not None:
            self._feed.close()

    async def _missing(self) -> list[Partition]:
        """Partitions of this shard that were not added yet."""
        places: list[Partition] = []
        trouble: GatewayError | None = None
        for topic in self._subscription.spec.topics:
            try:
                places += [(topic, partition) for partition in range(await self._means.partitions_of(topic))]
            except UnknownTopic as error:
                # It may be new, or be created again; the others go on meanwhile.
                trouble = error
        self.trouble = trouble
        places += [(self._letters, partition) for partition in self._letters_until()]
        parallelism = self._subscription.spec.parallelism
        return [
            (topic, partition)
            for topic, partition in places
            if shard_of(partition, parallelism) == self._number and not self._supply.has(topic, partition)
        ]

    async def _add(self, places: Sequence[Partition]) -> None:
        committed: dict[Partition, Position | None] = {}
        found = await self._means.positions.committed(self._group, places)
        for place in places:
            position = found.get(place)
            if isinstance(position, GatewayError):
                raise position
            committed[place] = position
        if self._closed:
            return
        positions: dict[Partition, int] = {}
        for place, position in committed.items():
            # Another call can have added it meanwhile.
            if not self._supply.has(*place):
                # Where nothing is committed the partition is new, and all of it is.
                offset, metadata = position if position is not None else (0, None)
                self._supply.add(*place, offset, metadata)
                positions[place] = self._supply.position(*place)
        if self._feed is None:
            self._feed = self._intake.source = self._means.feeds.open(self._intake, positions)
        else:
            self._feed.add(positions)
        self._added()

    def _redriven(self) -> Pattern | None:
        """What a redrive wants back of the dead letters, None for all."""
        redrive = self._subscription.control.redrive
        return None if redrive is None or redrive.filter is None else compile_filter(redrive.filter)

    def _letters_until(self) -> dict[int, int]:
        """Up to where dead letters are redriven, by partition of their topic."""
        redrive = self._subscription.control.redrive
        return {} if redrive is None else {int(partition): offset for partition, offset in redrive.until.items()}
