"""What CI makes of tests that fail, and of runs that break off."""

import subprocess
from pathlib import Path

import pytest
from tests.small_suite import run

STEADY = "def test_steady() -> None: pass\n"
TWICE = """
from pathlib import Path
def test_that_fails_the_first_time():
    tries = Path("tries")
    tries.touch()
    tries.write_text(tries.read_text() + "x")
    assert len(tries.read_text()) > {fails}
"""
BREAKS = """
import logging
from pathlib import Path
def test_that_cannot_be_told_of_the_first_time():
    if not Path("tried").exists():
        Path("tried").touch()
        logging.getLogger("x").warning("\\udc80")
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder for a small suite."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_steady.py").write_text(STEADY)
    return tmp_path


def first(suite: Path) -> subprocess.CompletedProcess[str]:
    return run(suite, "pytest", "-n", "2", "--dist", "loadgroup", "--max-worker-restart", "0")


def test_what_fails_once_has_a_second_try_alone(suite: Path) -> None:
    (suite / "test_one.py").write_text(TWICE.format(fails=1))
    assert first(suite).returncode == 1
    second = run(suite, "tests.again")
    assert second.returncode == 0
    assert "1 passed" in second.stdout
    assert "test_that_fails_the_first_time" in second.stdout


def test_what_fails_twice_has_failed(suite: Path) -> None:
    (suite / "test_one.py").write_text(TWICE.format(fails=2))
    assert first(suite).returncode == 1
    assert run(suite, "tests.again").returncode == 1


def test_many_failures_have_no_second_try(suite: Path) -> None:
    (suite / "test_many.py").write_text("".join(f"def test_{n}() -> None: assert False\n" for n in range(11)))
    assert first(suite).returncode == 1
    second = run(suite, "tests.again")
    assert second.returncode == 1
    assert "no second try" in second.stdout.lower()


def test_a_run_that_broke_off_says_why_at_its_end_and_is_done_again_as_a_whole(suite: Path) -> None:
    (suite / "test_one.py").write_text(BREAKS)
    broken = first(suite)
    assert broken.returncode == 3
    assert "strings must be utf-8 encodable" in "".join(broken.stderr.splitlines()[-5:])
    second = run(suite, "tests.again")
    assert second.returncode == 0
    assert "2 passed" in second.stdout
