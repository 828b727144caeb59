"""Who owns which slot, from joining to being killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from tests.broker import Broker, Node, free_port
from tests.kafka.support import PATIENCE

from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.holdings import Holdings
from eventbus_gateway.kafka.membership import Membership, Terms
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.uptime import uptime

pytestmark = pytest.mark.broker

SLOTS = 12
SESSION = 3.0
ROOT = Path(__file__).parents[2]
_numbers = count()


def test_a_holding_ends_by_the_clock_alone() -> None:
    held = Holdings(9.0)
    assert (held.valid_until(1), held.acquisition(1)) == (float("-inf"), None)
    held.acquire({1: 77, 2: 78}, 100.0)
    assert (held.valid_until(1), held.acquisition(1)) == (109.0, 77)
    assert held.slots() == {1, 2}
    held.prove([1, 3], 105.0)
    assert (held.valid_until(1), held.valid_until(2), held.valid_until(3)) == (114.0, 109.0, float("-inf"))
    held.prove([1], 104.0)
    assert held.valid_until(1) == 114.0
    held.end_at([1, 3], 106.0)
    held.end_at([2], 200.0)
    assert (held.valid_until(1), held.valid_until(2)) == (106.0, 109.0)
    held.acquire({1: 79}, 120.0)
    assert (held.valid_until(1), held.acquisition(1)) == (129.0, 79)
    held.drop([1, 3])
    assert held.slots() == {2}


class Worker:
    """Writes down what it is told, and can take its time to give slots back."""

    def __init__(self) -> None:
        self.log: list[tuple[str, frozenset[int]]] = []
        self.acquisitions: dict[int, int] = {}
        self.released_at: dict[int, float] = {}
        self.may_release = asyncio.Event()
        self.may_release.set()
        self.changed = asyncio.Event()
        self.owned: set[int] = set()
        self.membership: Membership

    def assigned(self, acquisitions: Mapping[int, int]) -> None:
        assert all(self.membership.holds(slot) for slot in acquisitions)
        self.acquisitions.update(acquisitions)
        self.owned |= acquisitions.keys()
        self._note("assigned", frozenset(acquisitions))

    async def revoked(self, slots: frozenset[int]) -> None:
        self._note("revoking", slots)
        await self.may_release.wait()
        self.owned -= slots
        self.released_at.update(dict.fromkeys(slots, uptime()))
        self._note("revoked", slots)

    def lost(self, slots: frozenset[int]) -> None:
        self.owned -= slots
        self._note("lost", slots)

    def _note(self, what: str, slots: frozenset[int]) -> None:
        self.log.append((what, slots))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait until something that changes with the slots holds; says when it did."""
        while not condition():
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), PATIENCE)
            except TimeoutError:
                raise AssertionError(f"waited in vain; it owns {sorted(self.owned)} after {self.log}") from None
        return uptime()

    def kinds(self) -> list[str]:
        return [what for what, _ in self.log]


@contextlib.asynccontextmanager
async def member(bootstrap: str, terms: Terms, **settings: Any) -> AsyncIterator[Worker]:
    worker = Worker()
    fast = KafkaSettings(
        bootstrap_servers=bootstrap, probe_seconds=0.1, reconnect_backoff_max_seconds=0.2, **settings
    )
    worker.membership = Membership(fast, terms, worker)
    worker.membership.start()
    try:
        yield worker
    finally:
        worker.may_release.set()
        await worker.membership.close(10)


@contextlib.asynccontextmanager
async def process(bootstrap: str, terms: Terms) -> AsyncIterator["Process"]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.kafka.member_process", bootstrap, terms.topic, terms.group, str(terms.session_seconds)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(child)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


