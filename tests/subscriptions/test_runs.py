"""Lanes: what keeps its order, what waits for what, and what may be handed out together."""

import pytest

from eventbus_gateway.subscriptions.leased import Leased, Order, Outcome
from eventbus_gateway.subscriptions.leases import Counts, Leases
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.tokens import Reference
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds

OK = Outcome.OK
LOTS = 10**9


class Shard:
    """Leases over one topic, whose events all have a size of 10."""

    def __init__(self, order: Order, partitions: int = 1) -> None:
        self.supply: Supply[str] = Supply(0, 1, ["a"], Bounds(1_000, 10**6), order)
        self.leases: Leases[str] = Leases(self.supply)
        for partition in range(partitions):
            self.supply.add("a", partition, 0, "")

    def offer(self, *keys: bytes | None, partition: int = 0) -> None:
        start = self.supply.position("a", partition)
        events = [Event(start + index, 0, key, 10, "") for index, key in enumerate(keys)]
        assert self.supply.offer("a", partition, events, start, start + len(events)) == start + len(events)

    def receive(self, now: float = 0.0, count: int = 100, run: int = 1, max_bytes: int = LOTS) -> list[Leased[str]]:
        return self.leases.receive(now, count, 30.0, max_bytes, run)

    def offsets(self, now: float = 0.0, count: int = 100, run: int = 1, max_bytes: int = LOTS) -> list[int]:
        return [each.event.offset for each in self.receive(now, count, run, max_bytes)]


def references(leased: list[Leased[str]]) -> list[Reference]:
    return [each.reference for each in leased]


def test_in_the_order_of_a_partition_one_event_passes_whatever_its_key() -> None:
    shard = Shard("partition", partitions=2)
    shard.offer(None, b"k", None)
    shard.offer(b"k", b"l", partition=1)
    first = shard.receive()
    assert [(each.origin.partition, each.event.offset) for each in first] == [(0, 0), (1, 0)]
    assert shard.leases.counts() == Counts(ready=0, leased=2, delayed=0, blocked=3, dead_letters=0)
    shard.leases.ack(references(first[:1]))
    assert shard.offsets() == [1]


def test_a_failed_event_holds_its_partition_in_order_until_it_is_a_stored_dead_letter() -> None:
    shard = Shard("partition")
    shard.offer(b"k", b"l")
    (failed,) = references(shard.receive())
    shard.leases.release(0.0, [failed], 20.0)
    assert shard.offsets(19.9) == []
    (again,) = references(shard.receive(20.0))
    shard.leases.reject([again], "gone")
    shard.leases.due_dead_letters(20.0, 1)
    assert shard.offsets(100.0) == []
    shard.leases.dead_lettered([again])
    assert shard.offsets(100.0) == [1]


def test_a_failed_event_holds_its_own_lane_alone() -> None:
    shard = Shard("key")
    shard.offer(b"k", b"l", b"k", b"l", None)
    failed, other, _ = references(shard.receive())
    shard.leases.release(0.0, [failed], 1_000.0)
    shard.leases.ack([other])
    assert shard.offsets(10.0) == [3]
    assert shard.offsets(999.9) == [3, 4]
    assert 2 not in shard.offsets(1_000.0)


def test_a_run_of_a_key_is_handed_out_together_behind_its_first_event() -> None:
    shard = Shard("key")
    shard.offer(b"k", b"l", b"k", None, b"k", b"k")
    assert shard.offsets(run=3) == [0, 2, 4, 1, 3]
    assert shard.leases.counts() == Counts(ready=0, leased=5, delayed=0, blocked=1, dead_letters=0)
    assert shard.offsets(run=3) == []


def test_what_follows_a_run_waits_for_all_of_it() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 4)
    run = references(shard.receive(run=3))
    for reference in run:
        assert shard.offsets(run=3) == []
        assert shard.leases.ack([reference]) == [OK]
    assert shard.offsets(run=3) == [3]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_run_that_failed_comes_again_as_a_run_in_its_order(backwards: bool) -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    run = references(shard.receive(run=3))
    shard.leases.release(0.0, run[::-1] if backwards else run, 5.0)
    assert shard.offsets(4.9, run=3) == []
    again = shard.receive(5.0, run=3)
    assert [(each.event.offset, each.delivery_count) for each in again] == [(0, 2), (1, 2), (2, 2)]


