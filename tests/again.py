"""A second try for tests that failed: ``python -m tests.again``.

Some promises are about time, and hold only on a machine that has time for them: three test processes and their
brokers share its cores. So what failed beside others is tried once more, alone; what fails then as well has failed.
Many failures are no lack of time and have no second try. A run that broke off is done again as a whole.
"""

import json
import sys
from pathlib import Path

import pytest
from tests.breaks import COMPLETE

MANY = 10

_CACHE = Path(".pytest_cache/v")
_SPREAD = ["--dist", "loadgroup", "--no-loadscope-reorder", "--max-worker-restart", "0"]


def main() -> int:
    """Run what has to be run again.

    Returns:
        The exit status of the second try, or 1 without one.
    """
    failed = _kept("cache/lastfailed")
    if not _kept(COMPLETE):
        print("The run broke off; all of it again.")
        return pytest.main(["-n", "3", *_SPREAD])
    if not isinstance(failed, dict) or not 0 < len(failed) <= MANY:
        print("No second try: nothing failed, or too much.")
        return 1
    print("\n".join(["Once more, alone:", *failed]))
    return pytest.main(["-n", "1", *_SPREAD, "--last-failed", "--last-failed-no-failures", "none"])


def _kept(name: str) -> object:
    try:
        return json.loads((_CACHE / name).read_text())
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
