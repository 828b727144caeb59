"""What docs/webhooks.md says is what the code does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus_gateway.config.keys import BY_PATH
from eventbus_gateway.subscriptions.patterns import compile_filter
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import parse_spec
from eventbus_gateway.subscriptions.spec_rules import SpecRules
from eventbus_gateway.subscriptions.webhook_spec import Batch, WebhookDelivery
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.webhooks.breaker import BreakerSettings
from eventbus_gateway.webhooks.decisions import (
    Decision,
    Disable,
    Done,
    Failure,
    GiveUp,
    Outcome,
    Policy,
    Retry,
    decide,
)

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
RULES = SpecRules(SubscriptionSettings(), compile_filter, lambda url: None)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str, heading: str) -> Iterator[list[str]]:
    """The cells of the table below a heading."""
    lines = iter(section(title).splitlines())
    assert any(line.startswith(f"| {heading} |") for line in lines), heading
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def decision(status: int, on_client_error: str = "retry") -> Decision:
    policy = Policy()._replace(on_client_error=on_client_error)  # type: ignore[arg-type]  # one of two texts
    return decide(Outcome(status), 1, 0.0, policy, 0.0, lambda: 0.5)


def test_the_table_of_answers_is_what_is_decided() -> None:
    told = {cells[0]: cells[1] for cells in rows("What your answer means", "your answer")}
    listed = {int(code) for codes in told for code in re.findall(r"`(\d{3})`", codes)}
    of_the_endpoint = listed - {410}
    for status in range(200, 600):
        found, strict = decision(status), decision(status, "dead_letter")
        if status < 300:
            assert isinstance(found, Done)
        elif status == 410:
            assert isinstance(found, Disable)
        else:
            assert isinstance(found, Retry)
            is_of_the_event = 400 <= status < 500 and status not in of_the_endpoint
            assert isinstance(strict, GiveUp) is is_of_the_event, status
    assert told["`2xx`"] == "done"


def test_every_way_to_have_no_answer_is_told() -> None:
    assert {cells[0].strip("`") for cells in rows("See what happens", "`error`")} == {each.value for each in Failure}


def test_the_defaults_are_those_of_the_code() -> None:
    delivery = WebhookDelivery.model_validate({"type": "webhook", "url": "https://a"})
    defaults = delivery.model_dump(mode="json", by_alias=True) | {"batch": Batch().model_dump(by_alias=True)}
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("What can be said", "member of `delivery`")}
    assert told.pop("url") == ""
    for member, said in told.items():
        value: Any = defaults
        for part in member.split("."):
            value = value[part]
        assert said == {None: "none"}.get(
            value, f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)
        )
    named = set(defaults) - {"type", "batch", "retry"}
    named |= {f"batch.{each}" for each in defaults["batch"]} | {f"retry.{each}" for each in defaults["retry"]}
    assert set(told) | {"url"} == named


@pytest.mark.parametrize(
    "text", re.findall(r"-d '(\{.*?\})'", PAGE, re.DOTALL)[:1] + re.findall(r"```json\n(\{\n.*?)```", PAGE, re.DOTALL)
)
def test_the_examples_of_subscriptions_are_taken(text: str) -> None:
    assert parse_spec(json.loads(text), RULES).delivery.type == "webhook"


def test_the_examples_of_credentials_are_taken() -> None:
    for text, *_ in rows("Credentials", "`auth`"):
        delivery = {"type": "webhook", "url": "https://a", "auth": json.loads(text.strip("`").replace("…", "x"))}
        assert parse_spec({"topics": ["a"], "delivery": delivery}, RULES).delivery.type == "webhook"


def test_the_settings_and_metrics_that_are_named_exist() -> None:
    named = re.findall(r"`webhooks\.(\w+)`", PAGE)
    assert len(named) > 10
    assert {("webhooks", name) for name in named} <= BY_PATH.keys()
    rendered = Metrics().exposition().decode()
    metrics = re.findall(r"`(eventbus_\w+)`", PAGE)
    assert len(metrics) == 6
    assert all(f"# HELP {name.removesuffix('_total')}" in rendered for name in metrics)


def test_the_numbers_of_the_breaker_are_those_of_the_code() -> None:
    settings = BreakerSettings()
    assert (settings.failures_in_a_row, settings.recent, settings.failure_share) == (10, 50, 0.5)
    assert (settings.max_open_seconds, settings.probes) == (300, 1)
    assert "ten failures of your endpoint in a row, or when half of the last fifty failed" in PAGE
