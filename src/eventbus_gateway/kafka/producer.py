"""The way into Kafka: hands records over and tells what became of each."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka import KafkaException

from eventbus_gateway.errors import (
    EventTooLarge,
    GatewayError,
    KafkaUnavailable,
    NotAttempted,
    Overloaded,
    QuotaExceeded,
)
from eventbus_gateway.kafka.client import NOT_TAKEN, Client
from eventbus_gateway.kafka.configuration import producer_config, second_try_config
from eventbus_gateway.kafka.events import ProducerEvent, ProducerStatus
from eventbus_gateway.kafka.flight import UNUSABLE, Batch, Flight, Single, size_of
from eventbus_gateway.kafka.isolation import Isolation
from eventbus_gateway.kafka.lifeline import Lifeline
from eventbus_gateway.kafka.records import NotStored, Outcome, Record
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.statistics import Statistics
from eventbus_gateway.kafka.verdicts import not_taken

_EXPIRY_SECONDS = 0.1
"""How exactly deadlines are kept."""
_LOST_AFTER = 3.0
"""Delivery timeouts after which a report that has not come never will."""
_THROTTLE_MEMORY_SECONDS = 5.0

_TOO_LARGE = NotStored(EventTooLarge("The encoded event is larger than the gateway sends"))
_NEIGHBOUR = NotStored(NotAttempted("Another event of the request cannot be sent; none of them was"))
_BEHIND = NotStored(NotAttempted("An earlier event of the request was not taken; this one would overtake it"))


class KafkaProducer:
    """A ``RecordSink`` on one idempotent librdkafka producer.

    All methods belong to the event loop that called ``start()``, which must run in the process that publishes:
    clients do not survive a fork.

    Args:
        settings: how to reach Kafka and how much may be in flight.
        on_event: told about rare incidents, on the loop; must neither block nor raise.
        clock: monotonic seconds, against which deadlines are measured.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        on_event: Callable[[ProducerEvent], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self.statistics = Statistics(settings.statistics_seconds)
        self._clock = clock
        self._max_records = settings.max_in_flight_records
        self._max_bytes = settings.max_in_flight_bytes
        self._max_record_bytes = settings.max_record_bytes
        self._client: Client | None = None
        self._departing: list[Single] = []
        self._produce: Callable[..., None] = _no_client
        self._refusal: Callable[[], GatewayError] | None = KafkaUnavailable
        self._drained: asyncio.Future[None] | None = None
        self._next_expiry = 0.0
        self._throttled_until = float("-inf")
        self._flight = Flight(self._second_try)
        self._isolation = Isolation(second_try_config(settings), clock)
        self._lifeline = Lifeline(settings, self._make_client, self._client_changed, on_event)

    async def start(self) -> None:
        """Create the client and read all topics, so that the first publish to each does not have to.

        Kafka need not be reachable: then publishes are refused until it is.

        Raises:
            InternalError: librdkafka refuses the configuration.
        """
        loop = asyncio.get_running_loop()
        self._new_future, self._call_soon = loop.create_future, loop.call_soon
        await self._lifeline.start()

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        """Hand over all records of one request, in order.

        Args:
            topic: name of an existing topic.
            records: at least one.

        Returns:
            A future with one outcome per record, in the order given; it always completes within the delivery timeout
            and never with an exception.

        Raises:
            Unavailable: nothing was handed over (Kafka is down, a bound is reached, the gateway shuts down).
            QuotaExceeded: nothing was handed over; a bound is reached while a Kafka quota slows us down.
        """
        if self._refusal is not None:
            raise self._refusal()
        count = len(records)
        if count == 1:
            return self._send_one(topic, records[0])
        flight = self._flight
        future = self._new_future()
        if not count:
            future.set_result([])
            return future
        try:
            size = sum([record.size or size_of(record) for record in records])
        except UNUSABLE:
            return self._kept_out(future, records)
        if flight.records + count > self._max_records or flight.bytes + size > self._max_bytes:
            raise self._at_bound()
        if size > self._max_record_bytes and any(size_of(record) > self._max_record_bytes for record in records):
            return self._kept_out(future, records)
        batch = Batch(flight, future, topic, records, size, self._clock())
        self._depart(batch, count, size)
        produce, delivered = self._produce, batch.delivered
        index = 0
        try:
            for index, (key, value, headers, _) in enumerate(records):
                produce(topic, value, key, -1, partial(delivered, index), None, 0, headers)
        except NOT_TAKEN as error:
            batch.refuse_from(index, [self._not_taken(error)] + [_BEHIND] * (count - index - 1))
        return future

    async def topics(self) -> Mapping[str, int]:
        """All topics that Kafka shows us, with their number of partitions.

        It also renews what the client believes about each, so the first publish to a topic does not have to ask.

        Raises:
            KafkaUnavailable: no broker answered within the metadata timeout.
        """
        return await self._lifeline.topics()

    def status(self) -> ProducerStatus:
        """What to show on gauges and status pages."""
        flight = self._flight
        oldest = flight.oldest()
        age = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
        return ProducerStatus(self._refusal is None, flight.records, flight.bytes, age, self._lifeline.replaced)

    async def drain(self, seconds: float) -> int:
        """Refuse new requests, wait for those in flight, release the client.

        Args:
            seconds: how long to wait; requests without an outcome by then are answered as unknown.

        Returns:
            How many records were left without a report.
        """
        self._lifeline.refuse()
        self._drained = self._new_future()
        if self._flight.pending:
            await asyncio.wait([self._drained], timeout=seconds)
        left = self._flight.records
        self._flight.abandon()
        self._isolation.close()
        await self._lifeline.close()
        return left

    # What the client reports.

    def busy(self) -> bool:
        """Whether the client has to be polled often."""
        return self._flight.records > 0

    def polled(self, now: float) -> None:
        """Keep the deadlines."""
        flight = self._flight
        if self._drained is not None and not flight.pending and not self._drained.done():
            self._drained.set_result(None)
        if now < self._next_expiry:
            return
        self._next_expiry = now + _EXPIRY_SECONDS
        deadline = self._settings.delivery_timeout_seconds
        flight.expire(now - deadline)
        if flight.has_lost_reports(now - _LOST_AFTER * deadline):
            self._lifeline.emit("reports_lost", "records were never reported on")
            self.failed_for_good("reports lost")

    def connection_failed(self, code: int) -> None:
        """A connection or all of them failed."""
        self._flight.disturbed_at = self._clock()
        self._lifeline.report(code)

    def throttled(self, seconds: float) -> None:
        """Remember it, so that callers at a bound learn the reason."""
        if seconds > 0:
            self._throttled_until = self._clock() + max(seconds, _THROTTLE_MEMORY_SECONDS)
            self._lifeline.emit("throttled", "a broker delays the gateway because of a quota")

    def failed_for_good(self, reason: str) -> None:
        """Everything in flight is unknown; a new client takes over."""
        self._lifeline.replace(reason)
        # Only now: replacing rescues the reports that were waiting.
        flight, self._flight = self._flight, Flight(self._second_try)
        flight.abandon()

    # Inside.

    def _send_one(self, topic: str, record: Record) -> asyncio.Future[list[Outcome]]:
        flight = self._flight
        future = self._new_future()
        try:
            size = record[3] or size_of(record)
        except UNUSABLE:
            return self._kept_out(future, (record,))
        if flight.records >= self._max_records or flight.bytes + size > self._max_bytes:
            raise self._at_bound()
        if size > self._max_record_bytes:
            return self._kept_out(future, (record,))
        single = Single(flight, future, topic, record, size, self._clock())
        self._depart(single, 1, size)
        if not self._departing:
            self._call_soon(self._hand_over)
        self._departing.append(single)
        return future

    def _hand_over(self) -> None:
        """Give the client, in one go, the records of all requests that the loop has just worked on.

        Handed over one by one, nearly each would wake librdkafka's thread and become a batch of its own: measured,
        that cost a fifth of the whole publish.
        """
        departing, self._departing = self._departing, []
        produce = self._produce
        for single in departing:
            if single.flight is not self._flight:
                continue  # the client was replaced meanwhile, and the request is answered as unknown
            record = single.record
            try:
                produce(single.topic, record.value, record.key, -1, single, None, 0, record.headers)
            except NOT_TAKEN as error:
                single.refuse(self._not_taken(error))

    def _depart(self, request: Single | Batch, count: int, size: int) -> None:
        flight = self._flight
        flight.records += count
        flight.bytes += size
        flight.pending[request] = None
        client = self._client
        if client is not None and not client.ticking:
            client.wake()

    def _kept_out(
        self, future: asyncio.Future[list[Outcome]], records: Sequence[Record]
    ) -> asyncio.Future[list[Outcome]]:
        """Answer a request of which nothing is sent, since some record of it never can be."""
        future.set_result([self._fault(record) or _NEIGHBOUR for record in records])
        return future

    def _fault(self, record: Record) -> NotStored | None:
        try:
            return _TOO_LARGE if size_of(record) > self._max_record_bytes else None
        except UNUSABLE as error:
            return not_taken(error)

    def _at_bound(self) -> GatewayError:
        wait = self._throttled_until - self._clock()
        if wait > 0:
            return QuotaExceeded("A Kafka quota slows the gateway down", retry_after=wait)
        return Overloaded("The gateway has too many unconfirmed events", retry_after=1.0)

    def _not_taken(self, error: Exception) -> NotStored:
        if isinstance(error, KafkaException):
            self._lifeline.refresh_soon()
        return not_taken(error)

    def _second_try(self, batch: Batch) -> None:
        self._lifeline.emit("refused_batch", "a broker refused a batch; its records are tried one by one")
        self._isolation.retry(batch)

    def _make_client(self) -> Client:
        return Client(producer_config(self._settings) | self.statistics.properties(), self, self._clock)

    def _client_changed(self) -> None:
        self._client = self._lifeline.client
        # Looked up once; and nothing of ours may keep a client alive that was let go.
        self._produce = self._client.producer.produce if self._client is not None else _no_client
        self._refusal = self._lifeline.refusal


def _no_client(*_: object) -> None:
    raise BufferError("there is no client")
