"""Leases: who gets which event when, and what a reference still does, with time as a plain number."""

import gc
import random
import weakref
from collections import Counter

import pytest

from eventbus_gateway.subscriptions.leased import Cause, Leased, Outcome, each_leased, references_to
from eventbus_gateway.subscriptions.leases import Counts, Leases
from eventbus_gateway.subscriptions.supply import Progress, Supply
from eventbus_gateway.subscriptions.terms import Term, Terms
from eventbus_gateway.subscriptions.tokens import Reference, parse
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds, Commit

OK, STALE, EXPIRED = Outcome.OK, Outcome.STALE, Outcome.EXPIRED
SETTLED, UNKNOWN = Outcome.SETTLED, Outcome.UNKNOWN
ACQUISITION = 0xFEED_FACE_CAFE_BEEF
LOTS = 10**9


def event(offset: int, key: bytes | None = None, size: int = 10) -> Event[str]:
    return Event(offset, 1_000 + offset, key, size, f"payload {offset}")


class Shard:
    """A supply of two topics with leases, and short words for both."""

    def __init__(
        self,
        order: str = "none",
        max_deliveries: int | None = None,
        partitions: int = 1,
        max_events: int = 1_000,
        acquisition: int = ACQUISITION,
    ) -> None:
        bounds = Bounds(max_events, 10**6)
        self.supply: Supply[str] = Supply(3, acquisition, ["a", "b"], bounds, "key" if order == "key" else "none")
        self.leases: Leases[str] = Leases(self.supply, max_deliveries)
        for partition in range(partitions):
            self.supply.add("a", partition, 0, "")

    def offer(self, *keys: bytes | None, partition: int = 0) -> None:
        start = self.supply.position("a", partition)
        events = [event(start + index, key) for index, key in enumerate(keys)]
        assert self.supply.offer("a", partition, events, start, start + len(events)) == start + len(events)

    def receive(self, now: float, count: int = 100, seconds: float = 30.0) -> list[Leased[str]]:
        return self.leases.receive(now, count, seconds, LOTS)

    def offsets(self, now: float, count: int = 100, seconds: float = 30.0) -> list[int]:
        return [each.event.offset for each in self.receive(now, count, seconds)]

    def counts(self) -> Counts:
        return self.leases.counts()


def references(leased: list[Leased[str]]) -> list[Reference]:
    return [each.reference for each in leased]


def test_an_event_is_handed_out_with_all_that_a_client_needs() -> None:
    shard = Shard()
    shard.offer(b"k")
    (leased,) = shard.receive(0.0)
    assert leased.event == event(0, b"k")
    assert (leased.origin.topic, leased.origin.partition, leased.delivery_count) == ("a", 0, 1)
    assert leased.reference == Reference(3, ACQUISITION, 0, 0, 0, 1)
    assert parse(leased.token) == leased.reference


def test_a_leased_event_comes_again_at_its_deadline_and_no_sooner() -> None:
    shard = Shard()
    shard.offer(None, None)
    assert shard.offsets(100.0, 1, 30.0) == [0]
    assert shard.leases.next_deadline() == 130.0
    assert shard.offsets(129.999) == [1]
    assert not shard.supply.has_ready()
    shard.leases.advance(130.0)
    assert shard.supply.has_ready()
    (again,) = shard.receive(130.0, 1)
    assert (again.event.offset, again.delivery_count) == (0, 2)


def test_expired_events_come_before_newer_ones() -> None:
    shard = Shard()
    shard.offer(*[None] * 5)
    shard.receive(0.0, 3)
    assert shard.offsets(40.0, 4) == [0, 1, 2, 3]


def test_an_acked_event_never_comes_again() -> None:
    shard = Shard()
    shard.offer(None, None)
    first = references(shard.receive(0.0))
    assert shard.leases.ack(first) == [OK, OK]
    assert shard.leases.ack(first) == [SETTLED, SETTLED]
    assert shard.offsets(1_000.0) == []
    assert shard.supply.committable() == [Commit("a", 0, 2, "")]
    assert shard.leases.next_deadline() is None


