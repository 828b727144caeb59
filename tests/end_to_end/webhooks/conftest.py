"""Gateway processes and a receiver that these tests share; each leaves the broker running."""

from collections.abc import Iterator

import pytest
from tests.broker import Broker
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.webhooks.pushing import WEBHOOKS
from tests.end_to_end.webhooks.receivers import Receiver


@pytest.fixture(scope="package")
def company(victim: Broker) -> Iterator[Replicas]:
    """What the others start with; commits give up within an outage."""
    with Replicas(victim, 2, webhooks=WEBHOOKS, consume={"positions_timeout_seconds": 2}) as two:
        yield two


@pytest.fixture
def pair(company: Replicas) -> Replicas:
    """Two processes that share the slots as evenly as three can be shared."""
    company.restore(2)
    return company


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver without hooks."""
    with Receiver() as one:
        yield one