class Process:
    """A member in another process."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        # What it finds by itself and what Kafka's client tells it come in any order.
        self._unheard: list[dict[str, Any]] = []

    async def said(self, what: str) -> dict[str, Any]:
        """The first line of a kind that was not asked for yet."""
        assert self.child.stdout is not None
        while (told := next((line for line in self._unheard if line["what"] == what), None)) is None:
            line = await asyncio.wait_for(self.child.stdout.readline(), PATIENCE)
            assert line, f"ended before it said {what}"
            self._unheard.append(json.loads(line))
        self._unheard.remove(told)
        return told

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)


@pytest.fixture(scope="module")
def groups() -> Iterator[Broker]:
    """A broker that allows short sessions."""
    with Broker({"group.min.session.timeout.ms": "500"}) as one:
        yield one


@pytest.fixture
def terms(groups: Broker) -> Terms:
    """A group of its own."""
    name = f"slots-{next(_numbers)}"
    groups.create_topic(name, SLOTS)
    return Terms(name, f"{name}.members", SESSION, 5.0)


def test_members_share_all_slots_and_take_over_at_once_what_one_gives_back(groups: Broker, terms: Terms) -> None:
    async def run() -> None:
        async with member(groups.bootstrap, terms) as a:
            await a.until(lambda: len(a.owned) == SLOTS)
            before = dict(a.acquisitions)
            assert len(set(before.values())) == SLOTS
            async with member(groups.bootstrap, terms) as b:
                began = uptime()
                assert await b.until(lambda: len(b.owned) == SLOTS // 2) - began < SESSION
                async with member(groups.bootstrap, terms) as c:
                    await c.until(lambda: len(c.owned) == SLOTS // 3)
                    await a.until(lambda: len(a.owned) == SLOTS // 3)
                    await b.until(lambda: len(b.owned) == SLOTS // 3)
                    assert a.owned | b.owned | c.owned == set(range(SLOTS))
                    assert a.membership.slots() == a.owned
                    began = uptime()
                await a.until(lambda: len(a.owned) == SLOTS // 2)
                took = await b.until(lambda: len(b.owned) == SLOTS // 2) - began
                assert took < 0.9 * SESSION, "they waited for the session timeout"
                # What stayed where it was is the same acquisition, what moved and came back is another one.
                moved = {slot for slot in range(SLOTS) if a.acquisitions[slot] != before[slot]}
                revoked = set().union(*(slots for what, slots in a.log if what == "revoked"))
                assert moved <= revoked
                assert "lost" not in [*a.kinds(), *b.kinds(), *c.kinds()]

    asyncio.run(run())


def test_the_next_owner_starts_only_when_the_former_one_has_finished(groups: Broker, terms: Terms) -> None:
    async def run() -> None:
        async with member(groups.bootstrap, terms) as a:
            await a.until(lambda: len(a.owned) == SLOTS)
            a.may_release.clear()
            async with member(groups.bootstrap, terms) as b:
                await a.until(lambda: "revoking" in a.kinds())
                ((_, slots),) = [entry for entry in a.log if entry[0] == "revoking"]
                assert all(a.membership.holds(slot) for slot in slots), "final commits are still allowed"
                assert not b.owned
                a.may_release.set()
                assert await b.until(lambda: b.owned == slots) >= max(a.released_at.values())
                assert not any(a.membership.holds(slot) for slot in slots)

    asyncio.run(run())


def test_whoever_takes_too_long_to_give_slots_back_does_not_hold_them_any_more(groups: Broker, terms: Terms) -> None:
    async def run() -> None:
        hasty = terms._replace(release_seconds=0.5)
        async with member(groups.bootstrap, hasty) as a:
            await a.until(lambda: len(a.owned) == SLOTS)
            a.may_release.clear()
            async with member(groups.bootstrap, hasty) as b:
                await b.until(lambda: len(b.owned) == SLOTS // 2)
                assert not any(a.membership.holds(slot) for slot in b.owned)
                assert len(a.membership.slots()) == SLOTS // 2

    asyncio.run(run())


def test_slots_of_a_killed_process_are_taken_over_after_the_session(groups: Broker, terms: Terms) -> None:
    async def run() -> None:
        async with process(groups.bootstrap, terms) as other:
            await other.said("assigned")
            async with member(groups.bootstrap, terms) as a:
                await a.until(lambda: len(a.owned) == SLOTS // 2)
                killed = uptime()
                other.signal(signal.SIGKILL)
                took = await a.until(lambda: len(a.owned) == SLOTS) - killed
                assert SESSION * 0.5 < took < SESSION * 3

    asyncio.run(run())


def test_a_process_that_was_stopped_for_too_long_holds_nothing_from_its_first_instruction_on(
    groups: Broker, terms: Terms
) -> None:
    async def run() -> None:
        async with process(groups.bootstrap, terms) as other:
            await other.said("assigned")
            async with member(groups.bootstrap, terms) as a:
                await a.until(lambda: len(a.owned) == SLOTS // 2)
                other.signal(signal.SIGSTOP)
                await a.until(lambda: len(a.owned) == SLOTS)
                other.signal(signal.SIGCONT)
                assert (await other.said("resumed"))["slots"] == []
                assert len((await other.said("lost"))["slots"]) == SLOTS // 2
                assert len((await other.said("assigned"))["slots"]) == SLOTS // 2, "it joins again"
                assert other.child.stdin is not None
                other.child.stdin.close()
                assert (await other.said("left"))["slots"] == []

    asyncio.run(run())


_STOPPED_COMMIT = """
import sys, threading
from confluent_kafka import Consumer, TopicPartition
bootstrap, topic, session = sys.argv[1:]
config = {"bootstrap.servers": bootstrap, "group.id": topic, "session.timeout.ms": int(session),
          "heartbeat.interval.ms": 300, "enable.auto.commit": False, "log_level": 0,
          "partition.assignment.strategy": "cooperative-sticky"}