def test_events_of_several_partitions_are_acked_at_once_each_one_time() -> None:
    shard = Shard(order="key", partitions=2)
    shard.offer(b"k", b"k", None)
    shard.offer(b"k", None, partition=1)
    first, second, *_ = references(shard.receive(0.0))
    assert shard.counts() == Counts(ready=0, leased=4, delayed=0, blocked=1, dead_letters=0)
    foreign = first._replace(acquisition=1)
    assert shard.leases.ack([first, first, foreign, second, first]) == [OK, SETTLED, STALE, OK, SETTLED]
    assert shard.counts() == Counts(ready=1, leased=2, delayed=0, blocked=0, dead_letters=0)
    assert sum(progress.unacked for progress in shard.supply.progress()) == 3
    assert shard.offsets(0.0) == [1]


@pytest.mark.parametrize("seed", range(30))
def test_whoever_has_the_hand_outs_is_done_with_them_as_with_references(seed: int) -> None:
    chance = random.Random(seed)
    named, held = (Shard(order="key", max_deliveries=2, partitions=2) for _ in range(2))
    out: list[tuple[Leased[str], Leased[str]]] = []
    for now in range(0, 60, 3):
        keys = chance.choices([None, b"k", b"l", b"m"], k=4)
        partition, count, seconds = chance.randrange(2), chance.randrange(1, 6), chance.choice([4.0, 30.0])
        for shard in (named, held):
            shard.offer(*keys, partition=partition)
        received = [shard.receive(float(now), count, seconds) for shard in (named, held)]
        out += zip(*received, strict=True)
        if chance.random() < 0.2:
            rejected = [pair.reference for pair in chance.choice(out)]
            for shard, reference in zip((named, held), rejected, strict=True):
                shard.leases.reject([reference], "")
        for shard in (named, held):
            letters = shard.leases.due_dead_letters(float(now), 10)
            shard.leases.dead_letter_failed(float(now), [letter.leased.reference for letter in letters], 5.0)
        if some := chance.sample(out, min(len(out), chance.randrange(6))):
            named.leases.ack([one.reference for one, _ in some])
            held.leases.done([other for _, other in some])
        assert held.counts() == named.counts()
        assert list(held.supply.progress()) == list(named.supply.progress())
    assert held.offsets(100.0) == named.offsets(100.0)


def test_an_ack_after_the_lease_counts_until_the_event_is_handed_out_again() -> None:
    shard = Shard()
    shard.offer(None, None)
    first = references(shard.receive(0.0))
    shard.leases.advance(31.0)
    assert shard.leases.ack(first[:1]) == [OK]
    assert shard.offsets(31.0) == [1]
    assert shard.leases.ack(first) == [SETTLED, STALE]


def test_a_late_ack_of_the_only_ready_event_leaves_nothing_ready() -> None:
    shard = Shard()
    shard.offer(None)
    first = references(shard.receive(0.0))
    shard.leases.advance(31.0)
    assert shard.supply.has_ready()
    shard.leases.ack(first)
    assert not shard.supply.has_ready()


def test_released_events_come_again_at_once_or_after_the_delay() -> None:
    shard = Shard()
    shard.offer(None, None)
    now, later = references(shard.receive(0.0))
    assert shard.leases.release(1.0, [now], 0.0) == [OK]
    assert shard.leases.release(1.0, [later], 10.0) == [OK]
    assert shard.counts() == Counts(ready=1, leased=0, delayed=1, blocked=0, dead_letters=0)
    assert shard.offsets(10.9) == [0]
    assert shard.offsets(11.0) == [1]
    assert shard.leases.release(11.0, [now], 0.0) == [STALE]


def test_an_ack_after_a_release_counts_until_the_event_is_handed_out_again() -> None:
    shard = Shard()
    shard.offer(None, None)
    first = references(shard.receive(0.0))
    shard.leases.release(1.0, first[:1], 0.0)
    shard.leases.release(1.0, first[1:], 10.0)
    assert shard.leases.release(1.0, first, 0.0) == [EXPIRED, EXPIRED]
    assert shard.leases.ack(first) == [OK, OK]
    assert shard.offsets(100.0) == []


def test_a_lease_that_is_over_cannot_be_released() -> None:
    shard = Shard()
    shard.offer(None)
    first = references(shard.receive(0.0, 1, 30.0))
    assert shard.leases.release(30.0, first, 60.0) == [EXPIRED]
    assert shard.offsets(30.0) == [0]


def test_a_lease_is_extended_from_now() -> None:
    shard = Shard()
    shard.offer(None, None)
    longer, shorter = references(shard.receive(0.0, 2, 30.0))
    assert shard.leases.extend(20.0, [longer, longer], 30.0) == [OK, OK]
    assert shard.leases.extend(20.0, [shorter], 1.0) == [OK]
    assert shard.leases.next_deadline() == 21.0
    assert shard.offsets(21.0) == [1]
    assert shard.offsets(49.9) == []
    assert shard.offsets(50.0) == [0]


