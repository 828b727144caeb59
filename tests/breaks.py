"""Runs that break off: why, and that they did.

When a worker process breaks, pytest-xdist shows why, and then at length what follows from that. Who reads only the
end of a log would never learn the reason, so it is said once more after everything else. And whether all tests had
their turn is kept for ``tests.again``. It works as a plugin of pytest.
"""

import sys

import pytest

COMPLETE = "eventbus/complete"
"""Where pytest's cache says whether all tests of the last run had their turn."""
LINES = 20

_reasons: list[str] = []
_begun: set[str] = set()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Until the end is seen, it was not."""
    _keep(session.config, complete=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test had its turn."""
    _begun.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Tell whether every test had."""
    if _reasons:
        # pytest-xdist goes on where a worker broke that was not needed any more, and calls that a success.
        session.exitstatus = exitstatus = pytest.ExitCode.INTERNAL_ERROR
    ended = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    _keep(session.config, complete=ended and len(_begun) >= session.testscollected)


def pytest_internalerror(excrepr: object) -> None:
    """Keep what it was; the first one is the reason, the others follow from it."""
    _reasons.append(str(excrepr))


def pytest_unconfigure() -> None:
    """Say it after everything else."""
    if _reasons:
        last = [line for line in _reasons[0].splitlines() if line.strip()][-LINES:]
        sys.stderr.write("\n".join(["The run broke off, and not because of a test:", *last, ""]))


def _keep(config: pytest.Config, *, complete: bool) -> None:
    if config.cache is not None:
        config.cache.set(COMPLETE, complete)
