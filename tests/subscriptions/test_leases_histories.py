"""Random histories of one shard against a simple model: reading, leasing, acking, committing and failing over.

The model keeps for each event that was read one word of state, and computes from all of them what every call has to
answer. Kafka is a dict of what was committed. A fail-over begins a new state from there at any moment. A history is
made of its seed alone, with steps weighted so that much is open, acked in any order and committed before it ends.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from eventbus_gateway.subscriptions.commit_metadata import MAX_BYTES, decode
from eventbus_gateway.subscriptions.leased import Cause, Leased, Order, Outcome
from eventbus_gateway.subscriptions.leases import Counts, Leases
from eventbus_gateway.subscriptions.references import References, tokens_of, understood
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.tokens import Reference, parse
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds

TOPICS = ["a", "b"]
PLACES = [("a", 0), ("a", 1), ("b", 0)]
MAX_EVENTS, MAX_BYTES_HELD, PARTITION_EVENTS, SPAN, LARGEST = 20, 300, 9, 30, 40
Place = tuple[str, int]


@dataclass
class Known:
    """An unacked event: ready, leased, delayed, due (as a dead letter), storing, or waiting (to be due again)."""

    state: str = "ready"
    deliveries: int = 0
    at: float = 0.0
    cause: Cause = Cause.MAX_DELIVERIES


@dataclass
class Log:
    """One partition: its records, and what this subscription has done with them."""

    matching: dict[int, Event[str]] = field(default_factory=dict)
    end: int = 0
    position: int = 0
    known: dict[int, Known] = field(default_factory=dict)
    acked: set[int] = field(default_factory=set)
    order: Order = "none"
    committed: tuple[int, str] | None = None
    committed_acks: set[int] = field(default_factory=set)

    def ahead(self, offset: int) -> list[int]:
        """The unacked events before this one that keep their order with it."""
        key = self.matching[offset].key
        if self.order == "none" or (self.order == "key" and key is None):
            return []
        whole = self.order == "partition"
        return sorted(low for low in self.known if low < offset and (whole or self.matching[low].key == key))

    def blocked(self, offset: int) -> bool:
        return bool(self.ahead(offset))


class History:
    """One subscription through all that can happen to it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.acquisition = 0
        self.order: Order = ("none", "key", "partition", "key")[seed % 4]
        self.logs = {place: Log(order=self.order) for place in PLACES}
        self.handed_out: list[tuple[Place, Reference]] = []
        self.max_deliveries = self.random.choice([None, None, 1, 2, 3])
        self.fail_overs_with_acks = 0
        self.longest_run = 1
        self.fail_over()

    def run(self, steps: int) -> None:
        weights: dict[Callable[[], None], int] = {
            self.fail_over: 2,
            self.produce: 6,
            self.read: 12,
            self.compact: 1,
            self.read_with_a_hole: 1,
            self.wait: 6,
            self.receive: 14,
            self.ack: 10,
            self.release: 4,
            self.extend: 4,
            self.reject: 2,
            self.store_dead_letters: 3,
            self.commit: 6,
        }
        for step in self.random.choices(list(weights), list(weights.values()), k=steps):
            step()
            self.the_bounds_hold()
            self.progress_and_counts_agree()
        self.all_is_done_in_the_end()

    def fail_over(self) -> None:
        self.acquisition += 1
        bounds = Bounds(MAX_EVENTS, MAX_BYTES_HELD, PARTITION_EVENTS, SPAN)
        self.supply: Supply[str] = Supply(0, self.acquisition, TOPICS, bounds, self.order)
        self.leases: Leases[str] = Leases(self.supply, self.max_deliveries)
        for (topic, partition), log in self.logs.items():
            offset, metadata = log.committed or (0, None)
            self.supply.add(topic, partition, offset, metadata)
            self.fail_overs_with_acks += any(acked > offset for acked in log.committed_acks)
            log.acked, log.known = set(log.committed_acks), {}
            log.position = self.supply.position(topic, partition)
            assert log.position == offset

    def produce(self) -> None:
        place = self.random.choice(PLACES)
        log = self.logs[place]
        for _ in range(self.random.randint(3, 12)):
            # The others are filtered out, or offsets without a record.
            if self.random.random() < 0.7:
                key = self.random.choice([None, b"u", b"v", b"w", b"x", b"y", b"z"])
                size = self.random.choice([1, 10, 10, LARGEST])
                log.matching[log.end] = Event(log.end, log.end * 7, key, size, f"{place} {log.end}")
            log.end += 1

    def read(self) -> None:
        place = self.random.choice(PLACES)
        log = self.logs[place]
        start = max(0, log.position - self.random.choice([0, 0, 1, 3]))
        self._offer(place, start, max(start, min(log.end, log.position + self.random.randint(0, 25))))

    def compact(self) -> None:
        """Records vanish from the log: acked ones, and others that nobody has read yet."""
        log = self.logs[self.random.choice(PLACES)]
        gone = [offset for offset in log.matching if offset not in log.known and self.random.random() < 0.2]
        for offset in gone:
            del log.matching[offset]
            log.acked.discard(offset)
            log.committed_acks.discard(offset)

    def read_with_a_hole(self) -> None:
        place = self.random.choice(PLACES)
        log = self.logs[place]
        if log.position + 1 < log.end:
            events = [event for offset, event in log.matching.items() if offset > log.position]
            assert self.supply.offer(*place, events, log.position + 1, log.end) == log.position

    def _offer(self, place: Place, start: int, end: int) -> None:
        log = self.logs[place]
        room, before = self.supply.room(*place), log.position
        nothing_held = not any(each.known for each in self.logs.values())
        events = [log.matching[offset] for offset in range(start, end) if offset in log.matching]
        log.position = self.supply.offer(*place, events, start, end)
        assert log.position >= before
        wanted = [offset for offset in range(before, end) if offset in log.matching and offset not in log.acked]
        new = [offset for offset in wanted if offset < log.position]
        assert len(new) <= room.events
        assert new or not wanted or not nothing_held
        assert nothing_held is False or len(new) == len(wanted) or len(new) >= 2 or room.bytes <= LARGEST
        log.known.update((offset, Known()) for offset in new)

    def wait(self) -> None:
        self.now += self.random.choice([0.5, 1.0, 3.0, 10.0])

    def receive(self) -> None:
        seconds, max_bytes = self.random.choice([1.0, 5.0, 30.0]), self.random.choice([1, 60, 10**9, 10**9])
        self._receive(self.random.randint(1, 12), seconds, max_bytes, self.random.choice([1, 1, 3, 12]))

    def _receive(self, count: int, seconds: float, max_bytes: int, run: int) -> None:
        leased = self.leases.receive(self.now, count, seconds, max_bytes, run)
        self._advance()
        ready = {place: self._ready(place) for place in PLACES}
        assert len(leased) <= count
        sizes = [each.event.size for each in leased]
        assert sum(sizes[:-1]) < max_bytes
        if len(leased) < count and sum(sizes) < max_bytes:
            runs = [len(self._run(place, offset, run)) for place in PLACES for offset in ready[place]]
            assert len(leased) == sum(runs)
        for place in PLACES:
            mine = [each for each in leased if (each.origin.topic, each.origin.partition) == place]
            offsets = [each.event.offset for each in mine]
            first = [offset for offset in offsets if not self.logs[place].blocked(offset)]
            assert first == ready[place][: len(first)]
            self._are_runs(place, offsets, run)
            for each in mine:
                self._was_leased(place, each, self.now + seconds)
        if self.random.random() < 0.2:
            self._take_back(leased[self.random.randint(0, len(leased)) :])

    def _take_back(self, leased: list[Leased[str]]) -> None:
        """Undo the last hand-outs before any client has heard of them."""
        self.leases.take_back(leased)
        for each in leased:
            place = (each.origin.topic, each.origin.partition)
            known = self.logs[place].known[each.event.offset]
            known.state, known.deliveries = "ready", known.deliveries - 1
            self.handed_out.remove((place, each.reference))

    def _was_leased(self, place: Place, leased: Leased[str], deadline: float) -> None:
        log = self.logs[place]
        event = leased.event
        assert event is log.matching[event.offset]
        assert event.offset not in log.acked
        known = log.known[event.offset]
        known.state, known.deliveries, known.at = "leased", known.deliveries + 1, deadline
        assert leased.delivery_count == known.deliveries
        assert self.max_deliveries is None or leased.delivery_count <= self.max_deliveries
        reference = parse(leased.token)
        assert reference == Reference(
            0, self.acquisition, TOPICS.index(place[0]), place[1], event.offset, known.deliveries
        )
        self.handed_out.append((place, reference))

    def _are_runs(self, place: Place, offsets: list[int], most: int) -> None:
        """Whatever is handed out comes behind all unacked events of its lane, none of which is anywhere else."""
        for index, offset in enumerate(offsets):
            ahead = self.logs[place].ahead(offset)
            assert len(ahead) < most
            assert offsets[index - len(ahead) : index] == ahead
            self.longest_run = max(self.longest_run, len(ahead) + 1)

    def _run(self, place: Place, first: int, most: int) -> list[int]:
        """What is handed out together with an event, itself included."""
        log, run = self.logs[place], [first]
        for offset in sorted(log.known):
            if log.ahead(offset)[: len(run)] == run and len(run) < most:
                if log.known[offset].state != "ready":
                    break
                run.append(offset)
        return run

    def _ready(self, place: Place) -> list[int]:
        log = self.logs[place]
        ready = sorted(offset for offset, known in log.known.items() if known.state == "ready")
        return [offset for offset in ready if not log.blocked(offset)]

    def _advance(self) -> None:
        for log in self.logs.values():
            for known in log.known.values():
                if known.at > self.now:
                    continue
                if known.state == "leased":
                    known.state = "due" if known.deliveries == self.max_deliveries else "ready"
                elif known.state in {"delayed", "waiting"}:
                    known.state = "ready" if known.state == "delayed" else "due"

    def _some(self) -> list[tuple[Place, Reference]]:
        # Mostly ones that still mean something, sometimes any that ever was, twice the same included.
        live = [each for each in self.handed_out if isinstance(self._find(*each), Known)]
        pool = live if live and self.random.random() < 0.8 else self.handed_out
        return self.random.choices(pool, k=self.random.randint(1, 6)) if pool else []

    def _find(self, place: Place, reference: Reference) -> Known | Outcome:
        log = self.logs[place]
        if reference.acquisition != self.acquisition:
            return Outcome.STALE
        known = log.known.get(reference.offset)
        if known is None:
            return Outcome.SETTLED
        return known if known.deliveries == reference.delivery_count else Outcome.STALE

    def _settle(self, place: Place, offset: int) -> None:
        del self.logs[place].known[offset]
        self.logs[place].acked.add(offset)

    def ack(self) -> None:
        chosen = self._some()
        references = References.of([reference for _, reference in chosen])
        named = understood(tokens_of(references), len(chosen))
        assert named is not None
        assert list(named.references) == list(references)
        outcomes = self.leases.ack(named.references)
        for (place, reference), outcome in zip(chosen, outcomes, strict=True):
            known = self._find(place, reference)
            if isinstance(known, Outcome):
                assert outcome is known
            elif _is_dead(known) and known.cause is Cause.REJECTED:
                assert outcome is Outcome.SETTLED
            else:
                assert outcome is Outcome.OK
                self._settle(place, reference.offset)

    def release(self) -> None:
        chosen, delay = self._some(), self.random.choice([0.0, 2.0, 20.0])
        outcomes = self.leases.release(self.now, [reference for _, reference in chosen], delay)
        self._advance()
        for (place, reference), outcome in zip(chosen, outcomes, strict=True):
            known = self._find(place, reference)
            assert outcome is self._expected_of_lease(known)
            if outcome is Outcome.OK and isinstance(known, Known):
                if known.deliveries == self.max_deliveries:
                    known.state, known.cause = "due", Cause.MAX_DELIVERIES
                else:
                    known.state, known.at = ("delayed", self.now + delay) if delay else ("ready", 0.0)

    def extend(self) -> None:
        chosen, seconds = self._some(), self.random.choice([1.0, 8.0, 60.0])
        outcomes = self.leases.extend(self.now, [reference for _, reference in chosen], seconds)
        self._advance()
        for (place, reference), outcome in zip(chosen, outcomes, strict=True):
            known = self._find(place, reference)
            assert outcome is self._expected_of_lease(known)
            if outcome is Outcome.OK and isinstance(known, Known):
                known.at = self.now + seconds

    def _expected_of_lease(self, known: Known | Outcome) -> Outcome:
        if isinstance(known, Outcome):
            return known
        if known.state == "leased":
            return Outcome.OK
        return Outcome.SETTLED if _is_dead(known) and known.cause is Cause.REJECTED else Outcome.EXPIRED

    def reject(self) -> None:
        chosen = self._some()
        outcomes = self.leases.reject([reference for _, reference in chosen], "because")
        for (place, reference), outcome in zip(chosen, outcomes, strict=True):
            known = self._find(place, reference)
            if isinstance(known, Outcome):
                assert outcome is known
            elif _is_dead(known):
                assert outcome is (Outcome.SETTLED if known.cause is Cause.REJECTED else Outcome.OK)
            else:
                assert outcome is Outcome.OK
                known.state, known.cause = "due", Cause.REJECTED

    def store_dead_letters(self) -> None:
        outcomes = self.random.choices(["stored", "failed", "lost"], [4, 2, 1], k=4)
        self._store_dead_letters(self.random.randint(0, 4), outcomes)

    def _store_dead_letters(self, count: int, outcomes: list[str]) -> None:
        letters = self.leases.due_dead_letters(self.now, count)
        self._advance()
        due = {(place, o) for place, log in self.logs.items() for o, k in log.known.items() if k.state == "due"}
        assert len(letters) == min(count, len(due))
        for letter, outcome in zip(letters, outcomes, strict=False):
            leased = letter.leased
            place, offset = (leased.origin.topic, leased.origin.partition), leased.event.offset
            assert (place, offset) in due
            due.remove((place, offset))
            known = self.logs[place].known[offset]
            assert letter.cause is known.cause
            assert leased.delivery_count == known.deliveries
            known.state = "storing"
            if outcome == "stored":
                assert self.leases.dead_lettered([leased.reference]) == [Outcome.OK]
                self._settle(place, offset)
            elif outcome == "failed":
                assert self.leases.dead_letter_failed(self.now, [leased.reference], 4.0) == [Outcome.OK]
                known.state, known.at = "waiting", self.now + 4.0

    def commit(self) -> None:
        """Kafka may store some of a commit, and its answer may be lost."""
        stored = set(PLACES) if self.random.random() < 0.7 else set(self.random.sample(PLACES, 1))
        self._commit(self.random.random() < 0.8, stored)

    def _commit(self, confirmed: bool, stored: set[Place]) -> None:
        commits = self.supply.committable()
        changed = {(commit.topic, commit.partition) for commit in commits}
        kept = []
        for commit in commits:
            log = self.logs[commit.topic, commit.partition]
            self._is_true(log, commit.offset, commit.metadata)
            if (commit.topic, commit.partition) in stored:
                log.committed, log.committed_acks = (commit.offset, commit.metadata), set(log.acked)
                kept.append(commit)
        if confirmed:
            self.supply.committed(kept)
            assert {(commit.topic, commit.partition) for commit in self.supply.committable()} == changed - stored
        for place, log in self.logs.items():
            if place not in changed and log.committed is not None:
                # What is not offered for commit is there already.
                self._is_true(log, *log.committed)

    def _is_true(self, log: Log, offset: int, metadata: str) -> None:
        assert len(metadata.encode()) <= MAX_BYTES
        above = {done for run in decode(offset, metadata) for done in range(*run)}
        for event in log.matching:
            if event < log.position or event in log.acked:
                assert (event < offset or event in above) == (event in log.acked), event
        assert not [done for done in above if done >= log.position and done not in log.acked | _gaps(log)]

    def the_bounds_hold(self) -> None:
        held = [log.matching[offset].size for log in self.logs.values() for offset in log.known]
        assert len(held) <= MAX_EVENTS
        assert sum(held) < MAX_BYTES_HELD + LARGEST
        for log in self.logs.values():
            assert len(log.known) <= PARTITION_EVENTS

    def progress_and_counts_agree(self) -> None:
        for (topic, partition), progress in zip(self.logs, self.supply.progress(), strict=True):
            log = self.logs[topic, partition]
            watermark = min(log.known, default=log.position)
            assert progress[2:5] == (log.position, watermark, len(log.known))
            assert log.position - watermark <= SPAN
            assert progress.oldest_timestamp == (watermark * 7 if log.known else None)
        known = [each for log in self.logs.values() for each in log.known.values()]
        states = [each.state for each in known]
        ready = sum(len(self._ready(place)) for place in PLACES)
        assert self.leases.counts() == Counts(
            ready,
            states.count("leased"),
            states.count("delayed"),
            states.count("ready") - ready,
            sum(map(_is_dead, known)),
        )
        assert self.supply.has_ready() == (ready > 0)
        times = [each.at for each in known if each.state in {"leased", "delayed", "waiting"}]
        assert self.leases.next_deadline() == min(times, default=None)

    def all_is_done_in_the_end(self) -> None:
        """Every event is acked or a dead letter, and everything is committed."""
        for _ in range(10_000):
            if all(log.position == log.end and not log.known for log in self.logs.values()):
                break
            self._drain()
        for log in self.logs.values():
            assert set(log.matching) == log.acked
        self._commit(True, set(PLACES))
        assert [log.committed for log in self.logs.values()] == [(log.end, "") for log in self.logs.values()]

    def _drain(self) -> None:
        for place, log in self.logs.items():
            self._offer(place, log.position, log.end)
        self.now += 100.0
        # What was lost on its way to the dead letters is settled by its owner's restart alone.
        if any(known.state == "storing" for log in self.logs.values() for known in log.known.values()):
            self.fail_over()
            return
        self._store_dead_letters(4, ["stored"] * 4)
        before = len(self.handed_out)
        self._receive(12, 5.0, 10**9, 4)
        got = self.handed_out[before:]
        assert self.leases.ack([reference for _, reference in got]) == [Outcome.OK] * len(got)
        for place, reference in got:
            self._settle(place, reference.offset)


def _is_dead(known: Known) -> bool:
    return known.state in {"due", "storing", "waiting"}


def _gaps(log: Log) -> set[int]:
    return set(range(log.end)) - set(log.matching)


@pytest.mark.parametrize("first_seed", range(0, 160, 20))
def test_any_history_loses_nothing_and_repeats_only_what_was_not_committed(first_seed: int) -> None:
    with_acks = longest_run = 0
    for seed in range(first_seed, first_seed + 20):
        history = History(seed)
        try:
            history.run(steps=200)
        except AssertionError as failure:
            failure.add_note(f"seed {seed}")
            raise
        with_acks += history.fail_overs_with_acks
        longest_run = max(longest_run, history.longest_run)
    # Else the histories are not worth their name.
    assert with_acks > 20
    assert longest_run > 4