def test_a_lease_that_is_over_cannot_be_extended() -> None:
    shard = Shard()
    shard.offer(None)
    first = references(shard.receive(0.0, 1, 30.0))
    assert shard.leases.extend(30.0, first, 30.0) == [EXPIRED]
    assert shard.offsets(30.0) == [0]
    assert shard.leases.extend(31.0, first, 30.0) == [STALE]


def test_references_of_others_are_refused_and_move_nothing() -> None:
    shard = Shard(partitions=2)
    shard.offer(None, None, None)
    shard.receive(0.0, 1)
    good = Reference(3, ACQUISITION, 0, 0, 0, 1)
    cases = {
        good._replace(acquisition=ACQUISITION ^ 1): STALE,
        good._replace(shard=4): STALE,
        good._replace(topic=1): UNKNOWN,
        good._replace(topic=65_535): UNKNOWN,
        good._replace(partition=9): UNKNOWN,
        good._replace(partition=1): UNKNOWN,
        good._replace(offset=1): UNKNOWN,
        good._replace(offset=3): UNKNOWN,
        good._replace(offset=2**64 - 1): UNKNOWN,
        good._replace(delivery_count=0): UNKNOWN,
        good._replace(delivery_count=2): UNKNOWN,
    }
    for verb in (
        shard.leases.ack,
        lambda refs: shard.leases.release(1.0, refs, 0.0),
        lambda refs: shard.leases.extend(1.0, refs, 60.0),
        lambda refs: shard.leases.reject(refs, "no"),
        shard.leases.dead_lettered,
        lambda refs: shard.leases.dead_letter_failed(1.0, refs, 1.0),
    ):
        assert verb(list(cases)) == list(cases.values())
    assert shard.counts() == Counts(ready=2, leased=1, delayed=0, blocked=0, dead_letters=0)
    assert shard.leases.next_deadline() == 30.0


def test_tokens_of_a_former_state_are_stale() -> None:
    shard, successor = Shard(), Shard(acquisition=1)
    shard.offer(None)
    successor.offer(None)
    old = references(shard.receive(0.0))
    successor.receive(0.0)
    assert successor.leases.ack(old) == [STALE]
    assert successor.counts().leased == 1


def test_a_rejected_event_becomes_a_dead_letter() -> None:
    shard = Shard()
    shard.offer(None, None)
    bad, good = references(shard.receive(0.0))
    assert shard.leases.reject([bad], "no such patient") == [OK]
    (letter,) = shard.leases.due_dead_letters(0.0, 10)
    assert (letter.cause, letter.reason) == (Cause.REJECTED, "no such patient")
    assert letter.leased.event == event(0)
    assert letter.leased.delivery_count == 1
    assert shard.leases.due_dead_letters(1_000.0, 10) == []
    shard.leases.ack([good])
    assert [commit.offset for commit in shard.supply.committable()] == [0]
    assert shard.leases.dead_lettered([bad]) == [OK]
    assert shard.supply.committable() == [Commit("a", 0, 2, "")]
    assert shard.leases.dead_lettered([bad]) == [SETTLED]


def test_a_rejection_is_final() -> None:
    shard = Shard()
    shard.offer(None)
    first = references(shard.receive(0.0))
    shard.leases.reject(first, "")
    assert shard.leases.ack(first) == [SETTLED]
    assert shard.leases.release(1.0, first, 0.0) == [SETTLED]
    assert shard.leases.extend(1.0, first, 9.0) == [SETTLED]
    assert shard.leases.reject(first, "") == [SETTLED]
    assert len(shard.leases.due_dead_letters(1.0, 10)) == 1


def test_an_event_that_was_rejected_while_it_was_ready_again_is_not_handed_out() -> None:
    shard = Shard()
    shard.offer(None, None)
    first = references(shard.receive(0.0))
    shard.leases.release(1.0, first, 0.0)
    assert shard.leases.reject(first[:1], "") == [OK]
    assert shard.offsets(1.0) == [1]


