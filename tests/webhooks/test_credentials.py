"""What proves to a receiver who is calling."""

import asyncio
from typing import Any

import pytest
from tests.webhooks.dispatching import Issuer, webhook

from eventbus_gateway.subscriptions.webhook_auth import Auth, BearerAuth, HeaderAuth, OAuth2Auth
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.credentials import Credentials
from eventbus_gateway.webhooks.oauth import NoToken

OAUTH2 = {
    "type": "oauth2",
    "tokenUrl": "https://login.example/token",
    "clientId": "gateway",
    "clientSecret": "s3cret",
    "scope": "events",
}


def auth(**members: Any) -> Auth:
    delivery = webhook(auth=members).spec.delivery
    assert isinstance(delivery, WebhookDelivery)
    assert delivery.auth is not None
    return delivery.auth


def test_without_any_nothing_is_proved() -> None:
    assert Credentials(None, Issuer()).fixed == {}
    assert Credentials(None, Issuer()).is_usable


def test_a_bearer_token_and_headers_go_with_every_request_and_are_never_fetched() -> None:
    async def scenario() -> None:
        bearer = Credentials(auth(type="bearer", token="t-1"), Issuer())
        assert bearer.fixed == await bearer.headers() == {"authorization": "Bearer t-1"}
        headers = Credentials(auth(type="headers", headers={"X-Api-Key": "k", "x-other": "o"}), Issuer())
        assert headers.fixed == await headers.headers() == {"x-api-key": "k", "x-other": "o"}
        headers.refused()
        assert headers.fixed == {"x-api-key": "k", "x-other": "o"}

    asyncio.run(scenario())


def test_an_access_token_is_asked_for_each_time_and_replaced_once_the_receiver_has_refused_it() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        found = Credentials(auth(**OAUTH2), issuer)
        assert found.fixed is None
        found.refused()  # nothing was sent yet, so nothing was refused
        assert await found.headers() == await found.headers() == {"authorization": "Bearer gateway-1"}
        found.refused()
        assert await found.headers() == {"authorization": "Bearer gateway-2"}
        issuer.result = NoToken("refused", 401)
        assert await found.headers() is None
        assert found.is_usable

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "broken",
    [
        BearerAuth(type="bearer"),
        HeaderAuth.model_validate({"type": "headers", "headers": {"x-a": "1", "x-b": None}}),
        OAuth2Auth.model_validate({key: value for key, value in OAUTH2.items() if key != "clientSecret"}),
    ],
)
def test_with_a_secret_that_cannot_be_had_nothing_is_proved(broken: Auth) -> None:
    found = Credentials(broken, Issuer())
    assert found.fixed is None
    assert asyncio.run(found.headers()) is None
    assert not found.is_usable
