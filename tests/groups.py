"""Which tests share a process when several run them.

What a module or the session has as a fixture, brokers above all, is made in each process that needs it. It works as a
plugin of pytest.
"""

from pathlib import Path

import pytest

_TURNS = {"end_to_end": 0, "cluster3": 1}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's own, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what shares a process, and have the longest begin first, beside all others."""
    of_cluster = {item.path for item in items if "cluster3" in fixtures(item)}
    groups = {
        item.path: _group(item.path.relative_to(item.config.rootpath), item.path in of_cluster) for item in items
    }
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    items.sort(key=lambda item: _TURNS.get(groups[item.path], len(_TURNS)))


def fixtures(item: pytest.Item) -> set[str]:
    """Names of the fixtures that a test needs."""
    return set(getattr(item, "fixturenames", ()))


def _group(file: Path, of_cluster: bool) -> str:
    """A file; all that needs a cluster; all other end-to-end tests, which load the machine."""
    if of_cluster:
        return "cluster3"
    return "end_to_end" if "end_to_end" in file.parts else str(file)
