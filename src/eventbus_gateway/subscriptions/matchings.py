"""What records match, decided once for all the shards that read a topic.

Feeds hand the same records to everybody who reads a partition. With a thousand filters on a topic it matters that a
record is decoded, and looked up in their index, once and not a thousand times.
"""

from collections.abc import Hashable, Iterable

from eventbus_gateway.subscriptions.outgoing import Opened
from eventbus_gateway.subscriptions.patterns import Pattern, PatternIndex

_RECENT = 1_000
"""Records whose matches are remembered per topic: those of about two batches."""

_Place = tuple[int, int, int]


class _Topic:
    """The filters on one topic, and whom of them its latest records match."""

    def __init__(self) -> None:
        self._index: PatternIndex[Hashable] = PatternIndex()
        self._recent: dict[_Place, frozenset[Hashable]] = {}

    def __len__(self) -> int:
        return len(self._index)

    def add(self, reader: Hashable, pattern: Pattern) -> None:
        self._index.add(reader, pattern)
        self._recent.clear()

    def remove(self, reader: Hashable) -> None:
        self._index.remove(reader)
        self._recent.clear()

    def readers(self, opened: Opened) -> frozenset[Hashable]:
        # With the timestamp, since a topic that is created anew begins at offset 0 again.
        record = opened.record
        place = (record.partition, record.offset, record.timestamp)
        found = self._recent.get(place)
        if found is None:
            found = self._looked_up(opened)
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[place] = found
        return found

    def _looked_up(self, opened: Opened) -> frozenset[Hashable]:
        decided = self._index.decide(opened.seen(with_data=False))
        if decided.undecided:
            return frozenset(self._index.matching(opened.seen(with_data=True)))
        return frozenset(decided.matching)


class Matchings:
    """The filters of everybody who reads in this process, by topic. Bounded by the shards that it serves."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}

    def add(self, reader: Hashable, pattern: Pattern, topics: Iterable[str]) -> None:
        """Begin to decide for a reader.

        Args:
            reader: who; nobody else is the same.
            pattern: what it wants.
            topics: what it reads.
        """
        for topic in topics:
            self._topics.setdefault(topic, _Topic()).add(reader, pattern)

    def remove(self, reader: Hashable, topics: Iterable[str]) -> None:
        """Decide for a reader no more."""
        for topic in topics:
            found = self._topics.get(topic)
            if found is not None:
                found.remove(reader)
                if not len(found):
                    del self._topics[topic]

    def wants(self, reader: Hashable, pattern: Pattern, opened: Opened) -> bool:
        """Whether a record is wanted by a reader.

        Args:
            reader: who.
            pattern: what it wants.
            opened: the record.

        Raises:
            SchemaNeeded: a schema has to be fetched first.
        """
        topic = self._topics.get(opened.record.topic)
        if topic is not None and len(topic) > 1:
            return reader in topic.readers(opened)
        return opened.matches(pattern)
