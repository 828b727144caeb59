"""Alerts fire when they should, and alerts and dashboard ask for nothing that the gateway does not measure."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from tests.deploy.chart import EVERYTHING, FOLDER, PLAIN, VALUES, Chart, one
from tests.deploy.tools import ROOT
from tests.metrics_page import rows

from eventbus_gateway.api.receipts import name_of
from eventbus_gateway.kafka.events import Kind
from eventbus_gateway.kafka.verdicts import TIMED_OUT

ALERTS = FOLDER / "files" / "alerts.yaml"
PLAYED = Path(__file__).parent / "alerts.yaml"
OF_TARGETS = {"namespace", "service", "pod", "le"}
"""Labels that come from Prometheus and its operator."""


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    """Every expression that alerts, the dashboard and the autoscaler ask."""
    yield from (alert["expr"] for alert in alerts())
    dashboard = json.loads((FOLDER / "files" / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query")
    yield from re.findall(r"eventbus_\w+", (FOLDER / "templates" / "autoscaling.yaml").read_text())


def scaled_by(chart: Chart) -> str:
    """What KEDA asks Prometheus."""
    resources = chart.render(PLAIN, "keda: {enabled: true, prometheus: {serverAddress: http://prometheus:9090}}")
    query = one(resources, "ScaledObject")["spec"]["triggers"][1]["metadata"]["query"]
    assert isinstance(query, str)
    return query


def test_every_query_asks_for_metrics_and_labels_that_the_gateway_has() -> None:
    labels = {sample: set(row.labels) for name, row in rows().items() for sample in row.samples(name)}
    asked: set[str] = set()
    for query in queries():
        names = set(re.findall(r"eventbus_\w+", query))
        assert names <= labels.keys(), query
        known = OF_TARGETS.union(*(labels[name] for name in names))
        groups = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
        named = {label.strip() for group in groups for label in group.split(",")}
        assert named | set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)) <= known, query
        asked |= names
    assert len(asked) > 35


def test_values_of_labels_that_alerts_name_are_those_of_the_gateway() -> None:
    text = ALERTS.read_text()
    (kinds,) = set(re.findall(r'kind=~"([^"]+)"', text))
    assert set(kinds.split("|")) <= set(get_args(Kind))
    assert set(re.findall(r'outcome="([^"]+)"', text)) == {name_of(TIMED_OUT), "dead_lettered"}


def test_alerts_fire_when_they_should_and_not_before(promtool: Path, tmp_path: Path) -> None:
    played = tmp_path / "alerts.yaml"
    played.write_text(PLAYED.read_text().replace("RULES", str(ALERTS)))
    done = subprocess.run(
        [str(promtool), "test", "rules", str(played)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_queries_are_of_promql(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"eventbus:query{at}", "expr": query} for at, query in enumerate(_plain())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    for each in (ALERTS, file):
        done = subprocess.run(
            [str(promtool), "check", "rules", str(each)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _plain() -> Iterator[str]:
    """The queries with Grafana's variables filled in."""
    for query in queries():
        if not query.startswith("label_values"):
            yield query.replace("$__rate_interval", "1m").replace("$namespace", ".*").replace("$service", ".*")


def test_keda_sees_nothing_waiting_only_where_the_gateway_says_so(
    chart: Chart, promtool: Path, tmp_path: Path
) -> None:
    query = scaled_by(chart)
    up = 'eventbus_kafka_up{namespace="events", service="eb-eventbus-gateway-peers", pod="a"}'
    held = 'eventbus_subscription_lag_events{namespace="events", service="eb-eventbus-gateway-peers", pod="%s"}'
    elsewhere = 'eventbus_subscription_lag_events{namespace="other", service="eb-eventbus-gateway-peers"}'
    cases: list[tuple[list[str], list[float]]] = [
        ([up, held % "a", held % "b", elsewhere], [14.0]),
        ([up, elsewhere], [0.0]),
        ([elsewhere], []),
        # Shards are served, and Kafka does not tell how far behind they are.
        ([up, 'eventbus_subscription_shards{namespace="events", service="eb-eventbus-gateway-peers"}'], []),
    ]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": one, "values": "7x5"} for one in series],
            "promql_expr_test": [
                {
                    "expr": query,
                    "eval_time": "3m",
                    "exp_samples": [{"labels": "{}", "value": value} for value in values],
                }
            ],
        }
        for series, values in cases
    ]
    played = tmp_path / "query.yaml"
    played.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": tests}))
    done = subprocess.run(
        [str(promtool), "test", "rules", str(played)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_and_explained() -> None:
    played, page = PLAYED.read_text(), (ROOT / "docs" / "kubernetes.md").read_text()
    for alert in alerts():
        assert alert["alert"] in played
        assert f"`{alert['alert']}`" in page
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert set(alert["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("values", [path for path in VALUES if "prometheusRule" in path.read_text()])
def test_the_chart_brings_the_alerts_and_the_dashboard_as_they_are(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    (group,) = one(resources, "PrometheusRule")["spec"]["groups"]
    assert group["rules"] == alerts()
    dashboard = one(resources, "ConfigMap", "-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    file = (FOLDER / "files" / "dashboard.json").read_text()
    assert json.loads(dashboard["data"]["eventbus-gateway.json"]) == json.loads(file)


def test_an_alert_can_be_left_out(chart: Chart) -> None:
    (group,) = one(chart.render(PLAIN, EVERYTHING), "PrometheusRule")["spec"]["groups"]
    names = {rule["alert"] for rule in group["rules"]}
    assert names == {alert["alert"] for alert in alerts()} - {"EventBusPublishSlow"}


def test_no_two_panels_of_the_dashboard_lie_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / "files" / "dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
