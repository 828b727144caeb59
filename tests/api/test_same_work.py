"""What another tenant has costs a caller exactly the work that a name costs which nobody has.

Answers that are equal can still be told apart by their time. Times are not compared here, since they vary with the
machine; what is compared is what decides them: every call that the gateway makes, in its order.
"""

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.api.managing import Office, Play
from tests.conftest import TopicFactory

import eventbus_gateway
from eventbus_gateway.api.routes import Route
from eventbus_gateway.auth.settings import GrantSettings

SOURCE = str(Path(eventbus_gateway.__file__).parent)
BODIES: dict[str, Any] = {
    "seek": {"to": "latest"},
    "receive": {},
    "ack": {"ackTokens": ["x"]},
    "release": {"ackTokens": ["x"]},
    "extend": {"ackTokens": ["x"], "leaseSeconds": 1},
    "reject": {"ackTokens": ["x"]},
}


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    return topic(1)


class Calls:
    """Calls of the gateway's functions in the present task, while the block lasts."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._task = asyncio.current_task()

    def __enter__(self) -> list[str]:
        sys.setprofile(self._note)
        return self.made

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(SOURCE) and asyncio.current_task() is self._task:
            self.made.append(f"{code.co_filename.removeprefix(SOURCE)}:{code.co_name}")


async def work(own: Office, route: Route, name: str, owner: str) -> list[str]:
    """What a stranger's request makes the gateway do."""
    path = route.template.format(name=name, owner=owner)
    body = BODIES.get(route.template.rpartition("/")[2])
    with Calls() as made:
        said = await own.call(route.method, path, body, by="archive")
    assert said.status in {403, 404}, said.body
    return made


def test_the_name_of_somebody_else_s_subscription_makes_the_same_work_as_one_that_nobody_has(
    play: Play, name: str
) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        own.allow(
            *(GrantSettings(principal=each, actions=("read",), topics=("*",)) for each in ("clinic", "archive"))
        )
        tried = 0
        for route in own.routes:
            if "{name}" not in route.template or route.method == "PUT":
                continue
            for wanted, owner in (("board", "clinic"), ("bored", "clonic")):
                await work(own, route, wanted, owner)
            there = await work(own, route, "board", "clinic")
            assert there == await work(own, route, "bored", "clonic"), route.template
            assert len(there) > 5
            tried += 1
        assert tried > 15
        assert own.subscription("board").control.paused is False

    play(scenario)
