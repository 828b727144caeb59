"""A rolling update under load, with the chart's probes and times: no request fails, and nothing is lost."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from tests.broker import Broker
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import subscribed
from tests.end_to_end.webhooks.pushing import WEBHOOKS, caught_up, check_complete, pushed
from tests.end_to_end.webhooks.receivers import Receiver
from tests.rolling.cluster import Deployment
from tests.rolling.load import Load
from tests.rolling.timings import Timings, of_chart

pytestmark = pytest.mark.broker

SCALE = 1 / 6
"""Of the chart's times: an update takes a sixth of what it takes in a cluster."""
TIMINGS = of_chart().scaled(SCALE)
SESSION = 10.0


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
            with contextlib.closing(load):
                async with load.running():
                    await load.more_acked(100)
                    await deployment.roll(pods)
                    await load.more_acked(100)
                if not load.failures:
                    await hook.until_taken(len(push.published))
                    await caught_up(push)
                    assert load.books.deliveries.keys() == set(pull.published)
                    load.books.check_order()
                    load.books.check_acked_stay_away()
                    check_complete(hook, push.published)
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
    assert any(failure.how == "ConnectionRefusedError" for failure in load.failures)


def test_the_times_are_the_charts_and_nest() -> None:
    chart = of_chart()
    assert chart.removal < chart.pre_stop
    assert chart.pre_stop + chart.drain < chart.grace
    assert TIMINGS.drain == chart.drain * SCALE
    assert TIMINGS.readiness_failures == chart.readiness_failures
