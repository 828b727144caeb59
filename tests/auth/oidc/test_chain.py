"""Tokens as one of the ways to prove who calls."""

import asyncio
from collections.abc import Awaitable

import pytest
from tests.auth.oidc.world import CALLER, World

from eventbus_gateway.auth.chain import Authenticate, TokenVerifier, authenticator
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.errors import Unauthenticated

SETTINGS = AuthSettings.model_validate({"mode": "several", "methods": ("api_keys", "oidc", "anonymous")})


async def caller(found: Principal | Awaitable[Principal]) -> Principal:
    return found if isinstance(found, Principal) else await found


def bearer(authenticate: Authenticate, token: bytes) -> Principal | Awaitable[Principal]:
    return authenticate({b"authorization": b"Bearer " + token}, "127.0.0.1")


def test_the_chain_takes_tokens_to_their_issuers_and_a_bad_one_nowhere_else(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            verifier: TokenVerifier = tokens
            authenticate = authenticator(SETTINGS, None, verifier)
            assert await caller(bearer(authenticate, world.issuer.token("rsa"))) == CALLER
            for bad in (world.issuer.token("rsa", aud="other"), b"a.b.c", b".."):
                with pytest.raises(Unauthenticated):
                    await caller(bearer(authenticate, bad))

    asyncio.run(run())


def test_the_chain_hands_on_what_has_to_be_waited_for(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            authenticate = authenticator(SETTINGS, None, tokens)
            world.clocks.advance(10)
            world.publish(new=world.issuer.keys.pop("rsa"))
            found = bearer(authenticate, world.issuer.token("new"))
            assert not isinstance(found, Principal)
            assert await found == CALLER

    asyncio.run(run())
