"""What gateways showed of themselves while something happened, as promtool plays it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from tests.deploy.chart import FOLDER
from tests.end_to_end.process import GatewayProcess

INTERVAL_SECONDS = 15
"""Between two scrapes, as the chart's ServiceMonitor has it; a recording of something shorter is played as slowly."""
_TARGET = {"namespace": "events", "service": "eb-peers"}

Key = tuple[str, tuple[tuple[str, str], ...]]


class Recording(NamedTuple):
    """Scrapes at equal distances.

    Args:
        scrapes: of each pod, in the order of time.
        down: number of the first scrape of an outage.
        up: number of the first one behind it.
    """

    scrapes: dict[str, list[dict[Key, float]]]
    down: int
    up: int

    def series(self) -> list[dict[str, str]]:
        """``input_series`` of promtool's unit tests: everything that the chart's alerts ask for."""
        asked = set(re.findall(r"eventbus_\w+", (FOLDER / "files" / "alerts.yaml").read_text()))
        found = []
        for pod, scrapes in self.scrapes.items():
            keys = {key for scrape in scrapes for key in scrape if key[0] in asked}
            for name, labels in sorted(keys):
                text = ", ".join(f"{label}={json.dumps(value)}" for label, value in _labels(pod, labels).items())
                values = [_value(scrape.get((name, labels))) for scrape in scrapes]
                found.append({"series": f"{name}{{{text}}}", "values": " ".join(values)})
        return found

    def write(self, path: Path) -> None:
        """Keep it as YAML."""
        about = {"down": self.down, "up": self.up, "input_series": self.series()}
        head = "# Written by `make chaos`: what two replicas showed while Kafka was away for a minute, every 15 s.\n"
        path.write_text(head + yaml.safe_dump(about, sort_keys=False, width=10_000))


class Played(NamedTuple):
    """A recording that was kept.

    Args:
        down: number of the first scrape of an outage.
        up: number of the first one behind it.
        input_series: as promtool takes them.
    """

    down: int
    up: int
    input_series: list[dict[str, str]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a file."""
        return cls(**yaml.safe_load(path.read_text()))

    def promtool_test(self, rules: Path, firing: str) -> dict[str, Any]:
        """A file of promtool's: at the end of the outage exactly one alert fires, and before and after it none.

        Args:
            rules: file of the alerts.
            firing: name of that alert.
        """
        count = max(len(one["values"].split()) for one in self.input_series)
        alerts = 'count by (alertname) (ALERTS{alertstate="firing"})'
        ours = f'count(ALERTS{{alertstate="firing", alertname="{firing}"}})'
        tests: list[dict[str, Any]] = [
            {"expr": alerts, "eval_time": _time(at), "exp_samples": []} for at in range(self.down)
        ]
        tests += [
            {"expr": ours, "eval_time": _time(self.up - 1), "exp_samples": [{"labels": "{}", "value": 1}]},
            {"expr": ours, "eval_time": _time(self.down + 1), "exp_samples": []},
            {"expr": ours, "eval_time": _time(count - 1), "exp_samples": []},
        ]
        interval = f"{INTERVAL_SECONDS}s"
        return {
            "rule_files": [str(rules)],
            "evaluation_interval": interval,
            "tests": [{"interval": interval, "input_series": self.input_series, "promql_expr_test": tests}],
        }


def scrape(processes: Sequence[GatewayProcess]) -> list[dict[Key, float]]:
    """What each of them shows now."""
    return [process.metrics() for process in processes]


def _labels(pod: str, labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {**_TARGET, "pod": pod, **dict(labels)}


def _value(value: float | None) -> str:
    return "_" if value is None else f"{value:g}" if value < 1_000 else f"{value:.0f}"


def _time(number: int) -> str:
    return f"{number * INTERVAL_SECONDS}s"