@pytest.mark.parametrize("ended", ["expired", "released"])
def test_after_the_last_delivery_an_event_becomes_a_dead_letter(ended: str) -> None:
    shard = Shard(max_deliveries=2)
    shard.offer(None)
    shard.receive(0.0)
    last = shard.receive(30.0)
    assert last[0].delivery_count == 2
    if ended == "released":
        assert shard.leases.release(31.0, references(last), 5.0) == [OK]
        (letter,) = shard.leases.due_dead_letters(31.0, 10)
    else:
        assert shard.leases.due_dead_letters(59.9, 10) == []
        (letter,) = shard.leases.due_dead_letters(60.0, 10)
    assert letter == (last[0], Cause.MAX_DELIVERIES, "")
    assert shard.offsets(1_000.0) == []


def test_a_dead_letter_that_could_not_be_stored_comes_again_but_never_to_clients() -> None:
    shard = Shard(max_deliveries=1)
    shard.offer(None)
    shard.receive(0.0)
    (letter,) = shard.leases.due_dead_letters(30.0, 10)
    reference = letter.leased.reference
    assert shard.leases.dead_letter_failed(31.0, [reference, reference], 5.0) == [OK, OK]
    assert shard.leases.next_deadline() == 36.0
    assert shard.leases.due_dead_letters(35.9, 10) == []
    assert shard.leases.due_dead_letters(36.0, 10) == [letter]
    assert shard.offsets(1_000.0) == []
    assert shard.counts().dead_letters == 1
    assert shard.leases.dead_lettered([reference]) == [OK]
    assert shard.counts().dead_letters == 0


def test_a_dead_letter_fails_once_however_often_that_is_said() -> None:
    shard = Shard()
    shard.offer(None)
    named = references(shard.receive(0.0))
    shard.leases.reject(named, "")
    # Nobody is storing it yet, so there is nothing that can have failed.
    assert shard.leases.dead_letter_failed(1.0, named, 5.0) == [OK]
    assert shard.leases.next_deadline() is None
    assert len(shard.leases.due_dead_letters(1.0, 10)) == 1
    shard.leases.dead_letter_failed(2.0, named, 5.0)
    shard.leases.dead_letter_failed(3.0, named, 500.0)
    assert len(shard.leases.due_dead_letters(7.0, 10)) == 1
    assert shard.leases.dead_lettered(named) == [OK]
    assert shard.leases.next_deadline() is None
    assert shard.leases.due_dead_letters(1_000.0, 10) == []


def test_a_late_ack_spares_an_event_its_dead_letter() -> None:
    shard = Shard(max_deliveries=1)
    shard.offer(None, None)
    first = references(shard.receive(0.0))
    (stored,) = shard.leases.due_dead_letters(30.0, 1)
    assert shard.leases.ack(first) == [OK, OK]
    assert shard.leases.due_dead_letters(31.0, 10) == []
    # The one that was being stored meanwhile is a dead letter too many, which loses nothing.
    assert shard.leases.dead_lettered([stored.leased.reference]) == [SETTLED]
    assert shard.counts() == Counts(0, 0, 0, 0, 0)


def test_what_was_acked_meanwhile_is_not_taken_back() -> None:
    shard = Shard()
    shard.offer(None, None, None)
    leased = shard.receive(0.0)
    assert shard.leases.ack(references(leased)[:2]) == [OK, OK]
    shard.leases.take_back(leased)
    assert shard.counts() == Counts(1, 0, 0, 0, 0)
    assert shard.offsets(0.0) == [2]


@pytest.mark.parametrize("order", ["none", "key"])
def test_a_made_up_token_of_what_was_never_handed_out_is_none(order: str) -> None:
    shard = Shard(order=order)
    shard.offer(b"k", b"k")
    leased = shard.receive(0.0, 1)
    never = [each.reference._replace(delivery_count=0) for each in leased]
    shard.leases.take_back(leased)
    for verb in (
        shard.leases.ack,
        lambda given: shard.leases.extend(0.0, given, 5.0),
        lambda given: shard.leases.reject(given, ""),
    ):
        assert verb(never) == [UNKNOWN]
    assert shard.leases.ack(references(shard.receive(0.0, 1))) == [OK]
    assert shard.offsets(0.0) == [1]


def test_a_dead_letter_that_is_kept_is_not_done_with_by_a_made_up_token() -> None:
    shard = Shard()
    _, aside = shard.supply.offer_some("a", 0, [event(0)], 0, 1, {0})
    shard.leases.keep(aside)
    assert shard.leases.ack([aside[0].reference]) == [UNKNOWN]
    assert [letter.leased for letter in shard.leases.due_dead_letters(0.0, 10)] == aside
    assert shard.leases.dead_lettered([aside[0].reference]) == [OK]


