"""What these tests share beside the brokers: one that they may kill."""

from collections.abc import Iterator

import pytest
from tests.broker import Broker


@pytest.fixture(scope="package")
def victim() -> Iterator[Broker]:
    """A broker that tests may stop and kill; each leaves it running."""
    # Replicas that go on without one of them shall not take long to notice.
    with Broker({"group.min.session.timeout.ms": "500"}) as broker:
        yield broker
