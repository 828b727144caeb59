"""Records on their way into a shard: what is wanted, what has to wait, and what stops for lack of room."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from eventbus_gateway.errors import CorruptRecord, RegistryUnavailable, SchemaMissing, TopicUnreadable
from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.intake import Intake
from eventbus_gateway.subscriptions.leased import Leased, Order
from eventbus_gateway.subscriptions.letters import LetterTopic
from eventbus_gateway.subscriptions.matchings import Matchings
from eventbus_gateway.subscriptions.outgoing import Opened, Outgoing
from eventbus_gateway.subscriptions.patterns import Pattern, compile_filter
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.terms import Term
from eventbus_gateway.subscriptions.windows import Bounds

LETTERS = "care.dlq"
ORDER: Order = "none"


class JsonCodec:
    """Records that are JSON behind the frame; counts how many were decoded."""

    name = "visit"

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, data: bytes, start: int) -> Any:
        self.decoded += 1
        try:
            return json.loads(data[start:])
        except ValueError:
            raise CorruptRecord from None


class Registry:
    """Has schema 1 once it is let go; refuses as often as it is told to before that."""

    def __init__(self, refusals: int = 0) -> None:
        self.codec = JsonCodec()
        self.refusals = refusals
        self.is_loaded = False
        self.may_answer = asyncio.Event()

    def ready(self, schema_id: SchemaId) -> JsonCodec | None:
        return self.codec if self.is_loaded and schema_id == 1 else None

    async def load(self, schema_id: SchemaId) -> JsonCodec:
        await self.may_answer.wait()
        if self.refusals:
            self.refusals -= 1
            raise RegistryUnavailable
        if schema_id != 1:
            raise SchemaMissing
        self.is_loaded = True
        return self.codec


class Resumed:
    """Who is told to read on, and that it was told."""

    def __init__(self) -> None:
        self.places: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()

    def resume(self, topic: str, partition: int, offset: int) -> None:
        self.places.put_nowait((topic, partition, offset))


class Bench:
    """An intake with its supply."""

    def __init__(
        self, pattern: dict[str, Any] | None = None, registry: Registry | None = None, most: int = 100
    ) -> None:
        self.registry = registry or Registry()
        self.supply: Supply[Consumed] = Supply(0, 1, ("visits", LETTERS), Bounds(most, 10_000_000), ORDER)
        self.supply.add("visits", 0, 0, None)
        form = Form("visits", True, False, "/s", None, self.registry)
        outgoing = Outgoing(form)
        self.restarts: list[tuple[str, int, int]] = []
        self.kept: list[Leased[Consumed]] = []
        compiled = compile_filter(pattern) if pattern is not None else None
        self.intake = Intake(
            self.supply,
            wanted(compiled),
            lambda _: outgoing,
            LetterTopic(LETTERS, "team.care", frozenset({"visits"})),
            lambda: None,
            lambda *place: self.restarts.append(place),
            self.kept.extend,
        )
        self.resumed = Resumed()
        self.intake.source = self.resumed

    def offsets(self) -> list[int]:
        """The offsets that would be handed out."""
        hand_outs = self.supply.hand_out(1_000, 10_000_000, Term(0.0))
        return [offset for one in hand_outs for offset in one.offsets]


def wanted(pattern: Pattern | None) -> Callable[[Opened], bool] | None:
    if pattern is None:
        return None
    return lambda opened: Matchings().wants("one", pattern, opened)


def record(offset: int, data: Any = None, schema: int = 1, topic: str = "visits") -> Consumed:
    value = b"\0" + schema.to_bytes(4, "big") + json.dumps(data).encode()
    return Consumed.of(topic, 0, offset, 1_700_000_000_000, b"k", value, NO_HEADERS)


def dead(
    offset: int, number: int | None = None, subscription: bytes = b"team.care", origin: bytes = b"visits"
) -> Consumed:
    names, values = ("eventbus-subscription", "eventbus-origin-topic"), (subscription, origin)
    return record(offset, {"n": number}, topic=LETTERS)._replace(names=names, values=values)


def records(start: int, stop: int) -> Sequence[Consumed]:
    return [record(offset, {"n": offset}) for offset in range(start, stop)]


def test_everything_is_taken_without_a_filter_and_no_schema_is_needed() -> None:
    async def go() -> None:
        bench = Bench()
        assert bench.intake.take("visits", 0, records(0, 3), 5)
        assert bench.offsets() == [0, 1, 2]
        assert bench.supply.position("visits", 0) == 5

    asyncio.run(go())


def test_what_stands_behind_a_record_whose_schema_is_missing_waits_with_it() -> None:
    async def go() -> None:
        bench = Bench({"data": {"n": [0, 2]}})
        assert not bench.intake.take("visits", 0, records(0, 3), 3)
        assert bench.supply.position("visits", 0) == 0
        bench.registry.may_answer.set()
        assert await bench.resumed.places.get() == ("visits", 0, 0)
        assert bench.intake.take("visits", 0, records(0, 3), 3)
        assert bench.offsets() == [0, 2]

    asyncio.run(go())


def test_a_registry_that_is_away_is_asked_again_and_the_trouble_is_told_meanwhile() -> None:
    async def go() -> None:
        bench = Bench({"data": {"n": [0]}}, Registry(refusals=1))
        bench.intake.take("visits", 0, records(0, 1), 1)
        bench.registry.may_answer.set()
        await bench.resumed.places.get()
        assert not bench.registry.refusals
        assert bench.intake.troubles == {}

    asyncio.run(go())


def test_a_record_whose_schema_does_not_exist_is_decided_by_its_attributes_and_holds_nothing_up() -> None:
    async def go() -> None:
        bench = Bench({"data": {"n": [1]}})
        bench.registry.may_answer.set()
        both = [record(0, {"n": 1}, schema=9), record(1, {"n": 1})]
        assert not bench.intake.take("visits", 0, both, 2)
        assert await bench.resumed.places.get() == ("visits", 0, 0)
        assert not bench.intake.take("visits", 0, both, 2)  # the first one is decided, the second needs its own
        assert await bench.resumed.places.get() == ("visits", 0, 1)
        assert bench.intake.take("visits", 0, both[1:], 2)
        assert bench.offsets() == [1]

    asyncio.run(go())


def test_a_partition_that_is_full_stops_and_goes_on_once_there_is_room() -> None:
    async def go() -> None:
        bench = Bench(most=4)
        assert not bench.intake.take("visits", 0, records(0, 6), 6)
        assert bench.supply.position("visits", 0) == 4
        bench.intake.go_on()
        assert bench.resumed.places.empty()
        source = bench.supply.partitions[0, 0]
        for one in bench.supply.hand_out(2, 10_000, Term(0.0)):
            bench.supply.ack(source, *one.offsets)
        bench.intake.go_on()
        assert bench.resumed.places.get_nowait() == ("visits", 0, 4)
        bench.intake.go_on()
        assert bench.resumed.places.empty()

    asyncio.run(go())


def test_dead_letters_are_taken_up_to_what_was_asked_for() -> None:
    async def go() -> None:
        bench = Bench({"data": {"n": ["none of them"]}})
        bench.supply.add(LETTERS, 0, 0, None)
        letters = [dead(offset) for offset in range(4)]
        assert not bench.intake.take(LETTERS, 0, letters, 4)
        assert bench.offsets() == []
        bench.intake.allow_letters({0: 2}, None)
        assert not bench.intake.take(LETTERS, 0, letters, 4)
        assert bench.offsets() == [0, 1]
        assert bench.supply.position(LETTERS, 0) == 2

    asyncio.run(go())


def test_only_dead_letters_of_the_subscription_and_of_what_it_reads_come_back() -> None:
    async def go() -> None:
        bench = Bench()
        bench.supply.add(LETTERS, 0, 0, None)
        bench.intake.allow_letters({0: 4}, None)
        foreign = [dead(0, subscription=b"other.care"), dead(1, origin=b"payroll"), record(2, topic=LETTERS), dead(3)]
        assert bench.intake.take(LETTERS, 0, foreign, 4)
        assert bench.offsets() == [3]
        assert bench.supply.position(LETTERS, 0) == 4

    asyncio.run(go())


def test_dead_letters_that_a_redrive_does_not_want_are_held_and_not_handed_out() -> None:
    async def go() -> None:
        bench = Bench()
        bench.registry.is_loaded = True
        bench.supply.add(LETTERS, 0, 0, None)
        bench.intake.allow_letters({0: 4}, compile_filter({"data": {"n": [1, 3]}}))
        letters = [dead(offset, offset) for offset in range(4)]
        assert bench.intake.take(LETTERS, 0, letters, 4)
        assert bench.offsets() == [1, 3]
        assert [(each.event.offset, each.event.payload) for each in bench.kept] == [
            (0, letters[0]),
            (2, letters[2]),
        ]
        assert bench.supply.partitions[1, 0].window.watermark == 0

    asyncio.run(go())


def test_a_redrive_waits_for_the_schema_that_its_filter_needs() -> None:
    async def go() -> None:
        bench = Bench()
        bench.registry.may_answer.set()
        bench.supply.add(LETTERS, 0, 0, None)
        bench.intake.allow_letters({0: 2}, compile_filter({"data": {"n": [1]}}))
        letters = [dead(offset, offset) for offset in range(2)]
        assert not bench.intake.take(LETTERS, 0, letters, 2)
        assert await bench.resumed.places.get() == (LETTERS, 0, 0)
        assert bench.intake.take(LETTERS, 0, letters, 2)
        assert (bench.offsets(), [each.event.offset for each in bench.kept]) == ([1], [0])

    asyncio.run(go())


def test_what_is_gone_is_passed_over_and_told() -> None:
    async def go() -> None:
        bench = Bench()
        bench.intake.lost("visits", 0, 0, 7)
        assert bench.intake.losses == {("visits", 0): (0, 7)}
        assert bench.supply.position("visits", 0) == 7
        assert bench.restarts == []

    asyncio.run(go())


def test_a_topic_that_begins_below_what_was_read_needs_another_state() -> None:
    async def go() -> None:
        bench = Bench()
        bench.intake.take("visits", 0, records(0, 3), 3)
        bench.intake.lost("visits", 0, 3, 0)
        assert bench.restarts == [("visits", 0, 0)]

    asyncio.run(go())


def test_why_a_partition_cannot_be_read_is_told_until_it_can() -> None:
    async def go() -> None:
        bench = Bench()
        bench.intake.troubled("visits", 0, TopicUnreadable())
        assert list(bench.intake.troubles) == [("visits", 0)]
        bench.intake.troubled("visits", 0, None)
        assert bench.intake.troubles == {}

    asyncio.run(go())


@pytest.mark.parametrize("readers", [1, 2, 300])
def test_a_record_is_decoded_once_however_many_filters_look_at_it(readers: int) -> None:
    registry = Registry()
    registry.is_loaded = True
    outgoing = Outgoing(Form("visits", True, False, "/s", None, registry))
    matchings = Matchings()
    patterns = {reader: compile_filter({"data": {"n": [reader % 7, "none"]}}) for reader in range(readers)}
    for reader, pattern in patterns.items():
        matchings.add(reader, pattern, ["visits"])
    for one in records(0, 10):
        found = {
            reader for reader, pattern in patterns.items() if matchings.wants(reader, pattern, outgoing.open(one))
        }
        assert found == {reader for reader in patterns if reader % 7 == one.offset}
    assert registry.codec.decoded == 10


def test_a_filter_that_comes_or_goes_counts_for_records_that_were_looked_at_before() -> None:
    registry = Registry()
    registry.is_loaded = True
    outgoing = Outgoing(Form("visits", True, False, "/s", None, registry))
    matchings = Matchings()
    all_, none = compile_filter({"type": [{"exists": True}]}), compile_filter({"type": ["another"]})
    matchings.add("all", all_, ["visits"])
    matchings.add("none", none, ["visits"])
    opened = outgoing.open(record(0, {}))
    assert matchings.wants("all", all_, opened)
    assert not matchings.wants("none", none, opened)
    matchings.remove("none", ["visits"])
    matchings.add("late", all_, ["visits"])
    assert matchings.wants("late", all_, opened)
    assert matchings.wants("all", all_, opened)