def test_a_lease_that_is_extended_again_and_again_in_one_request_has_one_term() -> None:
    shard = Shard()
    shard.offer(None, None)
    named = references(shard.receive(0.0))
    assert shard.leases.extend(0.0, named * 1_000, 60.0) == [OK] * 2_000
    term = shard.supply.partitions[0, 0].leases[0].term
    assert term is not None
    assert len(list(term)) == 2
    shard.leases.advance(59.9)
    assert shard.counts().leased == 2
    shard.leases.advance(60.0)
    assert shard.counts().ready == 2


def test_as_many_hand_outs_are_named_together_as_were_given() -> None:
    shard = Shard(partitions=2)
    for partition in range(2):
        shard.offer(None, None, None, partition=partition)
    shard.leases.release(0.0, references(shard.receive(0.0, 2)), 0.0)
    hand_outs = shard.leases.hand_out(0.0, 10, 30.0, LOTS)
    leased = each_leased(hand_outs)
    assert len({each.delivery_count for each in leased}) == 2
    for count in range(len(leased) + 1):
        assert list(references_to(hand_outs, count)) == references(leased[:count])


def test_a_dead_letter_that_is_called_stored_twice_at_once_is_settled_the_second_time() -> None:
    shard = Shard()
    shard.offer(None)
    (reference,) = references(shard.receive(0.0))
    shard.leases.reject([reference], "")
    shard.leases.due_dead_letters(0.0, 1)
    assert shard.leases.dead_lettered([reference, reference]) == [OK, SETTLED]


def test_a_leased_event_cannot_be_called_dead_lettered() -> None:
    shard = Shard()
    shard.offer(None)
    first = references(shard.receive(0.0))
    assert shard.leases.dead_lettered(first) == [UNKNOWN]
    assert shard.leases.dead_letter_failed(0.0, first, 1.0) == [UNKNOWN]
    assert shard.leases.ack(first) == [OK]


def test_the_next_event_of_a_key_waits_for_the_ack_of_the_one_before() -> None:
    shard = Shard(order="key")
    shard.offer(b"k", b"k", b"other", None, b"k", None)
    first = shard.receive(0.0)
    assert [each.event.offset for each in first] == [0, 2, 3, 5]
    assert shard.counts() == Counts(ready=0, leased=4, delayed=0, blocked=2, dead_letters=0)
    shard.leases.ack(references(first)[:1])
    second = shard.receive(1.0)
    assert [each.event.offset for each in second] == [1]
    # It expires, and is still the one that the key waits for.
    assert shard.offsets(40.0) == [1, 2, 3, 5]
    assert shard.leases.ack(references(second)) == [STALE]


def test_a_key_waits_for_a_delay_and_for_a_dead_letter() -> None:
    shard = Shard(order="key")
    shard.offer(b"k", b"k")
    first = references(shard.receive(0.0))
    shard.leases.release(0.0, first, 10.0)
    assert shard.offsets(9.0) == []
    again = references(shard.receive(10.0))
    shard.leases.reject(again, "")
    assert shard.offsets(10.0) == []
    shard.leases.due_dead_letters(10.0, 1)
    assert shard.offsets(10.0) == []
    shard.leases.dead_lettered(again)
    assert shard.offsets(10.0) == [1]


def test_keys_of_other_partitions_do_not_wait() -> None:
    shard = Shard(order="key", partitions=2)
    shard.offer(b"k", partition=0)
    shard.offer(b"k", partition=1)
    assert shard.offsets(0.0) == [0, 0]


def test_without_order_nothing_waits_for_its_key() -> None:
    shard = Shard()
    shard.offer(b"k", b"k")
    assert shard.offsets(0.0) == [0, 1]


def test_a_key_that_was_held_up_is_handed_out_by_offset() -> None:
    shard = Shard(order="key")
    shard.offer(b"k", b"k", *[None] * 8)
    first = shard.receive(0.0, 4)
    shard.leases.ack(references(first)[:1])
    assert shard.offsets(0.0) == [1, 5, 6, 7, 8, 9]


def test_a_key_that_is_free_again_does_not_overtake_lower_offsets() -> None:
    shard = Shard(order="key")
    shard.offer(b"k", None, None, b"k", None)
    shard.leases.ack(references(shard.receive(0.0, 1)))
    assert shard.offsets(0.0) == [1, 2, 3, 4]


