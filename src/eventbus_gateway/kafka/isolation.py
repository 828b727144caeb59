"""Carries out second tries: each record in a batch of its own, on a client that is only for them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka._types import HeadersType

from eventbus_gateway.kafka.client import NOT_TAKEN, Client
from eventbus_gateway.kafka.flight import UNTOLD, Batch
from eventbus_gateway.kafka.records import Outcome, Record, Stored, Unknown
from eventbus_gateway.kafka.second_try import HELD, overtaken_keys
from eventbus_gateway.kafka.verdicts import LOST, judge, not_taken


class Isolation:
    """Sends the records of spoiled batches again, one at a time per request.

    Requests wait here within their own deadline and within the bounds of what is in flight.

    Args:
        config: properties for the client, with one record per batch.
        clock: monotonic seconds.
    """

    def __init__(self, config: dict[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Future[Outcome], None] = {}
        self._disturbed_at = float("-inf")
        self._closed = False

    def retry(self, batch: Batch) -> None:
        """Find out which of the spoiled records the broker takes; ends with ``batch.finish()``."""
        overtaken = overtaken_keys(batch.records, batch.outcomes, batch.spoiled)
        for index in batch.spoiled:
            batch.outcomes[index] = HELD
        task = asyncio.get_running_loop().create_task(self._retry(batch, overtaken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _retry(self, batch: Batch, overtaken: set[bytes]) -> None:
        try:
            client = await self._open()
            for index in batch.spoiled:
                record = batch.records[index]
                if record.key in overtaken:
                    continue
                # Behind the deadline nobody can be told, so nothing may be stored any more.
                if client is None or batch.future.done():
                    break
                batch.outcomes[index] = None
                outcome = await self._alone(client, batch.topic, record)
                batch.outcomes[index] = outcome
                if record.key is not None and type(outcome) is Unknown:
                    overtaken.add(record.key)
        finally:
            batch.finish()

    async def _open(self) -> Client | None:
        async with self._opening:
            if self._client is None and not self._closed:
                client = Client(self._config, self, self._clock)
                try:
                    await client.open()
                except KafkaException:
                    return None
                self._client = client
            return self._client

    async def _alone(self, client: Client, topic: str, record: Record) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        sent_at = self._clock()

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._waiting.pop(future, None)
            if future.done():
                return
            if error is not None:
                future.set_result(judge(error, disturbed=self._disturbed_at >= sent_at))
            else:
                partition, offset, (_, timestamp) = message.partition(), message.offset(), message.timestamp()
                future.set_result(Stored(partition or 0, UNTOLD if offset is None else offset, timestamp))

        if client is not self._client:
            return HELD
        try:
            headers: HeadersType = [*record.headers]
            client.producer.produce(topic, record.value, record.key, on_delivery=delivered, headers=headers)
        except NOT_TAKEN as error:
            return not_taken(error)
        self._waiting[future] = None
        client.wake()
        return await future

    def busy(self) -> bool:
        """Whether a record is on its way."""
        return bool(self._waiting)

    def polled(self, now: float) -> None:
        """Nothing to do: the requests' deadlines are checked where the requests are."""

    def connection_failed(self, code: int) -> None:
        """Refusals of records that are on their way prove nothing from now on."""
        self._disturbed_at = self._clock()

    def throttled(self, seconds: float) -> None:
        """Nothing to do: a second try may take its time."""

    def failed_for_good(self, reason: str) -> None:
        """Forget the client; the next second try opens another one."""
        client, self._client = self._client, None
        if client is not None:
            client.rescue_reports()
            client.close()
        for future in list(self._waiting):
            if not future.done():
                future.set_result(LOST)
        self._waiting.clear()

    def close(self) -> None:
        """Release the client; records that are on their way become unknown."""
        self._closed = True
        self.failed_for_good("closed")
