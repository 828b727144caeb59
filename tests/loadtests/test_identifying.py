"""The benchmarks of who calls measure what they say."""

from pathlib import Path

import pytest
from loadtests.events import TOPIC
from loadtests.identifying import NAMES, Identifying, decision_us, keys_for
from loadtests.measuring import PARTITIONS
from tests.broker import Broker

from eventbus_gateway.auth.keys import new_key
from eventbus_gateway.errors import GatewayError


@pytest.mark.parametrize("name", NAMES)
def test_publishes_with_a_credential_are_measured_beside_those_without(
    name: str, broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.create_topic(TOPIC, PARTITIONS)
    try:
        line = Identifying(broker, tmp_path, 1.0, {})(name)
    finally:
        broker.delete_topic(TOPIC)
    shown = capsys.readouterr().out
    assert line.name == name
    assert line.events_per_second > 0
    assert line.floor_us is not None
    assert (shown.count("  gateway "), shown.count("  floor ")) == (4, 4)


def test_to_know_who_calls_and_what_is_allowed_takes_less_than_six_microseconds() -> None:
    key = new_key().decode()
    assert 0.1 < decision_us(keys_for(key), key) < 6.0
    with pytest.raises(GatewayError):
        decision_us(keys_for(key), new_key().decode())
