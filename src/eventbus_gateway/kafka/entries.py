"""Which of several writes of a key counts: the rule that lets replicas share a table without locks.

A table is a compacted topic with one partition. Two replicas can write the same key at the same time, each on top of
what its own view shows, so the log has to decide, and every reader has to decide the same way: those that saw every
record, and those that started later and see what compaction left.

**Why a key of the table is not the key of its records.** Compaction keeps the last record of a Kafka key. If a write
that lost its race were the last one, compaction would remove the winner and nobody could bring it back. So every
write has a Kafka key of its own, ``<key>#<random>``, and compaction never removes one because of another. What does
not count any more is removed by a tombstone for exactly that Kafka key, written by whoever sees it in its view.

**What a record says.** Its ``version``; the version that it ``replaces`` (none: the writer saw no entry) and when
that one was written; when it was written itself; whether it is a grave (the entry is deleted). A record that replaces
version v has version v + 1, one that replaces nothing has its time in milliseconds. Versions of a key therefore grow,
also over deletions, and none depends on offsets, so a topic that was copied to another cluster still reads the same.

**Which record counts.** Readers fold the records of a key in the order of the log; ``supersedes`` says whether the
next one takes over:

1. Nothing replaced a version twice: of two records that replace the same version the earlier one counts.
2. Of two that replace different versions the one with the larger version counts: replacing v proves that v counted.
3. A record that replaces nothing does not take over: its writer did not see what is there.
4. A record that replaces something takes over from one that does not: the latter is its ancestor or lost against it.

For readers that saw everything this says "it replaces exactly what counts now". But each rule compares two records
by what they carry, and the one that counts wins against every other record of its key in whatever company: so it does
not matter which losers and predecessors are removed already, and in which order.

**Graves.** A deleted key keeps a grave, a record like any other, so that a late write of somebody who has not seen
the deletion loses. A grave is removed ``GRAVE_SECONDS`` after it was written and only when its key has no other
record: after that time no write can be under way that was made before the deletion, nor a view be that late. Then the
key is free and the next record replaces nothing, while somebody whose view is a moment late may still replace the
grave. So rules 3 and 4 are turned round where the record that replaces nothing was written more than
``GRAVE_SECONDS / 2`` after the grave that is there, or that the other one replaces: its writer knew that the grave
was removed. Clocks of replicas may differ by hours, but not by that.
"""

import re
import secrets
from typing import NamedTuple, cast

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.records import Record

GRAVE_SECONDS = 86_400.0
"""How long a deleted key keeps its grave."""

_HEADER = "eventbus-table"
_FORMAT = b"1"
_MARGIN_MS = int(GRAVE_SECONDS * 500)
_LINE = re.compile(rb"1 (\d{1,18}) (\d{1,18}) (?:(\d{1,18}) (\d{1,18})|- -) (put|delete)")
_KEY = re.compile(rb"(.+)#([0-9a-f]{16})", re.DOTALL)


class Written(NamedTuple):
    """One write of a key.

    Args:
        key: key in the table.
        mark: what makes its Kafka key unlike every other one.
        version: grows with every write of the key that counts.
        written: milliseconds since the epoch, by the clock of the writer.
        replaces: version that the writer saw, None where it saw no entry and no grave.
        replaced_written: when that version was written; 0 beside None.
        grave: whether it says that the entry is deleted.
        value: content, empty in a grave.
    """

    key: str
    mark: str
    version: int
    written: int
    replaces: int | None
    replaced_written: int
    grave: bool
    value: bytes

    @property
    def kafka_key(self) -> bytes:
        """Key of its record."""
        return f"{self.key}#{self.mark}".encode()


class Tombstone(NamedTuple):
    """A record that was removed.

    Args:
        key: key in the table.
        mark: of the write that was removed.
    """

    key: str
    mark: str


def supersedes(new: Written, old: Written) -> bool:
    """Whether a record takes over from the one that counted so far.

    Args:
        new: the later one in the log.
        old: the one that counts among all before it.
    """
    if new.replaces is None:
        return old.grave and new.written > old.written + _MARGIN_MS
    if old.replaces is None:
        return old.written <= new.replaced_written + _MARGIN_MS
    return new.replaces > old.replaces


def successor(key: str, value: bytes | None, current: Written | None, now: float) -> Written:
    """The write that puts a value in the place of what counts now, or deletes it.

    Args:
        key: key in the table.
        value: content, None for a grave.
        current: entry or grave that the writer's view shows.
        now: seconds since the epoch.
    """
    written = int(now * 1000)
    mark, grave = secrets.token_hex(8), value is None
    if current is None:
        return Written(key, mark, written, written, None, 0, grave, value or b"")
    return Written(key, mark, current.version + 1, written, current.version, current.written, grave, value or b"")


def encode(entry: Written) -> Record:
    """A write as a record."""
    replaces = b"- -" if entry.replaces is None else b"%d %d" % (entry.replaces, entry.replaced_written)
    kind = b"delete" if entry.grave else b"put"
    line = b"%s %d %d %s %s" % (_FORMAT, entry.version, entry.written, replaces, kind)
    return Record(entry.kafka_key, entry.value, [(_HEADER, line)])


def tombstone(kafka_key: bytes) -> Record:
    """The record that has compaction forget a Kafka key."""
    # The type of records leaves this out on purpose: an event always has a value. The producer hands it on as it is,
    # and does not measure what says its size.
    return Record(kafka_key, cast("bytes", None), [], len(kafka_key))


def decode(record: Consumed) -> Written | Tombstone | None:
    """What a record of the topic says, None for one that no table wrote."""
    found = _KEY.fullmatch(record.key or b"")
    if found is None:
        return None
    try:
        key, mark = found[1].decode(), found[2].decode()
    except UnicodeDecodeError:
        return None
    if record.value is None:
        return Tombstone(key, mark)
    line = next((value for name, value in record.headers.pairs() if name == _HEADER and value is not None), b"")
    said = _LINE.fullmatch(line)
    if said is None:
        return None
    version, written, replaces, replaced_written, kind = said.groups()
    return Written(
        key,
        mark,
        int(version),
        int(written),
        None if replaces is None else int(replaces),
        int(replaced_written or 0),
        kind == b"delete",
        record.value,
    )