consumer = Consumer(config)
consumer.subscribe([topic])
while not consumer.assignment():
    consumer.poll(0.1)
place = [TopicPartition(topic, 0, 0)]
consumer.commit(offsets=place, asynchronous=False)
print("ready", flush=True)
sys.stdin.readline()
try:
    consumer.commit(offsets=place, asynchronous=False)
    print("accepted", flush=True)
except Exception as error:
    print(error.args[0].name(), flush=True)
"""


def test_kafka_refuses_the_commit_of_a_process_that_was_stopped_for_too_long(groups: Broker, terms: Terms) -> None:
    async def run() -> None:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _STOPPED_COMMIT, groups.bootstrap, terms.topic, "1000"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert await asyncio.wait_for(child.stdout.readline(), PATIENCE) == b"ready\n"
            os.kill(child.pid, signal.SIGSTOP)
            # Another member makes sure that the group is not empty: an empty one would take commits from anybody.
            other = Terms(terms.topic, terms.topic, 1.0, 1.0)
            async with member(groups.bootstrap, other) as a:
                await a.until(lambda: len(a.owned) == SLOTS)
                child.stdin.write(b"\n")
                os.kill(child.pid, signal.SIGCONT)
                answer = (await asyncio.wait_for(child.stdout.readline(), PATIENCE)).decode().strip()
                assert answer in {"UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    asyncio.run(run())


def test_during_an_outage_nothing_is_held_after_the_session_and_everything_again_afterwards() -> None:
    async def run(broker: Broker) -> None:
        await asyncio.to_thread(broker.create_topic, "slots", SLOTS)
        async with member(broker.bootstrap, Terms("slots", "members", SESSION, 1.0)) as a:
            await a.until(lambda: len(a.owned) == SLOTS)
            first = dict(a.acquisitions)
            await asyncio.to_thread(broker.kill)
            until = max(map(a.membership.valid_until, range(SLOTS)))
            assert until < uptime() + SESSION
            await a.until(lambda: "lost" in a.kinds())
            assert uptime() >= until
            assert a.membership.slots() == frozenset()
            await asyncio.to_thread(broker.restart)
            await a.until(lambda: len(a.owned) == SLOTS)
            assert not set(first.values()) & set(a.acquisitions.values())

    with Broker({"group.min.session.timeout.ms": "500"}) as broker:
        asyncio.run(run(broker))


def test_the_topic_may_be_missing_at_the_start(groups: Broker) -> None:
    async def run() -> None:
        terms = Terms("slots-missing", "slots-missing", SESSION, 1.0)
        async with member(groups.bootstrap, terms) as a:
            deadline = time.monotonic() + PATIENCE
            while a.membership.trouble is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)
            assert "slots-missing does not exist" in a.membership.trouble
            await asyncio.to_thread(groups.create_topic, "slots-missing", SLOTS)
            await a.until(lambda: len(a.owned) == SLOTS)
            assert a.membership.trouble is None

    asyncio.run(run())


def test_leaving_ends_in_time_also_when_kafka_is_away() -> None:
    node = Node(0, free_port(), free_port())

    async def run() -> None:
        async with member(f"127.0.0.1:{node.port}", Terms("t", "g", SESSION, 1.0)) as a:
            began = uptime()
            await a.membership.close(1.0)
            assert uptime() - began < 5.0
            assert not a.membership.holds(0)

    asyncio.run(run())


def test_a_single_process_owns_everything_on_the_embedded_kafka() -> None:
    async def run(bootstrap: str) -> None:
        terms = Terms("slots", "members", 6.0, 1.0)
        async with member(bootstrap, terms) as a:
            await a.until(lambda: len(a.owned) == SLOTS)
            first = max(map(a.membership.valid_until, range(SLOTS)))
            deadline = time.monotonic() + PATIENCE
            while max(map(a.membership.valid_until, range(SLOTS))) <= first:
                assert time.monotonic() < deadline, "no further proof"
                await asyncio.sleep(0)
            await a.membership.close(10)
            assert a.kinds()[-1] == "revoked"

    with EmbeddedKafka({"slots": SLOTS}) as kafka:
        asyncio.run(run(kafka.bootstrap))


def test_an_empty_group_takes_commits_from_anybody_so_that_such_a_commit_proves_nothing(groups: Broker) -> None:
    groups.create_topic("simple")
    config: dict[str, Any] = {
        "bootstrap.servers": groups.bootstrap,
        "group.id": "simple",
        "enable.auto.commit": False,
    }
    consumer = Consumer(config)
    try:
        (place,) = consumer.commit(offsets=[TopicPartition("simple", 0, 0)], asynchronous=False) or []
        assert place.error is None or place.error.code() == KafkaError.NO_ERROR
    finally:
        consumer.close()
