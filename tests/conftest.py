"""Fixtures that every part's tests share: real Kafka brokers, one set for the whole run."""

import os
from collections.abc import Iterator
from itertools import count
from typing import Protocol

import pytest
from tests.broker import Broker, BrokerCluster, missing

_LEFT_OUT = pytest.StashKey[str]()
_BROKER_FIXTURES = frozenset({"broker", "cluster3", "topic"})


class TopicFactory(Protocol):
    """Creates a topic on the session's broker that no other test uses and returns its name."""

    def __call__(self, partitions: int = 1, **config: str) -> str: ...


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a broker where none can be started; in CI that fails the run instead."""
    need = [item for item in items if item.get_closest_marker("broker") or _BROKER_FIXTURES & _fixtures(item)]
    for item in need:
        item.add_marker("broker")
    programs = missing()
    if not need or not programs:
        return
    line = f"{len(need)} tests need a real Kafka broker and are left out: {' and '.join(programs)} not found"
    if os.environ.get("CI", "").lower() == "true":
        raise pytest.UsageError(line)
    left_out = set(need)
    config.hook.pytest_deselected(items=need)
    items[:] = [item for item in items if item not in left_out]
    config.stash[_LEFT_OUT] = line


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


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))
