"""The programs that check the chart; where they cannot be had, their tests are skipped, and fail in CI."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.deploy import tools
from tests.deploy.chart import Chart


def _or_left_out(make: Callable[[], Path]) -> Path:
    try:
        return make()
    except tools.Missing as missing:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, rendered by the real helm."""
    return Chart(_or_left_out(tools.helm))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program that checks rules of Prometheus."""
    return _or_left_out(tools.promtool)
