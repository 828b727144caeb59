"""What docs/consume.md says works, and its limits are those of the code."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.pulling import PATH, Desk
from tests.serving import served

from eventbus_gateway.subscriptions.settings import SubscriptionSettings

PAGE = (Path(__file__).parent.parent / "docs" / "consume.md").read_text()
PATIENCE = 10.0


def the_client() -> Callable[..., None]:
    """The function ``consume`` of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "consume.md", "exec"), names)  # noqa: S102 - our own page
    consume: Callable[..., None] = names["consume"]
    return consume


def test_the_client_of_the_page_handles_everything_once_and_releases_what_fails() -> None:
    consume = the_client()
    desk = Desk()
    with served(further=desk.routes) as gateway:
        desk.put(*range(25))
        handled: list[int] = []
        done = threading.Event()

        def handle(event: dict[str, Any]) -> None:
            handled.append(event["data"])
            if len(handled) == 25:
                done.set()
            if event["data"] == 7:
                raise ValueError

        subscription = gateway.url + PATH.format("s", "")[:-1]
        client = threading.Thread(target=consume, args=(subscription, "key", handle, lambda: not done.is_set()))
        client.start()
        client.join(PATIENCE)
        assert not client.is_alive()
        assert handled == list(range(25))
        counts = gateway.call(desk.shard.leases.counts)
        assert (counts.delayed, counts.leased, counts.ready) == (1, 0, 0)


def test_the_client_of_the_page_goes_on_when_its_leases_are_lost() -> None:
    consume = the_client()
    desk = Desk()
    with served(further=desk.routes) as gateway:
        desk.put("x")
        handled: list[str] = []

        def handle(event: dict[str, Any]) -> None:
            handled.append(event["data"])
            if len(handled) == 1:

                def move() -> None:
                    desk.serve(0, acquisition=8).put("a", 0, ["y"])

                gateway.call(move)

        subscription = gateway.url + PATH.format("s", "")[:-1]
        consume(subscription, "key", handle, lambda: len(handled) < 2)
        assert handled == ["x", "y"]


@pytest.mark.parametrize(
    "row",
    [line for line in PAGE.splitlines() if re.search(r"\| `(max|default)_\w+`", line)],
    ids=lambda row: row[-40:],
)
def test_the_limits_of_the_page_are_the_defaults(row: str) -> None:
    settings = SubscriptionSettings()
    _, defaults, names = [cell.strip() for cell in row.strip("|").split("|")]
    found = {float(number) for number in re.findall(r"\d+", defaults)}
    for name in re.findall(r"`(\w+)`", names):
        assert float(getattr(settings, name)) in found, name
