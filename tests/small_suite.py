"""Suites of a few tests, to see how the project's own are run."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def run(suite: Path, module: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python there, with the plugins that the project's tests have.

    Args:
        suite: the folder.
        module: ``pytest``, or one that calls it.
        args: its arguments.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "PYTEST_ADDOPTS": "-p xdist -p tests.breaks -p tests.groups",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        environment.pop(name, None)
    command = [sys.executable, "-m", module, *args]
    return subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