def test_a_busy_partition_does_not_starve_the_others() -> None:
    shard = Shard(partitions=3)
    shard.offer(*[None] * 300, partition=0)
    shard.offer(*[None] * 5, partition=1)
    shard.offer(*[None] * 70, partition=2)
    got = [Counter(each.origin.partition for each in shard.receive(0.0, 110)) for _ in range(2)]
    assert got == [{0: 100, 1: 5, 2: 5}, {2: 65, 0: 45}]


@pytest.mark.parametrize(
    ("count", "max_bytes", "partitions"), [(101, LOTS, 2), (150, LOTS, 2), (250, LOTS, 3), (900, 140, 2)]
)
def test_answers_that_end_within_a_turn_are_fair_all_the_same(count: int, max_bytes: int, partitions: int) -> None:
    shard = Shard(partitions=partitions, max_events=9_000)
    for partition in range(partitions):
        shard.offer(*[None] * 900, partition=partition)
    got = Counter[int]()
    for _ in range(partitions * 2):
        got.update(each.origin.partition for each in shard.leases.receive(0.0, count, 30.0, max_bytes))
    assert max(got.values()) - min(got.values()) <= 1


def test_partitions_take_turns_also_over_requests_for_one_event() -> None:
    shard = Shard(partitions=3)
    for partition in range(3):
        shard.offer(None, None, None, partition=partition)
    order = [shard.receive(0.0, 1)[0].origin.partition for _ in range(9)]
    assert order == [0, 1, 2] * 3


def test_partitions_take_turns_also_when_bytes_end_an_answer() -> None:
    shard = Shard(partitions=3)
    for partition in range(3):
        shard.offer(None, None, partition=partition)
    order = [shard.leases.receive(0.0, 100, 30.0, 1)[0].origin.partition for _ in range(6)]
    assert order == [0, 1, 2] * 2


def test_a_partition_that_was_read_often_has_one_turn_all_the_same() -> None:
    shard = Shard(partitions=2)
    for _ in range(120):
        shard.offer(None, partition=0)
    shard.offer(*[None] * 120, partition=1)
    assert Counter(each.origin.partition for each in shard.receive(0.0, 200)) == {0: 100, 1: 100}


def test_a_run_of_one_lane_is_not_cut_where_the_turn_of_its_partition_ends() -> None:
    shard = Shard(order="key", partitions=2)
    for partition in range(2):
        shard.offer(*[b"k"] * 180, partition=partition)
    leased = shard.leases.receive(0.0, 200, 30.0, LOTS, 200)
    assert Counter(each.origin.partition for each in leased) == {0: 180, 1: 20}


def test_an_answer_is_bounded_in_bytes_but_has_at_least_one_event() -> None:
    shard = Shard()
    shard.offer(*[None] * 10)
    assert len(shard.leases.receive(0.0, 100, 30.0, 25)) == 3
    assert len(shard.leases.receive(0.0, 100, 30.0, 20)) == 2
    assert len(shard.leases.receive(0.0, 100, 30.0, 1)) == 1
    assert len(shard.leases.receive(0.0, 100, 30.0, LOTS)) == 4


def test_a_request_without_events_leaves_no_trace() -> None:
    shard = Shard()
    assert shard.receive(0.0) == []
    assert shard.leases.next_deadline() is None


def test_progress_shows_the_oldest_unacked_event() -> None:
    shard = Shard(partitions=2)
    shard.offer(None, None)
    leased = references(shard.receive(0.0))
    shard.leases.ack(leased[:1])
    assert list(shard.supply.progress()) == [Progress("a", 0, 2, 1, 1, 1_001), Progress("a", 1, 0, 0, 0, None)]


def test_a_partition_that_appears_later_joins_in() -> None:
    shard = Shard()
    shard.supply.add("b", 7, 0, None)
    assert shard.supply.committable() == [Commit("b", 7, 0, "")]
    assert shard.supply.offer("b", 7, [event(0)], 0, 1) == 1
    (leased,) = shard.receive(0.0)
    assert (leased.origin.topic, leased.origin.partition) == ("b", 7)
    assert shard.leases.ack([leased.reference]) == [OK]


