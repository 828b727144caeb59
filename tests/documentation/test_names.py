"""What the pages name is there: settings, metrics, commands, log lines, error codes, alerts."""

import re
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from pydantic import BaseModel

from eventbus_gateway.cli import main
from eventbus_gateway.config import Config

ROOT = Path(__file__).parent.parent.parent
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in {"configuration.md", "metrics.md"}]
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
ALERTS = ROOT / "helm" / "files" / "alerts.yaml"


def code(page: Path) -> list[str]:
    """Everything on a page that is marked as code within a line."""
    return re.findall(r"`([^`\n]+)`", page.read_text())


def settings() -> dict[str, set[str]]:
    """Names of settings by section."""
    return {name: _keys(field.annotation) for name, field in Config.model_fields.items()}


def _keys(annotation: object) -> set[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return set(annotation.model_fields)
    return {key for one in get_args(annotation) for key in _keys(one)}


# Attributes of spans have names like settings.
ATTRIBUTES = {"http.route"}
"""What OpenTelemetry calls so, and is no setting."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = settings()
    # A file's name, and a section of what Kafka or a broker calls so, are no settings.
    for section, key in re.findall(r"(?<![\w./-])([a-z_]+)\.([a-z_]+)(?![\w.(/])", " ".join(code(page))):
        is_file = key in {"toml", "md", "py", "json", "yaml"}
        if section in known and not is_file and f"{section}.{key}" not in ATTRIBUTES:
            assert key.removesuffix("_file") in known[section] or key in known[section], f"{section}.{key}"


def test_settings_are_really_looked_for() -> None:
    known = settings()
    assert "max_in_flight_bytes" in known["kafka"]
    assert "peer_secret" in known["subscriptions"]
    assert "key" in known["topics"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"\beventbus_[a-z_]+[a-z]\b", " ".join(code(page))):
        base = re.sub(r"_(total|bucket|count|sum)$", "", name)
        assert f'"{name}"' in SOURCE or f'"{base}"' in SOURCE, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_shows_exists(page: Path) -> None:
    for line in re.findall(r"\beventbus ((?:[a-z-]+(?: |$))+[^`\n|]*)", page.read_text(), re.MULTILINE):
        command: click.Command = main
        words = line.split("#")[0].split()
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if command is main:
            continue  # a sentence about it
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0].rstrip(".,;:)") in options, f"{command.name} {word}"


def test_every_log_line_that_the_page_about_outages_quotes_is_written_somewhere() -> None:
    page = " ".join((ROOT / "docs" / "outages.md").read_text().split())
    quoted = re.findall(r"The log says\*\* `([^`]+)`|`(the stored subscription[^`]+)`", page)
    assert len(quoted) >= 4
    for first, second in quoted:
        for piece in re.split(r"…|: ", first or second):
            if len(piece.strip()) > 10:
                assert piece.strip() in SOURCE.replace('"\n', ""), piece


def test_every_code_that_the_page_about_outages_names_has_its_explanation() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| \d{3} \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    page = (ROOT / "docs" / "outages.md").read_text()
    named = set(re.findall(r"\b(?:50[0-9]|429) `([a-z_]+)`|`50[0-9] ([a-z_]+)`", page))
    codes = {code for pair in named for code in pair if code}
    rows = page.split("## Publishes fail")[1].split("## ")[0]
    codes |= {
        code
        for line in rows.splitlines()
        for code in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }
    assert len(codes) > 10
    assert codes <= explained


def test_figures_of_bounds_on_the_page_about_sizing_are_the_defaults() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text()
    rows = re.findall(r"^\| .* \| `(\w+)\.(\w+)` \| ([\d,]+)( MiB)?", page, re.MULTILINE)
    assert len(rows) == 6
    for section, key, number, unit in rows:
        annotation = Config.model_fields[section].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        default = annotation.model_fields[key].default
        assert default == int(number.replace(",", "")) * (1_048_576 if unit else 1), key


@pytest.mark.skipif(not ALERTS.exists(), reason="there is no chart")
def test_somebody_says_what_to_do_about_every_alert() -> None:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    said = "\n".join(page.read_text() for page in PAGES)
    assert alerts
    assert {alert for alert in alerts if f"`{alert}`" not in said} == set()
