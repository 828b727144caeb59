"""Load that keeps books, and the audit of the books against the log.

It knows nothing about how events get into Kafka: ``Publish`` can be the producer itself or a client of the HTTP API.
Every record's value is unique, so each line of the books can be looked up in the log.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import NamedTuple

from tests.kafka.support import PATIENCE, LoggedRecord

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.flight import UNTOLD
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored

Publish = Callable[[str, Sequence[Record]], Awaitable[list[Outcome]]]
"""Publishes one request; a refusal of the whole request is one ``NotStored`` per record."""


def through(sink: KafkaProducer) -> Publish:
    """Publishing straight through the producer."""

    async def publish(topic: str, records: Sequence[Record]) -> list[Outcome]:
        try:
            return await sink.send(topic, records)
        except GatewayError as refusal:
            return [NotStored(refusal)] * len(records)

    return publish


_DELIVERY_MS = 20_000


class Entry(NamedTuple):
    """One record and what the caller was told."""

    record: Record
    outcome: Outcome


class Ledger:
    """What callers sent and what they were told, in the order of their answers."""

    def __init__(self, publish: Publish, topic: str) -> None:
        self.entries: list[Entry] = []
        self._publish = publish
        self._topic = topic
        self._stop = asyncio.Event()
        self._progress = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []

    def start(self, *, sequential: int, batches: int, batch_size: int = 50) -> None:
        """Start callers that each wait for their answer: some send one record at a time, some whole batches."""
        loop = asyncio.get_running_loop()
        for number in range(sequential):
            self._callers.append(loop.create_task(self._call(f"s{number}", 1)))
        for number in range(batches):
            self._callers.append(loop.create_task(self._call(f"b{number}", batch_size)))

    async def finish(self) -> None:
        """Let every caller get its last answer."""
        self._stop.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._callers)

    def count(self, kind: type) -> int:
        """How many records had this outcome."""
        return sum(type(entry.outcome) is kind for entry in self.entries)

    async def more_stored(self, number: int) -> None:
        """Wait until so many further records are stored."""
        start = self.count(Stored)
        async with asyncio.timeout(PATIENCE):
            while self.count(Stored) < start + number:
                self._progress.clear()
                await self._progress.wait()

    async def _call(self, caller: str, size: int) -> None:
        # Batches carry three keys, mixed; nobody else uses a caller's keys.
        keys = [caller.encode()] if size == 1 else [f"{caller}.{n}".encode() for n in range(3)]
        numbers = count()
        while not self._stop.is_set():
            records = [self._record(keys[n % len(keys)], next(numbers)) for n in range(size)]
            outcomes = await self._publish(self._topic, records)
            self.entries.extend(map(Entry, records, outcomes))
            self._progress.set()
            if any(type(outcome) is NotStored for outcome in outcomes):
                # As a caller would that reads Retry-After, only sooner.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 0.02)

    def _record(self, key: bytes, number: int) -> Record:
        value = b"%s#%08d" % (key, number)
        return Record(key, value + b"." * 100, [("ce_id", value)])


def audit(entries: Sequence[Entry], log: Sequence[LoggedRecord]) -> int:
    """Compare the books with the log.

    - every stored record is where its receipt says, and whole;
    - nothing that was answered as not stored is in the log, and nothing that nobody sent;
    - the stored records of a key are in the order in which its caller sent them.

    Returns:
        How many records are in the log a second time. The client can do that when leaders change while another batch
        makes it ask for a new epoch (librdkafka issue 4953); what the gateway promises is "at least once".
    """
    copies: dict[bytes | None, list[LoggedRecord]] = defaultdict(list)
    for logged in log:
        copies[logged.value].append(logged)
    sent = {entry.record.value for entry in entries}
    assert not [value for value in copies if value not in sent], "the log has a record that nobody sent"
    order: dict[bytes | None, list[int]] = defaultdict(list)
    for record, outcome in entries:
        if isinstance(outcome, Stored):
            order[record.key].append(_audit_receipt(record, outcome, copies[record.value]))
        elif isinstance(outcome, NotStored):
            assert record.value not in copies, "a record that is answered as not stored is in the log"
    for offsets in order.values():
        assert offsets == sorted(offsets), "the records of a key are in another order than they were sent"
    return sum(len(places) - 1 for places in copies.values())


def _audit_receipt(record: Record, outcome: Stored, places: Sequence[LoggedRecord]) -> int:
    """Check one stored record; returns the offset where it is first."""
    assert places, "a stored record is missing"
    first = places[0]
    assert all((found.key, found.value, found.headers) == record[:3] for found in places), (
        "a stored record has changed"
    )
    assert {found.partition for found in places} == {outcome.partition}, "a stored record is in another partition"
    told = {found.offset for found in places} | {UNTOLD}
    assert outcome.offset in told, "another record is at the place of a receipt"
    # Where an acknowledgement was lost, the broker answers the second attempt with the newest timestamp of the batch.
    assert 0 <= outcome.timestamp - first.timestamp < _DELIVERY_MS
    return first.offset
