"""Which write of a key counts: every reader decides the same, whatever compaction has left."""

import itertools
import random
from dataclasses import dataclass, field

import pytest

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.entries import GRAVE_SECONDS, Tombstone, Written, decode, encode, successor, tombstone
from eventbus_gateway.kafka.view import Change, Entry, View

HOUR = 3_600.0
LONGEST_FLIGHT = 6 * HOUR
"""How late a record or a reader may be in the random histories; far more than in any real cluster."""


def consumed(key: bytes, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> Consumed:
    return Consumed.of("t", 0, 0, 0, key, value, Headers.of(headers))


def as_read(record: Written) -> Written | Tombstone | None:
    """A write after its way through a record."""
    key, value, headers, _ = encode(record)
    return decode(consumed(key or b"", value, list(headers)))


@pytest.mark.parametrize("key", ["a", "a#0123456789abcdef", "#", "ä\n", "x" * 1_000])
@pytest.mark.parametrize("value", [b"", b"{}", b"\x00\xff", None])
def test_a_write_is_read_as_it_was_written(key: str, value: bytes | None) -> None:
    first = successor(key, value, None, 1_000.5)
    second = successor(key, value, first, 2_000.0)
    assert as_read(first) == first
    assert as_read(second) == second
    assert (first.version, first.replaces, first.grave) == (1_000_500, None, value is None)
    assert (second.version, second.replaces, second.replaced_written) == (1_000_501, 1_000_500, 1_000_500)


def test_a_tombstone_is_read_as_the_removal_of_one_write() -> None:
    written = successor("a#b", b"1", None, 1.0)
    record = tombstone(written.kafka_key)
    assert decode(consumed(record.key or b"", None, [])) == Tombstone("a#b", written.mark)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (b"a", b"1", b"1 1 1 - - put"),
        (b"a#0123", b"1", b"1 1 1 - - put"),
        (b"a#0123456789ABCDEF", b"1", b"1 1 1 - - put"),
        (b"\xff#0123456789abcdef", b"1", b"1 1 1 - - put"),
        (b"a#0123456789abcdef", b"1", b"2 1 1 - - put"),
        (b"a#0123456789abcdef", b"1", b"1 1 1 - 1 put"),
        (b"a#0123456789abcdef", b"1", b"1 1 1 - - set"),
        (b"a#0123456789abcdef", b"1", b"1 9999999999999999999 1 - - put"),
        (b"a#0123456789abcdef", b"1", b""),
        (b"", None, b""),
    ],
)
def test_what_no_table_wrote_is_nothing(key: bytes, value: bytes | None, line: bytes) -> None:
    assert decode(consumed(key, value, [("eventbus-table", line)])) is None
    assert decode(consumed(key, value, [("eventbus-table", None)])) is None


def test_of_two_writes_on_top_of_the_same_version_the_first_counts_even_when_the_other_is_compacted_last() -> None:
    base = successor("k", b"0", None, 1.0)
    winner, loser = successor("k", b"winner", base, 2.0), successor("k", b"loser", base, 3.0)
    for kept in ([base, winner, loser], [winner, loser]):
        view = View()
        for record in kept:
            view.apply(record)
        assert view.get("k") == Entry("k", b"winner", winner.version)
        assert loser.kafka_key in view.leftovers("k")


def test_a_write_that_has_not_seen_the_deletion_loses_against_the_grave() -> None:
    first = successor("k", b"1", None, 1.0)
    grave, late = successor("k", None, first, 2.0), successor("k", b"late", first, 3.0)
    view = View()
    assert [view.apply(record).counts for record in (first, grave, late)] == [True, True, False]
    assert view.get("k") is None
    again = successor("k", b"again", view.current("k"), 4.0)
    assert view.apply(again).change == Change("k", None, Entry("k", b"again", again.version))


