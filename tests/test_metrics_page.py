"""The page of metrics says what there is, and nothing else."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.broker import free_port
from tests.end_to_end.process import GatewayProcess
from tests.metrics_page import Row, rows

from eventbus_gateway.telemetry import Counter, Metrics


@pytest.fixture(scope="module")
def page() -> dict[str, Row]:
    return rows()


@pytest.fixture(scope="module")
def measured() -> dict[str, Row]:
    """What a gateway with everything switched on shows, whether or not there are samples yet.

    Nobody has to be reached for that: it serves without Kafka too.
    """
    closed = f"127.0.0.1:{free_port()}"
    issuer = {"prefix": "local", "issuer": f"http://{closed}", "audiences": ["eventbus"], "allow_http": True}
    tables: dict[str, Any] = {
        "auth": {"mode": "several", "methods": ["api_keys", "oidc"], "key_table": True, "oidc": [issuer]},
        "subscriptions": {"enabled": True, "peer_secret": "p" * 32},
        "tracing": {"enabled": True, "endpoint": f"http://{closed}/v1/traces"},
        "kafka": {"sasl_mechanism": "AWS_MSK_IAM", "security_protocol": "SASL_SSL", "iam_region": "eu-west-1"},
    }
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    with GatewayProcess(closed, environ=nobody, **tables) as gateway:
        gateway.client.get("/v1/topics")
        text = gateway.exposition()
    found: dict[str, Row] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("eventbus_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = Row(family.type, tuple(sorted(labels)))
    return found


def test_every_metric_is_on_the_page_and_nothing_else(page: dict[str, Row], measured: dict[str, Row]) -> None:
    assert page.keys() == measured.keys()
    assert {name: row.kind for name, row in page.items()} == {name: row.kind for name, row in measured.items()}


def test_labels_are_those_of_the_page(page: dict[str, Row], measured: dict[str, Row]) -> None:
    for name, row in measured.items():
        assert not row.labels or set(row.labels) == set(page[name].labels), name
    metrics = Metrics()
    parts = [*vars(metrics).values(), *vars(metrics.subscriptions).values()]
    counters = [part for part in parts if isinstance(part, Counter)]
    assert len(counters) > 6
    for counter in counters:
        assert page[f"{counter.name}_total"].labels == counter.labels


def test_names_tell_their_units(page: dict[str, Row]) -> None:
    for name, row in page.items():
        assert name.endswith("_total") is (row.kind == "counter"), name
        assert row.kind != "histogram" or name.endswith("_seconds"), name
