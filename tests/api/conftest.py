"""Gateways that tests of the API share: starting one takes longer than most of what is tested with it."""

from collections.abc import Iterator

import pytest
from tests.api.managing import Play, Scenario, office
from tests.api.publishing import TOPICS, WAYS, kafka, registry
from tests.api.wire import pool
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.serving import Served, Way, served
from tests.subscriptions.living import run

from eventbus_gateway.kafka.records import Record


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """How requests reach the handlers: whatever is tested with it has to hold for all of them."""
    found: Way = request.param
    return found


@pytest.fixture(scope="session")
def running(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway per way for the whole run."""
    schemas = registry(tmp_path_factory.mktemp("schemas"))
    with served(way=way, kafka=kafka(), registry=schemas, topics=TOPICS) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Served) -> Served:
    """A gateway with an empty Kafka in which nothing goes wrong."""
    running.kafka.judge = running.kafka.refusal = running.kafka.held = None
    running.kafka.logs = dict[tuple[str, int], list[Record]]()
    running.access.lines = []
    return running


@pytest.fixture(scope="session", autouse=True)
def _pooled() -> Iterator[None]:
    """Stop what the tests of the edge have shared."""
    yield
    pool.close()


@pytest.fixture
def table(topic: TopicFactory) -> str:
    """A topic for a table of subscriptions."""
    return topic(1, cleanup_policy="compact")


@pytest.fixture
def play(broker: Broker, table: str) -> Play:
    """Runs a scenario on one replica."""

    def go(scenario: Scenario) -> None:
        async def alone() -> None:
            async with office(broker.bootstrap, table) as own:
                await scenario(own)

        run(alone)

    return go