def test_a_run_may_be_shorter_the_second_time() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    shard.leases.release(0.0, references(shard.receive(run=3)), 0.0)
    assert shard.leases.counts() == Counts(ready=1, leased=0, delayed=0, blocked=2, dead_letters=0)
    assert shard.offsets(1.0, run=2) == [0, 1]
    assert shard.offsets(1.0, run=2) == []


def test_hand_outs_that_were_taken_back_are_no_deliveries_and_keep_their_place() -> None:
    shard = Shard("key")
    shard.offer(b"k", b"k", b"k", None)
    leased = shard.receive(run=3)
    shard.leases.take_back(leased[1:])
    assert shard.offsets(run=3) == [3]
    shard.leases.ack(references(leased[:1]))
    again = shard.receive(run=3)
    assert [(each.event.offset, each.delivery_count) for each in again] == [(1, 1), (2, 1)]


def test_a_run_stops_at_an_event_that_waits_for_its_time() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    first, second, third = references(shard.receive(run=3))
    shard.leases.release(0.0, [first, third], 0.0)
    shard.leases.release(0.0, [second], 10.0)
    assert shard.offsets(1.0, run=3) == [0]


def test_a_run_stops_at_an_event_that_somebody_still_has() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    first, second, third = references(shard.receive(run=3))
    shard.leases.release(0.0, [first, third], 0.0)
    assert shard.offsets(1.0, run=3) == [0]
    shard.leases.ack([second])
    assert shard.offsets(1.0, run=3) == []


def test_an_event_in_the_middle_of_a_lane_can_be_acked_late() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    run = references(shard.receive(run=3))
    shard.leases.advance(30.0)
    assert shard.leases.ack(run[1:2]) == [OK]
    assert shard.offsets(30.0, run=3) == [0, 2]


def test_a_dead_letter_in_a_run_holds_what_comes_behind_it() -> None:
    shard = Shard("key")
    shard.offer(*[b"k"] * 3)
    run = references(shard.receive(run=3))
    shard.leases.reject(run[:1], "")
    shard.leases.release(0.0, run[1:], 0.0)
    assert shard.offsets(1.0, run=3) == []
    shard.leases.due_dead_letters(1.0, 1)
    shard.leases.dead_lettered(run[:1])
    assert shard.offsets(1.0, run=3) == [1, 2]


def test_a_run_ends_at_the_number_and_the_bytes_that_are_asked_for() -> None:
    shard = Shard("partition")
    shard.offer(*[None] * 10)
    leased = shard.receive(count=4, run=10)
    assert [each.event.offset for each in leased] == [0, 1, 2, 3]
    shard.leases.release(0.0, references(leased), 0.0)
    assert shard.offsets(run=10, max_bytes=25) == [0, 1, 2]


def test_without_order_there_are_no_runs() -> None:
    shard = Shard("none")
    shard.offer(b"k", b"k", b"k")
    assert shard.offsets(count=2, run=10) == [0, 1]
    assert shard.offsets(count=2, run=10) == [2]


@pytest.mark.parametrize(("run", "at_hand"), [(1, 3), (2, 5), (3, 6), (10, 6)])
def test_what_is_at_hand_counts_runs_as_far_as_they_go(run: int, at_hand: int) -> None:
    shard = Shard("key", partitions=2)
    shard.offer(b"k", b"l", b"k", b"k")
    shard.offer(b"k", b"k", partition=1)
    assert shard.supply.at_hand(100, run) == at_hand == len(shard.offsets(run=run))
    assert shard.supply.at_hand(100, run) == 0


def test_what_came_back_or_is_done_counts_once_or_not_at_all() -> None:
    shard = Shard("key")
    shard.offer(b"k", b"k", b"l", None)
    leased = references(shard.receive(run=2))
    shard.leases.release(0.0, leased, 0.0)
    assert shard.supply.at_hand(100, 2) == 4
    assert shard.supply.at_hand(3, 2) == 3
    shard.leases.ack(leased[2:3])
    assert shard.supply.at_hand(100, 2) == 3
    assert shard.supply.at_hand(100) == 2
