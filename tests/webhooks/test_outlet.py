"""Everything that delivers webhooks in one process, against a real receiver."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from tests.webhooks.dispatching import changed, outgoing_of, record, webhook
from tests.webhooks.receiver import LOCAL, OK, PATIENCE_SECONDS, Receiver, answers, receiver, status

from eventbus_gateway.errors import InvalidSubscription, KafkaUnavailable
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions.control import PauseReason
from eventbus_gateway.subscriptions.hand import Hand
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.signing_secrets import SigningSecret
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.cloudevents import events_of
from eventbus_gateway.webhooks.outlet import Outlet, Telling
from eventbus_gateway.webhooks.settings import WebhookSettings
from eventbus_gateway.webhooks.signing import Secret, Verdict, Verifier

KEY = base64.b64encode(bytes(range(32))).decode()

Disable = Callable[[Subscription, PauseReason], Awaitable[None]]


async def _nobody(subscription: Subscription, reason: PauseReason) -> None:
    raise AssertionError(subscription.name)


def outlet(**settings: Any) -> Outlet:
    values = {"secret_keys": KEY, **LOCAL, **settings}
    telling = Telling(lambda name, outcome: None, lambda seconds: None)
    return Outlet(WebhookSettings.model_validate(values), outgoing_of, telling)


@contextlib.asynccontextmanager
async def delivering(disable: Disable = _nobody, **settings: Any) -> AsyncIterator[Outlet]:
    made = outlet(**settings)
    await made.start(disable)
    try:
        yield made
    finally:
        await made.close()


def run(scenario: Callable[[Receiver], Awaitable[None]], *said: bytes) -> None:
    async def whole() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), receiver(answers(*(said or (OK,)))) as other:
            await scenario(other)

    asyncio.run(whole())


@pytest.mark.parametrize("form", ["binary", "structured", "batch"])
def test_a_test_event_comes_in_the_format_of_the_subscription_signed_and_with_its_credentials(form: str) -> None:
    async def scenario(other: Receiver) -> None:
        subscription = webhook(url=other.url(), format=form, auth={"type": "headers", "headers": {"x-key": "k"}})
        async with delivering() as made:
            attempted = await made.ping(subscription, "event-1")
        (seen,) = other.seen
        (event,) = events_of(seen.headers.items(), seen.body)  # type: ignore[misc]  # events
        assert (attempted.status, attempted.failure) == (200, None)
        assert (event["id"], event["type"]) == ("event-1", "eventbus.test")
        assert event["source"] == "/subscriptions/clinic.board"
        assert event["data"] == {"test": True, "subscription": "board"}
        secret = subscription.signing[0].secret
        assert secret is not None
        verdict = Verifier([Secret.parse(secret.get_secret_value())]).verify(seen.headers, seen.body)
        assert verdict is Verdict.VALID
        assert (seen.headers["x-key"], seen.headers["webhook-id"]) == ("k", "test-event-1")

    run(scenario)


@pytest.mark.parametrize("code", [204, 302, 401, 500])
def test_a_test_event_is_sent_once_whatever_the_answer(code: int) -> None:
    async def scenario(other: Receiver) -> None:
        async with delivering() as made:
            attempted = await made.ping(webhook(url=other.url()), "1")
        assert (attempted.status, len(other.seen)) == (code, 1)

    run(scenario, status(code))


def test_without_its_secrets_no_test_event_is_sent() -> None:
    async def scenario(other: Receiver) -> None:
        sound = webhook(url=other.url(), auth={"type": "bearer", "token": "t"})
        unsigned = sound.model_copy(update={"signing": (SigningSecret(),)})
        async with delivering() as made:
            for broken in (unsigned, changed(sound, auth={"type": "bearer", "token": None})):
                attempted = await made.ping(broken, "1")
                assert (attempted.status, attempted.failure) == (None, "no_credential")
        assert not other.seen

    run(scenario)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/", "ftp://team.example/"])
def test_a_url_that_may_not_be_called_is_refused_with_a_sentence_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(InvalidSubscription) as refused:
        outlet().check_url(url)
    assert refused.value.detail.startswith("The URL")
    assert url not in refused.value.detail


def test_without_a_key_no_webhook_is_taken() -> None:
    with pytest.raises(InvalidSubscription, match="no key to keep webhooks' secrets"):
        outlet(secret_keys=None).check_url("http://127.0.0.1:80/")
    outlet().check_url("http://127.0.0.1:80/")


def test_a_receiver_that_is_gone_is_told_until_that_is_stored() -> None:
    told: list[tuple[str, PauseReason]] = []
    stored = asyncio.Event()

    async def disable(subscription: Subscription, reason: PauseReason) -> None:
        told.append((subscription.name, reason))
        if len(told) == 1:
            raise KafkaUnavailable
        stored.set()

    async def scenario(other: Receiver) -> None:
        supply: Supply[Consumed] = Supply(0, 7, ("notes",), Bounds(10, 10**6), "key")
        supply.add("notes", 0, 0, "")
        one = record(0)
        supply.offer("notes", 0, [Event(0, one.timestamp, None, 1, one)], 0, 1)
        async with delivering(disable) as made:
            hand = Hand(Leases(supply), lambda: True, lambda: None, lambda what, number: None)
            dispatcher = made.push(webhook(url=other.url()), hand)
            dispatcher.look()
            await stored.wait()
            await dispatcher.close()
        assert told == [("board", "gone")] * 2
        (seen,) = other.seen
        assert orjson.loads(seen.body) == "notes/0/0"

    run(scenario, status(410))
