"""A record as it comes out of Kafka."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

RecordHeaders = list[tuple[str, bytes | None]]
"""Headers as librdkafka gives them, and as they are written down: each with its name."""

MAX_KEPT = 256
"""Sequences of names that are kept to be shared; topics have a handful each."""
_MAX_CHARACTERS = 4_096
_new = tuple.__new__


class Headers(NamedTuple):
    """The headers of a record in their order; a name can come several times.

    Kept apart, the names of nearly all records of a topic can be one and the same object, and what a record has of
    its own are the values: half of the bytes and a third of the objects of a list of pairs.

    Args:
        names: the names.
        values: their values, None where a header has none.
    """

    names: tuple[str, ...]
    values: tuple[bytes | None, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, bytes | None]]) -> "Headers":
        """Headers with names of their own.

        Args:
            pairs: each header's name and value.
        """
        pairs = list(pairs)
        return cls(tuple([name for name, _ in pairs]), tuple([value for _, value in pairs]))

    def pairs(self) -> Iterator[tuple[str, bytes | None]]:
        """Each header's name and value."""
        return zip(self.names, self.values, strict=True)


NO_HEADERS = Headers((), ())


def are_short(names: tuple[str, ...]) -> bool:
    """Whether names are few and short enough to be kept beyond their records, which can be of any size."""
    return len(names) + sum(map(len, names)) <= _MAX_CHARACTERS


class Sharing:
    """Makes headers that share their names with those made before."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._last: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._kept)

    def headers(self, pairs: RecordHeaders | None) -> Headers:
        """Headers as librdkafka gives them.

        Args:
            pairs: each header's name and value, None for a record without any.
        """
        if not pairs:
            return NO_HEADERS
        names, values = zip(*pairs)  # noqa: B905 - the keyword alone would cost half as much again
        # Comparing takes less than looking up: the names of each record are strings without a hash.
        if names != self._last:
            if not are_short(names):
                return _new(Headers, (names, values))
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._last = self._kept.setdefault(names, names)
        return _new(Headers, (self._last, values))


class Consumed(NamedTuple):
    """One record that was read.

    Args:
        topic: name of its topic.
        partition: number of its partition.
        offset: its place there.
        timestamp: milliseconds since the epoch; negative where the record has none.
        key: key as stored, None where there is none.
        value: value as stored, None for a tombstone.
        headers: names and values in their order.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
