"""Producers, pull consumers and a webhook at work, through clients that try nothing twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import count

from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.consuming import Books, Consumer, pause
from tests.end_to_end.subscriptions.subscribing import DATA, Subscribed
from tests.end_to_end.wire import Answer, Unanswered
from tests.rolling.cluster import Customer, Failure, Service, until

_KEYS = 20
_BATCH = 10
_MOVED = "POST ack", 410, "lease_lost"


class Load:
    """Producers, pull consumers and a webhook at the same time.

    Args:
        service: their way in.
        pull: what is pulled.
        push: what is pushed.
        patience: seconds after which an ack that is refused again and again fails the test.
    """

    def __init__(self, service: Service, pull: Subscribed, push: Subscribed, *, patience: float = PATIENCE) -> None:
        self.unknown: set[str] = set()
        """Events of which nobody knows whether they are stored."""
        self._patience = patience
        self.books = Books()
        self.customers: list[Customer] = []
        self._service = service
        self._topics = (pull, push)
        self._name = pull.name
        self._over = asyncio.Event()
        self._consumers: list[Consumer] = []

    @property
    def failures(self) -> list[Failure]:
        """Requests of all clients that were not answered with a success.

        An ack of events whose subscription was moved meanwhile has not failed: it is told that they come again.
        """
        told = [failure for customer in self.customers for failure in customer.failures]
        return [one for one in told if (one.what, one.status, one.how) != _MOVED]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Events are published, pulled and pushed until the end of the block."""
        async with asyncio.TaskGroup() as tasks:
            for number, topic in enumerate(self._topics):
                for keeps in (True, False):
                    tasks.create_task(self._produce(topic, f"{number}-{keeps:d}-one", 1, keeps=keeps))
                    tasks.create_task(self._produce(topic, f"{number}-{keeps:d}-batch", _BATCH, keeps=keeps))
            for keeps in (True, True, False):
                consumer = Consumer(self._customer(keeps=keeps), self._name, self.books, patience=self._patience)
                self._consumers.append(consumer)
                tasks.create_task(consumer.run())
            yield
            await self._finish()

    async def more_acked(self, number: int) -> None:
        """Wait until so many further events were pulled and acked."""
        enough = len(self.books.acked) + number
        await until(lambda: len(self.books.acked) >= enough, f"{number} further acks")

    async def _finish(self) -> None:
        """Publish no more, and wait until what was published was pulled."""
        self._over.set()
        pull = self._topics[0]
        await until(lambda: set(pull.published) <= self.books.deliveries.keys(), "all events to be pulled")
        for consumer in self._consumers:
            consumer.stop()

    async def _produce(self, one: Subscribed, mark: str, size: int, *, keeps: bool) -> None:
        """Publish, and wait for each answer."""
        customer, numbers = self._customer(keeps=keeps), count()
        while not self._over.is_set():
            made = [f"{mark}-{next(numbers)}" for _ in range(size)]
            events = [_event(name) for name in made]
            media = "application/cloudevents+json" if size == 1 else "application/cloudevents-batch+json"
            body = events[0] if size == 1 else events
            try:
                answer = await customer.call("POST", f"/topics/{one.topic}/events", body, content_type=media)
            except Unanswered:
                self.unknown |= set(made)
            else:
                told = _outcomes(answer, made)
                one.published += [name for name, outcome in told.items() if outcome == "stored"]
                self.unknown |= {name for name, outcome in told.items() if outcome == "unknown"}
            await pause()

    def _customer(self, *, keeps: bool) -> Customer:
        self.customers.append(Customer(self._service, keeps=keeps))
        return self.customers[-1]

    def close(self) -> None:
        for customer in self.customers:
            customer.close()


def _event(name: str) -> dict[str, object]:
    series, _, number = name.rpartition("-")
    key = f"{series}-{int(number) % _KEYS}"
    return {"specversion": "1.0", "id": name, "partitionkey": key, "data": {"n": int(number), "note": DATA}}


def _outcomes(answer: Answer, made: list[str]) -> dict[str, str]:
    """What became of each event."""
    if answer.status in {200, 201}:
        return dict.fromkeys(made, "stored")
    document = answer.json()
    if answer.status == 207:
        return {result["id"]: result["outcome"] for result in document["results"]}
    return dict.fromkeys(made, document.get("outcome", "not_stored"))
