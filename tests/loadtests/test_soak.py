"""A short soak: what grows with every request is seen within seconds."""

from pathlib import Path

import pytest
from loadtests.soak import FLAT_BYTES, flat_mib, judge, soaked, table
from tests.broker import Broker

SECONDS = 14
WARM_UP_SECONDS = 5.0
# What begins in so short a time, such as connections to a receiver; what is kept for each request is far more.
SHORT = 150.0
FLAT_SHORT = 512.0


@pytest.mark.broker
def test_nothing_grows_within_seconds_of_mixed_load(broker: Broker, tmp_path: Path) -> None:
    samples, summary = soaked(broker, tmp_path, "visits-of-a-soak", SECONDS, every=0.25)
    assert summary.faults == []
    assert summary.verdict.stored > 100
    found = judge(samples, WARM_UP_SECONDS, flat_mib(summary) * FLAT_SHORT / FLAT_BYTES, SHORT)
    assert found.faults == (), table(found.trends)
    assert all(one.samples > 10 and one.highest > 0 for one in found.trends)
