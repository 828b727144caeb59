"""A record as it comes out of Kafka."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

RecordHeaders = list[tuple[str, bytes | None]]
"""Headers as librdkafka gives them, and as they are written down: each with its name."""

MAX_KEPT = 256
"""Sequences of names that are kept to be shared; topics have a handful each."""
_MAX_CHARACTERS = 4_096
_HEADER_BYTES = 64
"""What counts for each header: they are not looked at one by one for what is only a bound on memory."""
_MAX_WRITTEN_OUT = 32
"""Headers of a record that is taken apart by code that is written out for their number."""
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

    def many(
        self, records: Sequence[RecordHeaders | None]
    ) -> Iterable[tuple[tuple[str, ...], tuple[bytes | None, ...]]]:
        """The same for records that came one after the other, in half of the time where they are alike.

        Then those share the values too that they have from the first one: what a record has of its own are a few
        identifiers.

        Args:
            records: the pairs of each record; one at the least.

        Returns:
            The names and the values of each record.
        """
        first = self.headers(records[0])
        rows: list[tuple[bytes | None, ...]] = []
        if 0 < len(first.names) <= _MAX_WRITTEN_OUT:
            # Another number of headers in one of them, or none at all, is left to the plain way.
            with contextlib.suppress(TypeError, ValueError):
                rows = _values_of(len(first.names))(records, first.names, *first.values)
        if len(rows) < len(records):
            return map(self.headers, records)
        return zip(repeat(first.names), rows, strict=False)


@lru_cache(maxsize=_MAX_WRITTEN_OUT)
def _values_of(width: int) -> Callable[..., list[tuple[bytes | None, ...]]]:
    """What takes the values of records apart, written out for so many headers: in two fifths of a loop's time.

    Args:
        width: how many headers each record has.

    Returns:
        A function of pairs by record, the names that they must have (others are left out), and the values of the
        first record, which are put in place of equal ones.
    """
    places = range(width)
    pairs, names = "".join(f"(n{at}, v{at}), " for at in places), "".join(f"n{at}, " for at in places)
    values = "".join(f"v{at} if v{at} != f{at} else f{at}, " for at in places)
    first = ", ".join(f"f{at}" for at in places)
    written: Any = eval(  # noqa: S307 - there is nothing in it but numbers
        f"lambda records, names, {first}: [({values}) for {pairs} in records if ({names}) == names]"
    )
    return written  # type: ignore[no-any-return]


def sizes(
    keys: Iterable[bytes | None], values: Iterable[bytes | None], names: Iterable[tuple[str, ...]]
) -> list[int]:
    """Bytes that records occupy while they are held.

    Args:
        keys, values, names: of each of them.
    """
    return [
        len(key or b"") + len(value or b"") + _HEADER_BYTES * len(named)
        for key, value, named in zip(keys, values, names, strict=True)
    ]


class Consumed(NamedTuple):
    """One record that was read, and what a subscription holds of an event: see ``subscriptions.window.Held``.

    It is made of as few objects as can be, since each is touched again when it is let go, by then far from any cache.

    Args:
        offset: its place in the partition.
        timestamp: milliseconds since the epoch; negative where the record has none.
        key: key as stored, None where there is none.
        size: bytes that it occupies while it is held.
        topic: name of its topic.
        partition: number of the partition.
        value: value as stored, None for a tombstone.
        names: names of its headers, in their order.
        values: their values.
    """

    offset: int
    timestamp: int
    key: bytes | None
    size: int
    topic: str
    partition: int
    value: bytes | None
    names: tuple[str, ...]
    values: tuple[bytes | None, ...]

    @classmethod
    def of(
        cls,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = NO_HEADERS,
    ) -> "Consumed":
        """A record with its size."""
        names, values = headers
        (size,) = sizes([key], [value], [names])
        return cls(offset, timestamp, key, size, topic, partition, value, names, values)

    @property
    def headers(self) -> Headers:
        """Names and values of its headers."""
        return _new(Headers, (self.names, self.values))

    @property
    def payload(self) -> "Consumed":
        """What is delivered: the record itself."""
        return self
