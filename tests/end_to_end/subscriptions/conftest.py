"""Gateway processes that these tests share: each finds as many as it wants, and may do to them what it likes."""

from collections.abc import Iterator

import pytest
from tests.broker import Broker
from tests.end_to_end.subscriptions.replicas import Replicas


@pytest.fixture(scope="package")
def company(victim: Broker) -> Iterator[Replicas]:
    """What the others start with."""
    with Replicas(victim, 3) as three:
        yield three


@pytest.fixture
def replicas(company: Replicas) -> Replicas:
    """Three processes that share the slots evenly."""
    company.restore(3)
    return company


@pytest.fixture
def pair(company: Replicas) -> Replicas:
    """Two processes that share the slots evenly."""
    company.restore(2)
    return company