def test_a_grave_is_removed_a_day_later_and_only_alone() -> None:
    view = View()
    first = successor("k", b"1", None, 1.0)
    grave = successor("k", None, first, 2.0)
    view.apply(first)
    view.apply(grave)
    assert view.removable(2.0 + GRAVE_SECONDS, 0.0, 10) == [first.kafka_key]
    view.apply(Tombstone("k", first.mark))
    assert view.removable(1.9 + GRAVE_SECONDS, 0.0, 10) == []
    assert view.removable(2.0 + GRAVE_SECONDS, 0.0, 10) == [grave.kafka_key]
    view.apply(Tombstone("k", grave.mark))
    assert (view.current("k"), view.graves, view.bytes, len(view)) == (None, 0, 0, 0)


def test_at_the_removal_of_a_grave_whoever_writes_first_counts_for_everybody() -> None:
    day = GRAVE_SECONDS
    grave = successor("k", None, successor("k", b"1", None, 1.0), 2.0)
    fresh, late = successor("k", b"fresh", None, 2.0 + day), successor("k", b"late", grave, 2.0 + day)
    removal = Tombstone("k", grave.mark)
    histories: list[list[Written | Tombstone]]
    histories = [[grave, removal, fresh, late], [grave, fresh, late, removal], [fresh, late], [fresh, late, removal]]
    for kept in histories:
        view = View()
        for record in kept:
            view.apply(record)
        assert view.get("k") == Entry("k", b"fresh", fresh.version)
    histories = [[grave, removal, late, fresh], [late, fresh], [grave, late, fresh, removal]]
    for kept in histories:
        view = View()
        for record in kept:
            view.apply(record)
        assert view.get("k") == Entry("k", b"late", late.version)


def test_bytes_and_numbers_follow_the_entries() -> None:
    view = View()
    a = successor("a", b"12345", None, 1.0)
    view.apply(a)
    view.apply(successor("bb", b"1", None, 1.0))
    assert (len(view), view.bytes, view.graves) == (2, 9, 0)
    view.apply(successor("a", b"", a, 2.0))
    assert (len(view), view.bytes) == (2, 4)
    assert [entry.key for entry in view.entries()] == ["a", "bb"]


@dataclass
class Reader:
    """A replica: a view, the place up to which it has read, and a clock that is wrong."""

    skew: float
    view: View = field(default_factory=View)
    position: int = 0
    read_at: float = 0.0


@dataclass
class Flying:
    """A record on its way to the log."""

    record: Written | Tombstone
    since: float
    replaced: Written | None


