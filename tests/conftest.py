"""Fixtures that every part's tests share: real Kafka brokers, one set for the whole run."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest
from tests import breaks, leaks
from tests.broker import Broker, BrokerCluster, missing

_LEFT_OUT = pytest.StashKey[str]()
_HERE = Path(__file__).parent
_TOGETHER = _HERE / "end_to_end"
_BROKER_FIXTURES = frozenset({"broker", "cluster3", "topic"})


class TopicFactory(Protocol):
    """Creates a topic on the session's broker that no other test uses and returns its name."""

    def __call__(self, partitions: int = 1, **config: str) -> str: ...


def pytest_configure(config: pytest.Config) -> None:
    """Listen for leaks, and find out whether brokers can be started; where they cannot, that fails the run in CI."""
    config.pluginmanager.register(leaks)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(breaks)
    if not (programs := missing()) or hasattr(config, "workerinput"):
        return
    line = f"tests that need a real Kafka broker are left out: {' and '.join(programs)} not found"
    if os.environ.get("CI", "").lower() == "true":
        raise pytest.UsageError(line)
    config.stash[_LEFT_OUT] = line


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread tests over worker processes by file, and leave out what cannot run here."""
    of_cluster = {item.path for item in items if "cluster3" in _fixtures(item)}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path, of_cluster)))
    # The longest groups begin first, beside all others.
    turns = {"end_to_end": 0, "cluster3": 1}
    items.sort(key=lambda item: turns.get(_group(item.path, of_cluster), len(turns)))
    _leave_out(config, items)


def _group(path: Path, of_cluster: set[Path]) -> str:
    """What shares a process: a file; all that needs a cluster; all other end-to-end tests, which load the machine."""
    if path in of_cluster:
        return "cluster3"
    return str((_TOGETHER if path.is_relative_to(_TOGETHER) else path).relative_to(_HERE))


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a broker where none can be started."""
    need = [item for item in items if item.get_closest_marker("broker") or _BROKER_FIXTURES & _fixtures(item)]
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


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))
