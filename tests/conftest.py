"""Fixtures that every part's tests share: real Kafka brokers, one set for the whole run."""

import os
from collections.abc import Iterator
from itertools import count
from typing import Protocol

import pytest
from tests import breaks, groups, leaks
from tests.broker import Broker, BrokerCluster, missing

_LEFT_OUT = pytest.StashKey[str]()
_BROKER_FIXTURES = frozenset({"broker", "cluster3", "topic"})


class TopicFactory(Protocol):
    """Creates a topic on the session's broker that no other test uses and returns its name."""

    def __call__(self, partitions: int = 1, **config: str) -> str: ...


def pytest_configure(config: pytest.Config) -> None:
    """Find out whether brokers can be started; where they cannot, that fails the run in CI."""
    config.pluginmanager.register(leaks)
    config.pluginmanager.register(groups)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(breaks)
    if not (programs := missing()) or hasattr(config, "workerinput"):
        return
    line = f"tests that need a real Kafka broker are left out: {' and '.join(programs)} not found"
    if os.environ.get("CI", "").lower() == "true":
        raise pytest.UsageError(line)
    config.stash[_LEFT_OUT] = line


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a broker where none can be started."""
    need = [item for item in items if item.get_closest_marker("broker") or _BROKER_FIXTURES & groups.fixtures(item)]
    for item in need:
        item.add_marker("broker")
    if need and missing():
        left_out = set(need)
        config.hook.pytest_deselected(items=need)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line what was left out."""
    if line := config.stash.get(_LEFT_OUT, None):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One real broker. Topics need no permission until somebody gives them an ACL."""
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        # Nobody stops this one, so a silence is a machine that stalls: no reason to fence the only broker there is.
        "broker.session.timeout.ms": "30000",
        "broker.heartbeat.interval.ms": "5000",
    }
    with Broker(config) as one:
        yield one


@pytest.fixture(scope="session")
def cluster3() -> Iterator[BrokerCluster]:
    """Three real brokers; topics have a replica on each and need two of them for a write."""
    with BrokerCluster(3) as three:
        yield three


@pytest.fixture(scope="session")
def topic(broker: Broker) -> TopicFactory:
    """A factory for topics on the session's broker."""
    numbers = count()

    def create(partitions: int = 1, **config: str) -> str:
        name = f"test.topic-{next(numbers)}"
        broker.create_topic(name, partitions, config={key.replace("_", "."): value for key, value in config.items()})
        return name

    return create
