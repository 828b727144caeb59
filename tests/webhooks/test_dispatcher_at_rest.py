"""A dispatcher that waits for its receiver does nothing meanwhile."""

import asyncio
from typing import Any

import pytest
from tests.subscriptions.serving import NoCodecs

from eventbus_gateway.kafka.consumed import NO_HEADERS, Consumed
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.hand import Hand
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import created
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.credentials import Credentials
from eventbus_gateway.webhooks.dispatcher import Dispatcher, Services
from eventbus_gateway.webhooks.handshake import Permission
from eventbus_gateway.webhooks.oauth import NoToken
from eventbus_gateway.webhooks.outbound import Attempted, Outbound

NOON = 1_700_000_000_000
TURNS = 200


class NoTokens:
    """Issues nothing, for receivers that want nothing."""

    async def token(self, credentials: object) -> NoToken:
        raise AssertionError

    def refused(self, credentials: object, token: object) -> None:
        raise AssertionError


async def _unasked(*_: object) -> Permission:
    raise AssertionError("nobody is to be asked")


class Post:
    """A shard with events for a receiver that says when it answers; made on the loop."""

    def __init__(self, events: int, **delivery: Any) -> None:
        webhook = {"type": "webhook", "url": "https://team.example/hook", "signing": "none", **delivery}
        self.subscription = created(
            "clinic", "board", Spec.model_validate({"topics": ["t"], "delivery": webhook}), NOON
        )
        self.requests: list[Outbound] = []
        self.answer: asyncio.Future[Attempted] = asyncio.get_running_loop().create_future()
        self.asked = 0
        supply: Supply[Consumed] = Supply(0, 7, ("t",), Bounds(1_000, 1_000_000), "key")
        supply.add("t", 0, 0, None)
        records = [Consumed.of("t", 0, offset, NOON, b"%d" % offset, b"{}", NO_HEADERS) for offset in range(events)]
        supply.offer("t", 0, [Event(one.offset, NOON, one.key, 10, one) for one in records], 0, events)
        hand = Hand(Leases(supply), lambda: True, self._changed, lambda *_: None)
        outgoing = Outgoing(Form("t", False, False, "/test", "test", NoCodecs()))
        services = Services(
            self._send,
            lambda topic: outgoing,
            lambda subscription: None,
            lambda subscription: Credentials(None, NoTokens()),
            _unasked,
            "",
            lambda subscription: None,
            lambda name, word: None,
            lambda seconds: None,
            clock=self._clock,
            random=lambda: 0.5,
        )
        self.dispatcher = Dispatcher(self.subscription, hand, services)
        self.dispatcher.look()

    def _changed(self) -> None:
        self.dispatcher.look()

    async def _send(self, request: Outbound) -> Attempted:
        self.requests.append(request)
        return await asyncio.shield(self.answer)

    def _clock(self) -> float:
        self.asked += 1
        return 0.0

    async def turns(self) -> int:
        """How often the dispatcher looks at the clock while the loop turns."""
        before = self.asked
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return self.asked - before


FORMS = pytest.mark.parametrize(
    "delivery",
    [{"format": "binary"}, {"format": "batch", "batch": {"maxEvents": 2, "waitSeconds": 0}}],
    ids=["binary", "batch"],
)


@FORMS
@pytest.mark.parametrize("events", [1, 5])
def test_nothing_is_looked_at_while_an_answer_is_awaited(delivery: dict[str, Any], events: int) -> None:
    async def go() -> None:
        post = Post(events, **delivery)
        await post.turns()
        assert len(post.requests) == 1  # the pace begins with a single one
        assert await post.turns() == 0
        post.dispatcher.drop()

    asyncio.run(go())


@FORMS
def test_nothing_is_looked_at_while_the_breaker_is_open(delivery: dict[str, Any]) -> None:
    async def go() -> None:
        post = Post(100, **delivery)
        post.answer.set_result(Attempted(None, "connect", None, 0.0))
        await post.turns()
        assert post.dispatcher.status().state == "open"
        assert await post.turns() == 0
        post.dispatcher.drop()

    asyncio.run(go())