class History:
    """A log with writers, delays, sweeps and compaction, beside a reader that misses nothing."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1_000 * HOUR
        self.log: list[tuple[float, Written | Tombstone] | None] = []
        self.flying: list[Flying] = []
        self.readers = [Reader(self.random.uniform(-HOUR, HOUR), read_at=self.now) for _ in range(3)]
        self.oracle = View()
        self.versions: dict[str, list[int]] = {}
        self.lost_races = 0
        self.removed = 0
        self.contested = 0

    def step(self) -> None:
        reader = self.random.choice(self.readers)
        match self.random.randrange(13):
            case 0 | 1 | 2:
                self.write(reader)
            case 3 | 4 | 5:
                if self.flying:
                    self.land(self.random.randrange(len(self.flying)))
            case 6 | 7 | 8:
                self.read(reader, self.random.randrange(1, 6))
            case 9:
                self.sweep(reader)
            case 10:
                self.compact()
            case 11:
                self.pass_time(self.random.choice([1.0, HOUR, 5 * HOUR, 25 * HOUR]))
            case 12:
                self.bury(reader, self.random.choice("ab"))

    def write(self, reader: Reader) -> None:
        key = self.random.choice("ab")
        deletes = reader.view.get(key) is not None and self.random.random() < 0.4
        self.send(reader, key, None if deletes else b"%d" % self.random.randrange(10**6))

    def send(self, reader: Reader, key: str, value: bytes | None) -> None:
        seen = reader.view.current(key)
        self.flying.append(Flying(successor(key, value, seen, self.now + reader.skew), self.now, seen))

    def bury(self, reader: Reader, key: str) -> None:
        """Delete a key and let a day pass, so that the next writes race with the removal of its grave."""
        self.read(reader, len(self.log))
        self.send(reader, key, None)
        for hours in (7, 7, 25):
            self.pass_time(hours * HOUR)
            for other in self.readers:
                self.read(other, len(self.log))
            self.sweep(reader)

    def land(self, index: int) -> None:
        """A record reaches the log: the oracle's verdict must be the only possible one."""
        flying = self.flying.pop(index)
        record, replaced = flying.record, flying.replaced
        self.log.append((self.now, record))
        current = self.oracle.current(record.key)
        counts = self.oracle.apply(record).counts
        if isinstance(record, Tombstone):
            return
        if current is not None:
            assert counts == (replaced is not None and replaced.mark == current.mark)
        else:
            assert counts
            self.contested += replaced is not None
            assert replaced is None or replaced.grave, "an update must not bring back what was deleted"
        if counts:
            self.versions.setdefault(record.key, []).append(record.version)
        self.lost_races += not counts

    def read(self, reader: Reader, number: int) -> None:
        while number and reader.position < len(self.log):
            item = self.log[reader.position]
            reader.position += 1
            if item is not None:
                reader.view.apply(item[1])
                number -= 1
        if reader.position == len(self.log):
            reader.read_at = self.now

    def sweep(self, reader: Reader) -> None:
        for kafka_key in reader.view.removable(self.now + reader.skew, 0.0, 3):
            removed = decode(consumed(kafka_key, None, []))
            assert isinstance(removed, Tombstone)
            self.flying.append(Flying(removed, self.now, None))

    def compact(self) -> None:
        """What Kafka may do: drop what a later record of the same key replaces, and tombstones a day after that.

        It works through the log in order and may be interrupted.
        """
        until = self.random.randrange(len(self.log) + 1)
        done = self.random.randrange(until + 1)
        removed = {
            (item[1].key, item[1].mark): place
            for place, item in enumerate(self.log[:until])
            if item is not None and isinstance(item[1], Tombstone)
        }
        for place in range(done):
            item = self.log[place]
            if item is None:
                continue
            last = removed.get((item[1].key, item[1].mark), place)
            if last > place:
                self.removed += isinstance(item[1], Written)
                self.log[place] = None
        alive = {(item[1].key, item[1].mark) for item in self.log if item and isinstance(item[1], Written)}
        for place, item in enumerate(self.log[:done]):
            if item is None or not isinstance(item[1], Tombstone) or item[0] > self.now - 24 * HOUR:
                continue
            if (item[1].key, item[1].mark) not in alive:
                self.log[place] = None

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds // HOUR) or 1):
            self.now += min(seconds, HOUR)
            for index in reversed(range(len(self.flying))):
                if self.now - self.flying[index].since >= LONGEST_FLIGHT:
                    self.land(index)
            for reader in self.readers:
                if self.now - reader.read_at >= LONGEST_FLIGHT:
                    self.read(reader, len(self.log))

    def check(self, *readers: Reader) -> None:
        """Somebody who starts now, and each of these readers, sees what the one sees who missed nothing."""
        expected = list(self.oracle.entries())
        for reader in (Reader(0.0), *readers):
            self.read(reader, len(self.log))
            assert sorted(reader.view.entries()) == sorted(expected)
            for key in "ab":
                assert reader.view.current(key) == self.oracle.current(key)
        for versions in self.versions.values():
            assert versions == sorted(set(versions))


@pytest.mark.parametrize("part", range(4))
def test_random_histories_with_races_delays_sweeps_and_compaction_leave_everybody_with_the_same_view(
    part: int,
) -> None:
    lost = removed = eras = contested = 0
    for seed in range(part * 150, part * 150 + 150):
        history = History(seed)
        for number in range(250):
            history.step()
            if number % 10 == 9:
                history.check()
        history.check(*history.readers)
        lost += history.lost_races
        removed += history.removed
        contested += history.contested
        eras += any(b - a > HOUR for versions in history.versions.values() for a, b in itertools.pairwise(versions))
    # The histories must contain what they are about.
    assert lost > 500
    assert removed > 500
    assert eras > 10
    assert contested > 10
