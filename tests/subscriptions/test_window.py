"""The window of one partition: what it takes in, what may be committed, and what a new owner makes of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.errors import InternalError
from eventbus_gateway.subscriptions.commit_metadata import MAX_BYTES, decode
from eventbus_gateway.subscriptions.window import Event, Room, Window
from eventbus_gateway.subscriptions.windows import Bounds, Commit, Windows

PLENTY = Room(10**6, 10**12)


def event(offset: int, size: int = 10) -> Event[None]:
    return Event(offset, 1_000 + offset, None, size, None)


def events(*offsets: int) -> list[Event[None]]:
    return [event(offset) for offset in offsets]


def window(
    position: int = 0, metadata: str | None = "", max_events: int = 100, max_span: int = 1_000
) -> Window[None]:
    return Window(position, metadata, max_events, max_span)


def taken(target: Window[None], offsets: list[int], start: int, end: int, room: Room = PLENTY) -> list[int]:
    return [each.offset for each in target.take(events(*offsets), start, end, room)]


def test_the_watermark_stays_at_the_lowest_unacked_event() -> None:
    w = window()
    assert taken(w, [0, 1, 2], 0, 3) == [0, 1, 2]
    w.ack(1)
    assert (w.watermark, w.done()) == (0, [(1, 2)])
    w.ack(0)
    assert (w.watermark, w.done()) == (2, [])
    w.ack(2)
    assert (w.watermark, w.done(), w.position) == (3, [], 3)


def test_an_event_is_acked_once() -> None:
    w = window()
    w.take(events(4), 0, 9, PLENTY)
    assert w.ack(4) == [event(4)]
    assert w.ack(4) == []
    assert w.ack(5) == []


def test_gaps_and_filtered_runs_hold_nothing_up() -> None:
    w = window(max_span=10**9)
    w.take(events(10, 20), 0, 1_000_000, PLENTY)
    w.ack(10)
    assert w.watermark == 20
    w.ack(20)
    assert w.watermark == 1_000_000
    w.take([], 1_000_000, 2_000_000, PLENTY)
    assert w.watermark == 2_000_000


def test_a_stretch_that_does_not_follow_is_not_taken() -> None:
    w = window(5)
    assert taken(w, [7], 6, 8) == []
    assert (w.position, w.watermark) == (5, 5)


def test_what_is_read_twice_is_taken_once() -> None:
    w = window()
    w.take(events(1, 3), 0, 5, PLENTY)
    w.ack(1)
    assert taken(w, [1, 3, 5, 6], 0, 8) == [5, 6]
    assert taken(w, [1, 3], 0, 4) == []
    assert w.position == 8
    assert w.watermark == 3


@pytest.mark.parametrize("offsets", [[2, 1], [1, 1], [1, 5], [9]])
def test_events_out_of_order_or_out_of_the_stretch_are_refused_as_a_whole(offsets: list[int]) -> None:
    w = window()
    with pytest.raises(InternalError):
        w.take(events(*offsets), 0, 5, PLENTY)
    assert (w.position, len(w.held)) == (0, 0)


def test_what_has_no_room_is_read_again() -> None:
    w = window(max_events=2)
    assert taken(w, [1, 3, 6, 7], 0, 9) == [1, 3]
    assert w.position == 6
    assert taken(w, [6, 7], 6, 9) == []
    w.ack(3)
    assert taken(w, [6, 7], 6, 9) == [6]
    assert w.position == 7
    w.ack(1)
    assert taken(w, [7], 7, 9) == [7]
    assert w.position == 9


def test_bytes_may_be_exceeded_by_the_last_event_only() -> None:
    w = window()
    stretch = [event(0, 40), event(1, 59), event(2, 500), event(3, 1)]
    assert [each.offset for each in w.take(stretch, 0, 4, Room(10, 100))] == [0, 1, 2]
    assert (w.position, w.bytes) == (3, 599)
    assert w.take(stretch, 0, 4, Room(10, 0)) == []
    w.ack(2)
    assert w.bytes == 99


def test_an_event_of_no_bytes_fits_behind_those_that_take_all() -> None:
    w = window()
    assert [each.offset for each in w.take([event(0, 100), event(1, 0)], 0, 2, Room(10, 100))] == [0, 1]


def test_a_stuck_event_makes_its_partition_wait_at_the_span() -> None:
    w = window(max_span=100)
    w.take(events(50), 0, 60, PLENTY)
    assert taken(w, [149, 150], 60, 400) == [149]
    assert w.position == 150
    w.take([], 150, 400, PLENTY)
    assert w.position == 150
    w.ack(50)
    assert taken(w, [150, 248, 249], 150, 400) == [150, 248]
    assert w.position == 249


def test_without_a_stuck_event_the_span_does_not_matter() -> None:
    w = window(max_span=100)
    assert taken(w, [5_000, 5_099, 5_100], 0, 9_000) == [5_000, 5_099]
    w.ack(5_000)
    w.ack(5_099)
    w.take([], 5_100, 9_000, PLENTY)
    assert w.position == 9_000


def test_a_position_that_was_never_committed_is_committable_at_once() -> None:
    assert window(5, None).commit() == (5, "")
    assert window(5, "").commit() is None


def test_only_changes_are_committable() -> None:
    w = window(0, None)
    assert w.commit() == (0, "")
    w.committed(0, "")
    assert w.commit() is None
    w.take(events(0, 1), 0, 2, PLENTY)
    assert w.commit() is None
    w.ack(1)
    commit = w.commit()
    assert commit is not None
    assert decode(*commit) == [(1, 2)]
    assert w.commit() == commit
    w.ack(0)
    w.committed(*commit)
    assert w.commit() == (2, "")


def test_a_new_owner_passes_over_what_was_acked() -> None:
    w = window()
    w.take(events(0, 1, 2, 3, 4), 0, 5, PLENTY)
    w.ack(1)
    w.ack(3)
    commit = w.commit()
    assert commit is not None
    new = window(*commit)
    assert taken(new, [0, 1, 2], 0, 3) == [0, 2]
    # Offset 3 was acked, so it need not be read either.
    assert new.position == 4
    assert taken(new, [2, 3, 4], 2, 5) == [4]
    new.ack(0)
    assert (new.watermark, new.done()) == (2, [(3, 4)])


def test_a_second_fail_over_before_anything_was_read_again_keeps_what_was_acked() -> None:
    w = window()
    w.take(events(*range(10)), 0, 10, PLENTY)
    for offset in (1, 4, 5, 9):
        w.ack(offset)
    commit = w.commit()
    assert commit is not None
    second = window(*commit)
    second.take(events(0, 1, 2), 0, 3, PLENTY)
    second.ack(0)
    commit = second.commit()
    assert commit is not None
    assert commit[0] == 2
    third = window(*commit)
    assert third.done() == [(4, 6), (9, 10)]
    assert taken(third, list(range(2, 12)), 2, 12) == [2, 3, 6, 7, 8, 10, 11]


def test_what_follows_several_acked_runs_is_taken_though_what_lay_between_them_is_gone() -> None:
    w = window()
    w.take(events(*range(10)), 0, 10, PLENTY)
    for offset in (1, 3, 5, 6):
        w.ack(offset)
    commit = w.commit()
    assert commit is not None
    # Compaction removed 2 and 4 in the meantime, or the filter became a narrower one.
    assert taken(window(*commit), [0, 7, 8], 0, 10) == [0, 7, 8]
    assert taken(window(*commit), [3, 5, 6, 9], 0, 10) == [9]


def test_damaged_metadata_costs_duplicates_only() -> None:
    w = window(0, "eb1:garbage")
    assert taken(w, [0, 1], 0, 2) == [0, 1]


def test_metadata_that_does_not_fit_forgets_the_highest_acks_only() -> None:
    offsets = list(range(9_000))
    w = window(max_events=9_000, max_span=10_000)
    w.take(events(*offsets), 0, 9_000, PLENTY)
    for offset in offsets[1::2]:
        w.ack(offset)
    commit = w.commit()
    assert commit is not None
    assert len(commit[1].encode()) <= MAX_BYTES
    again = taken(window(*commit, max_events=9_000, max_span=10_000), offsets, 0, 9_000)
    assert set(again) >= set(offsets[0::2])
    repeated = [offset for offset in again if offset % 2]
    assert repeated == list(range(repeated[0], 9_000, 2))
    assert repeated[0] > 4_000


@settings(max_examples=200)
@given(st.data())
def test_a_window_is_a_set_of_unacked_offsets_below_a_position(data: st.DataObject) -> None:
    matching = data.draw(st.sets(st.integers(0, 80)), label="matching")
    max_events, max_span = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 60))
    kafka, w = (0, ""), Window[None](0, "", max_events, max_span)
    acked: set[int] = set()
    durable: set[int] = set()
    for _ in range(data.draw(st.integers(1, 25))):
        start = data.draw(st.integers(max(0, w.position - 5), w.position))
        end = data.draw(st.integers(start, start + 30))
        room = data.draw(st.integers(0, 10))
        before = w.position
        new = taken(w, [o for o in range(start, end) if o in matching], start, end, Room(room, 10**6))
        wanted = [o for o in range(before, end) if o in matching - acked]
        assert new == wanted[: len(new)]
        assert (
            w.position >= end or len(new) == room or len(w.held) == max_events or w.position - w.watermark >= max_span
        )
        for offset in list(w.held):
            if data.draw(st.booleans()):
                w.ack(offset)
                acked.add(offset)
        unacked = [o for o in sorted(matching) if o < w.position and o not in acked]
        assert list(w.held) == unacked
        assert w.bytes == 10 * len(unacked)
        assert w.watermark == (unacked[0] if unacked else w.position)
        assert len(unacked) <= max_events
        assert w.position - w.watermark <= max_span
        if data.draw(st.booleans()):
            kafka, durable = w.commit() or kafka, set(acked)
            w.committed(*kafka)
            assert {o for run in decode(*kafka) for o in range(*run)} & matching == {o for o in acked if o > kafka[0]}
        if data.draw(st.integers(0, 4)) == 0:
            w, acked = Window(*kafka, max_events, max_span), set(durable)


def test_one_partition_alone_may_use_all_room() -> None:
    windows: Windows[None] = Windows(Bounds(50, 10**6))
    only = windows.add("t", 0, 0, "")
    assert len(windows.take(only, events(*range(100)), 0, 100)) == 50


def test_a_busy_partition_leaves_room_for_a_quiet_one() -> None:
    windows: Windows[None] = Windows(Bounds(50, 10**6))
    busy, quiet = windows.add("t", 0, 0, ""), windows.add("t", 1, 0, "")
    while windows.take(busy, events(*range(busy.position, 100)), busy.position, 100):
        pass
    assert len(busy.held) == 40
    assert len(windows.take(quiet, events(*range(100)), 0, 100)) == 8
    busy.ack(0)
    assert windows.room(busy).events == 0


def test_bytes_are_shared_in_the_same_way() -> None:
    windows: Windows[None] = Windows(Bounds(10**6, 500))
    busy, quiet = windows.add("t", 0, 0, ""), windows.add("t", 1, 0, "")
    while windows.take(busy, events(*range(busy.position, 100)), busy.position, 100):
        pass
    assert 400 <= busy.bytes <= 410
    assert windows.take(quiet, events(*range(100)), 0, 100)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30), st.integers(1, 60)), max_size=40))
def test_the_bounds_of_a_shard_hold(steps: list[tuple[int, int, int]]) -> None:
    windows: Windows[None] = Windows(Bounds(40, 300))
    parts = [windows.add("t", number, 0, "") for number in range(6)]
    for number, count, size in steps:
        part = parts[number]
        room = windows.room(part)
        stretch = [event(part.position + index, size) for index in range(count)]
        got = windows.take(part, stretch, part.position, part.position + count)
        assert len(got) <= room.events
        assert sum(len(each.held) for each in parts) <= 40
        assert sum(each.bytes for each in parts) < 300 + 60
        if sum(len(each.held) for each in parts) > 25:
            for each in parts:
                for offset in list(each.held)[::2]:
                    windows.ack(each, offset)
    for part in parts:
        for offset in list(part.held):
            windows.ack(part, offset)
    assert windows.take(parts[0], [event(parts[0].position, 10_000)], parts[0].position, parts[0].position + 1)


def test_a_partition_has_one_window() -> None:
    windows: Windows[None] = Windows(Bounds(50, 10**6))
    windows.add("t", 0, 0, "")
    with pytest.raises(InternalError):
        windows.add("t", 0, 0, "")


def test_commits_name_only_the_partitions_that_changed() -> None:
    windows: Windows[None] = Windows(Bounds(50, 10**6))
    first, second = windows.add("t", 0, 0, ""), windows.add("u", 1, 7, "")
    assert windows.committable() == []
    windows.take(first, events(0), 0, 1)
    windows.take(second, [], 7, 9)
    assert windows.committable() == [Commit("u", 1, 9, "")]
    windows.ack(first, 0)
    commits = windows.committable()
    assert commits == [Commit("t", 0, 1, ""), Commit("u", 1, 9, "")]
    windows.committed(commits[:1])
    assert windows.committable() == commits[1:]