def test_skipped_stretches_move_the_position() -> None:
    shard = Shard()
    shard.offer(None)
    assert shard.supply.skip("a", 0, 1, 5_000) == 5_000
    shard.leases.ack(references(shard.receive(0.0)))
    assert shard.supply.committable() == [Commit("a", 0, 5_000, "")]


class Payload:
    """Something that can be seen to go away."""


@pytest.mark.parametrize("order", ["none", "key"])
def test_what_is_acked_is_held_no_longer(order: str) -> None:
    supply: Supply[Payload] = Supply(0, 1, ["a"], Bounds(10, LOTS), "key" if order == "key" else "none")
    leases: Leases[Payload] = Leases(supply)
    supply.add("a", 0, 0, "")
    payloads = [Payload() for _ in range(3)]
    seen = [weakref.ref(payload) for payload in payloads]
    supply.offer("a", 0, [Event(offset, 0, None, 1, payload) for offset, payload in enumerate(payloads)], 0, 3)
    payloads.clear()
    named = [each.reference for each in leases.receive(0.0, 10, 30.0, LOTS)]
    leases.ack(named[:1])
    gc.collect()
    assert [each() is None for each in seen] == [True, False, False]
    leases.advance(30.0)
    leases.ack(named[1:2])
    leases.reject(named[2:], "")
    leases.due_dead_letters(30.0, 1)
    leases.dead_lettered(named[2:])
    gc.collect()
    assert [each() is None for each in seen] == [True, True, True]


class Notes(dict[int, Term["Notes"]]):
    """Of which term each event has a note: what the leases of a partition are, without leases."""

    def enter(self, term: Term["Notes"], *numbers: int) -> None:
        """Have events wait for a term."""
        term.enter(self, numbers)
        self.update(dict.fromkeys(numbers, term))

    def leave(self, terms: Terms["Notes"], *numbers: int) -> None:
        """Have events of one term wait no more."""
        (term,) = {self.pop(number) for number in numbers}
        terms.leave(term, len(numbers))

    def due(self, terms: Terms["Notes"], now: float) -> list[int]:
        """The events whose time has come."""
        found = [(term, number) for term in iter(lambda: terms.due(now), None) for _, number in term]
        return [number for term, number in found if self.get(number) is term]


def running() -> Terms[Notes]:
    return Terms(lambda term, notes, number: notes.get(number) is term)


def test_requests_whose_events_are_acked_leave_nothing_behind() -> None:
    terms, notes = running(), Notes()
    terms.start(Term(1.0))
    assert len(terms) == 0
    kept: Term[Notes] = Term(5_000.0)
    notes.enter(kept, -1)
    terms.start(kept)
    for number in range(10_000):
        term: Term[Notes] = Term(float(number))
        notes.enter(term, number)
        terms.start(term)
        notes.leave(terms, number)
        assert len(terms) < 200
    assert terms.next() == 5_000.0
    assert notes.due(terms, 4_999.9) == []
    assert notes.due(terms, 5_000.0) == [-1]
    assert terms.next() is None
    assert len(terms) == 0


def test_an_event_that_is_not_acked_does_not_keep_the_places_of_those_that_were_leased_with_it() -> None:
    terms, notes, randomness = running(), Notes(), random.Random(1)
    term: Term[Notes] = Term(1.0)
    for start in range(0, 1_000, 100):
        notes.enter(term, *range(start, start + 100))
    terms.start(term)
    numbers = list(range(1_000))
    randomness.shuffle(numbers)
    while len(numbers) > 1:
        some = min(randomness.randint(1, 20), len(numbers) - 1)
        notes.leave(terms, *numbers[:some])
        del numbers[:some]
        assert set(numbers) <= {number for _, number in term}
        assert len(list(term)) <= 4 * len(numbers)
    assert notes.due(terms, 1.0) == numbers


def test_events_fall_due_in_the_order_of_their_terms_whatever_was_taken_out() -> None:
    randomness = random.Random(1)
    terms, notes = running(), Notes()
    for number in range(3_000):
        term: Term[Notes] = Term(randomness.uniform(0.0, 1_000.0))
        notes.enter(term, number)
        terms.start(term)
        if number % 3:
            notes.leave(terms, randomness.choice(list(notes)))
    expected = sorted(notes, key=lambda number: notes[number].at)
    half = [number for number in expected if notes[number].at <= 500.0]
    assert notes.due(terms, 500.0) == half
    assert terms.next() == notes[expected[len(half)]].at
    assert notes.due(terms, 1_000.0) == expected[len(half) :]
