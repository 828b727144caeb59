"""What a table contains, as far as its topic has been read."""

from collections.abc import Iterator
from typing import NamedTuple

from eventbus_gateway.kafka.entries import GRAVE_SECONDS, Tombstone, Written, supersedes


class Entry(NamedTuple):
    """What a key has.

    Args:
        key: the key.
        value: its content.
        version: changes with every write and never comes back for this key.
    """

    key: str
    value: bytes
    version: int


class Change(NamedTuple):
    """A key whose entry is another one now.

    Args:
        key: the key.
        before: its entry until now, None where there was none.
        after: its entry from now on, None where there is none any more.
    """

    key: str
    before: Entry | None
    after: Entry | None


class Applied(NamedTuple):
    """What a record did to the view.

    Args:
        counts: whether it is what counts for its key now.
        change: what became different for readers.
    """

    counts: bool
    change: Change | None


class View:
    """Folds records, in the order of the log, into entries."""

    def __init__(self) -> None:
        self._current: dict[str, Written] = {}
        self._graves: dict[str, None] = {}
        # Records that do not count and for which no tombstone was seen: when each was written, by key and mark.
        self._leftover: dict[str, dict[str, int]] = {}
        self.bytes = 0
        """Bytes of all keys and values, graves included."""

    def __len__(self) -> int:
        return len(self._current) - len(self._graves)

    @property
    def graves(self) -> int:
        """How many deleted keys are remembered."""
        return len(self._graves)

    def current(self, key: str) -> Written | None:
        """The record that counts for a key, which may be a grave."""
        return self._current.get(key)

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return _entry(self._current.get(key))

    def entries(self) -> Iterator[Entry]:
        """All entries, in the order in which their keys first appeared."""
        return (_shown(record) for record in self._current.values() if not record.grave)

    def apply(self, record: Written | Tombstone) -> Applied:
        """Take in the next record of the log."""
        if isinstance(record, Tombstone):
            return self._remove(record)
        old = self._current.get(record.key)
        # A reader that starts over, or a producer that sent twice, must not take a record for its own rival.
        if old is not None and old.mark == record.mark:
            return Applied(True, None)
        if old is not None and not supersedes(record, old):
            self._leftover.setdefault(record.key, {})[record.mark] = record.written
            return Applied(False, None)
        if old is not None:
            self._leftover.setdefault(record.key, {})[old.mark] = old.written
        self._put(record, old)
        before, after = _entry(old), _entry(record)
        return Applied(True, Change(record.key, before, after) if before is not after else None)

    def leftovers(self, key: str) -> list[bytes]:
        """Kafka keys of the records of a key that do not count."""
        return [f"{key}#{mark}".encode() for mark in self._leftover.get(key, ())]

    def removable(self, now: float, age: float, limit: int) -> list[bytes]:
        """Kafka keys for which somebody should write tombstones.

        Args:
            now: seconds since the epoch.
            age: seconds after which a record that does not count is nobody's business any more.
            limit: how many at the most.
        """
        old = int((now - age) * 1000)
        found = [
            f"{key}#{mark}".encode()
            for key, marks in self._leftover.items()
            for mark, written in marks.items()
            if written <= old
        ]
        buried = int((now - GRAVE_SECONDS) * 1000)
        for key in self._graves:
            grave = self._current[key]
            # Not before its leftovers: without the grave one of them would count again.
            if grave.written <= buried and key not in self._leftover:
                found.append(grave.kafka_key)
        return found[:limit]

    def changes_since(self, former: "View") -> Iterator[Change]:
        """How this view differs from one that was built earlier."""
        for key in [*self._current, *(key for key in former._current if key not in self._current)]:
            before, after = former.get(key), self.get(key)
            if before != after:
                yield Change(key, before, after)

    def _put(self, record: Written, old: Written | None) -> None:
        self._forget(old)
        self._current[record.key] = record
        self.bytes += _size(record)
        if record.grave:
            self._graves[record.key] = None

    def _forget(self, record: Written | None) -> None:
        if record is not None:
            self.bytes -= _size(record)
            self._graves.pop(record.key, None)

    def _remove(self, record: Tombstone) -> Applied:
        marks = self._leftover.get(record.key, {})
        if marks.pop(record.mark, None) is not None and not marks:
            del self._leftover[record.key]
        old = self._current.get(record.key)
        if old is None or old.mark != record.mark:
            return Applied(False, None)
        self._forget(old)
        del self._current[record.key]
        before = _entry(old)
        return Applied(False, None if before is None else Change(record.key, before, None))


def _entry(record: Written | None) -> Entry | None:
    return None if record is None or record.grave else _shown(record)


def _shown(record: Written) -> Entry:
    return Entry(record.key, record.value, record.version)


def _size(record: Written) -> int:
    return len(record.key) + len(record.value)
