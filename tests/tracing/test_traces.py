"""Nothing of traces is there where they are off, and what they need is told where they are on."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.leaks import MARK

from eventbus_gateway.config import InvalidConfig, describe, load
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.tracing.settings import TracingSettings

_MINIMAL = """
[kafka]
bootstrap_servers = "127.0.0.1:9092"
[auth]
mode = "anonymous"
[topic_defaults]
format = "json"
"""


def python(program: str) -> str:
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_while_traces_are_off_nothing_of_them_is_loaded() -> None:
    program = """
import sys
from eventbus_gateway import app
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.tracing.settings import TracingSettings
assert Traces(TracingSettings(), Metrics(), 1_000).deliver is None
parts = ("opentelemetry", "google.protobuf", "eventbus_gateway.tracing.exporter", "eventbus_gateway.tracing.otlp")
print([name for name in sys.modules if name.startswith(parts)])
"""
    assert python(program) == "[]\n"


def test_without_the_library_it_is_told_what_is_missing() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.tracing.settings import TracingSettings
try:
    Traces(TracingSettings(enabled=True), Metrics(), 1_000)
except ValueError as error:
    print(error)
"""
    assert python(program) == 'tracing.enabled needs the extra "telemetry": install eventbus-gateway[telemetry]\n'


def test_spans_are_measured_only_where_there_are_some() -> None:
    for enabled in (False, True):
        metrics = Metrics()
        Traces(TracingSettings(enabled=enabled), metrics, 1_000)
        assert (b"eventbus_trace_spans_total" in metrics.exposition()) is enabled


@pytest.mark.parametrize("way", ["env:COLLECTOR_KEY", "file:FILE", "value_file"])
def test_the_value_of_a_header_comes_from_where_secrets_come_from_and_is_not_shown(way: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(MARK.decode() + "\n")
    value = f'value_file = "{secret}"' if way == "value_file" else f'value = "{way.replace("FILE", str(secret))}"'
    file = tmp_path / "gateway.toml"
    file.write_text(f'{_MINIMAL}\n[[tracing.headers]]\nname = "x-api-key"\n{value}\n')
    config = load(file, {"COLLECTOR_KEY": MARK.decode()})
    (header,) = config.tracing.headers
    assert header.value.get_secret_value() == MARK.decode()
    assert MARK.decode() not in describe(config) + repr(config)


def test_an_endpoint_that_is_no_web_address_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'{_MINIMAL}\n[tracing]\nendpoint = "collector:4317"\nca_file = "/none.pem"\n')
    with pytest.raises(InvalidConfig) as caught:
        load(file, {})
    assert "tracing.endpoint" in str(caught.value)
    assert "tracing.ca_file" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("max_batch_spans = 100\nmax_queued_spans = 99", "tracing.max_batch_spans"),
        ('headers = [{name = "Host", value = "a"}]', "tracing.headers[0].name"),
        ('headers = [{name = "x-key", value = "a"}, {name = "X-Key", value = "b"}]', "tracing.headers[1].name"),
        ('headers = [{name = "x-key", value = "s3cret-\u00e9"}]', "tracing.headers[0].value"),
        ('headers = [{name = "x-key", value = "a\\r\\nx-other: b"}]', "tracing.headers"),
    ],
)
def test_what_no_export_could_use_is_a_fault(text: str, place: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f"{_MINIMAL}\n[tracing]\n{text}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(file, {})
    assert place in str(caught.value)
    assert MARK.decode() not in str(caught.value)
