"""A rolling update under load, with the chart's probes and times: no request fails, and nothing is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
from tests.broker import Broker
from tests.end_to_end.subscriptions.consuming import Books, Consumer, pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import DATA, Subscribed, subscribed
from tests.end_to_end.webhooks.pushing import WEBHOOKS, caught_up, check_complete, pushed
from tests.end_to_end.webhooks.receivers import Receiver
from tests.end_to_end.wire import Unanswered
from tests.rolling.cluster import Customer, Deployment, Service, until
from tests.rolling.timings import Timings, of_chart

pytestmark = pytest.mark.broker

SCALE = 1 / 6
"""Of the chart's times: an update takes a sixth of what it takes in a cluster."""
TIMINGS = of_chart().scaled(SCALE)
SESSION = 10.0
_KEYS = 20
_BATCH = 10


class Load:
    """Producers, pull consumers and a webhook at the same time.

    Args:
        service: their way in.
        pull: what is pulled.
        push: what is pushed.
    """

    def __init__(self, service: Service, pull: Subscribed, push: Subscribed) -> None:
        self.books = Books()
        self.customers: list[Customer] = []
        self._service = service
        self._topics = (pull, push)
        self._name = pull.name
        self._over = asyncio.Event()
        self._consumers: list[Consumer] = []

    @property
    def failures(self) -> list[str]:
        """Requests that were not answered with a success, of all clients."""
        return [failure for customer in self.customers for failure in customer.failures]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Events are published, pulled and pushed until the end of the block."""
        async with asyncio.TaskGroup() as tasks:
            for number, topic in enumerate(self._topics):
                for keeps in (True, False):
                    tasks.create_task(self._produce(topic, f"{number}-{keeps:d}-one", 1, keeps=keeps))
                    tasks.create_task(self._produce(topic, f"{number}-{keeps:d}-batch", _BATCH, keeps=keeps))
            for keeps in (True, True, False):
                consumer = Consumer(self._customer(keeps=keeps), self._name, self.books)
                self._consumers.append(consumer)
                tasks.create_task(consumer.run())
            yield
            await self._finish()

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
            events = [_event(f"{mark}-{number}", number) for number, _ in zip(numbers, range(size), strict=False)]
            media = "application/cloudevents+json" if size == 1 else "application/cloudevents-batch+json"
            body = events[0] if size == 1 else events
            with contextlib.suppress(Unanswered):
                answer = await customer.call("POST", f"/topics/{one.topic}/events", body, content_type=media)
                if answer.status in {200, 201}:
                    one.published += [str(event["id"]) for event in events]
            await pause()

    def _customer(self, *, keeps: bool) -> Customer:
        self.customers.append(Customer(self._service, keeps=keeps))
        return self.customers[-1]

    def close(self) -> None:
        for customer in self.customers:
            customer.close()


def _event(name: str, number: int) -> dict[str, object]:
    key = f"{name.rpartition('-')[0]}-{number % _KEYS}"
    return {"specversion": "1.0", "id": name, "partitionkey": key, "data": {"n": number, "note": DATA}}


@pytest.fixture(scope="module")
def company(broker: Broker) -> Iterator[Replicas]:
    """Three processes as the chart configures them."""
    tables = {"webhooks": WEBHOOKS, "http": {"drain_seconds": TIMINGS.drain, "access_log": False}}
    with Replicas(broker, 3, session=SESSION, **tables) as three:
        yield three


async def update(company: Replicas, receiver: Receiver, timings: Timings, pods: int) -> Load:
    """Replace so many pods under load, and see that nothing is lost; what failed is for the caller to judge."""
    hook = receiver.hook()
    async with subscribed(company, delivery={"type": "pull", "order": "key"}) as pull, pushed(company, hook) as push:
        deployment = Deployment(company, timings)
        async with deployment.running():
            load = Load(deployment.service, pull, push)
            try:
                async with load.running():
                    await until(lambda: len(load.books.acked) > 100, "the load to begin")
                    await deployment.roll(pods)
                    enough = len(load.books.acked) + 100
                    await until(lambda: len(load.books.acked) > enough, "the load to go on")
                if not load.failures:
                    await hook.until_taken(len(push.published))
                    await caught_up(push)
                    assert load.books.deliveries.keys() == set(pull.published)
                    load.books.check_order()
                    load.books.check_acked_stay_away()
                    check_complete(hook, push.published)
            finally:
                load.close()
        deployment.check(pods)
    return load


def test_a_rolling_update_of_three_pods_under_load_fails_no_request_and_loses_nothing(company: Replicas) -> None:
    with Receiver() as receiver:
        load = asyncio.run(update(company, receiver, TIMINGS, 3))
    assert load.failures == []
    assert sum(len(customer.statuses) for customer in load.customers) > 1_000


def test_without_the_wait_before_sigterm_requests_fail(company: Replicas) -> None:
    with Receiver() as receiver:
        load = asyncio.run(update(company, receiver, TIMINGS._replace(pre_stop=0.0, min_ready=0.0), 1))
    assert any("ConnectionRefusedError" in failure for failure in load.failures)


def test_the_times_are_the_charts_and_nest() -> None:
    chart = of_chart()
    assert chart.removal < chart.pre_stop
    assert chart.pre_stop + chart.drain < chart.grace
    assert TIMINGS.drain == chart.drain * SCALE
    assert TIMINGS.readiness_failures == chart.readiness_failures
