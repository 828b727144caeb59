"""The keys of an issuer: at start, by age, for an unknown one, and while the issuer is down."""

import asyncio
import logging
from typing import Any

import pytest
from joserfc.jwk import Key
from loadtests.local_issuer import JWKS, LocalIssuer
from tests.auth.oidc.world import CALLER, EC, OTHER_RSA, RSA, World, principal, settings
from tests.polling import until
from tests.scripted_server import Canned

from eventbus_gateway.auth.oidc.keys import Missing, missing
from eventbus_gateway.auth.oidc.refusals import Refusal
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import GatewayError, IssuerUnavailable, Overloaded, ShuttingDown, Unauthenticated


async def error_of(tokens: OidcTokens, token: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await principal(tokens, token)
    return raised.value


def rename(world: World, *names: str, key: Key = RSA) -> list[bytes]:
    """Tokens whose keys have these names, which the issuer does not publish."""
    unpublished = LocalIssuer(lambda: world.clocks.epoch)
    unpublished.down()
    unpublished.keys = dict.fromkeys(names, key)
    return [unpublished.token(name, iss=world.issuer.url) for name in names]


@pytest.mark.parametrize(
    ("since", "failed", "step"),
    [
        (None, False, Missing.FETCH),
        (9.99, False, Missing.UNKNOWN),
        (9.99, True, Missing.UNAVAILABLE),
        (10.0, False, Missing.FETCH),
        (10.0, True, Missing.FETCH),
    ],
)
def test_a_missing_key_is_fetched_unless_that_was_tried_a_moment_ago(
    since: float | None, failed: bool, step: Missing
) -> None:
    assert missing(since, failed, 10.0) is step


def test_an_issuer_that_is_down_at_start_holds_up_nothing_and_its_tokens_wait(world: World) -> None:
    token = world.issuer.token("rsa")
    world.issuer.down()

    async def run() -> None:
        async with world.tokens() as tokens:
            world.clocks.advance(4)
            error = await error_of(tokens, token)
            assert isinstance(error, IssuerUnavailable)
            assert error.retryable
            assert error.retry_after == 6
            world.issuer.up()
            await until(lambda: world.clocks.sleeping == 1)
            world.clocks.advance(6)
            await until(lambda: world.issuer.fetches == 1 and world.clocks.sleeping == 1)
            assert tokens(token) == CALLER

    asyncio.run(run())


def test_who_does_not_want_to_wait_at_start_leaves_the_fetch_under_way(world: World) -> None:
    async def run() -> None:
        tokens = OidcTokens([settings(world.issuer)], times=world.clocks.times)
        try:
            with world.issuer.hold():
                starting = asyncio.create_task(tokens.start())
                await asyncio.to_thread(world.issuer.wait_for_requests, 1)
                starting.cancel()
                await asyncio.wait([starting])
            assert await principal(tokens, world.issuer.token("rsa")) == CALLER
            assert world.issuer.fetches == 1
        finally:
            await tokens.aclose()

    asyncio.run(run())


def test_keys_are_fetched_and_followed_also_where_there_is_no_time_to_wait_at_start(world: World) -> None:
    async def run() -> None:
        tokens = OidcTokens([settings(world.issuer)], times=world.clocks.times)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await tokens.start()
            await until(lambda: world.clocks.sleeping == 1)
            token = world.issuer.token("rsa")
            assert tokens(token) == CALLER
            del world.issuer.keys["rsa"]
            world.clocks.advance(300)
            await until(lambda: world.issuer.fetches == 2 and world.clocks.sleeping == 1)
            assert isinstance(await error_of(tokens, token), Unauthenticated)
        finally:
            await tokens.aclose()

    asyncio.run(run())


def test_a_token_has_the_keys_fetched_when_it_comes_before_the_background_does(world: World) -> None:
    token = world.issuer.token("rsa")
    world.issuer.down()

    async def run() -> None:
        async with world.tokens() as tokens:
            world.issuer.up()
            world.clocks.steady += 10  # without waking anybody
            assert await principal(tokens, token) == CALLER
            assert world.issuer.fetches == 1

    asyncio.run(run())


def test_a_token_with_an_unknown_key_has_the_keys_fetched_once_for_all_who_wait(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            world.publish(new=OTHER_RSA)
            token = world.issuer.token("new")
            assert (await error_of(tokens, token)).detail == Refusal.UNKNOWN_KEY.value
            assert world.issuer.fetches == 1  # the start's, which was a moment ago
            world.clocks.advance(10)
            with world.issuer.hold():
                found = [tokens(token) for _ in range(50)]
                waiting = [asyncio.ensure_future(one) for one in found if not isinstance(one, Principal)]
                assert len(waiting) == 50
                await asyncio.to_thread(world.issuer.wait_for_requests, 3)
            assert await asyncio.gather(*waiting) == [CALLER] * 50
            assert world.issuer.fetches == 2
            assert tokens(token) == CALLER

    asyncio.run(run())


def test_made_up_keys_cause_one_fetch_per_interval_at_the_most(world: World) -> None:
    names = [f"made-up-{number}" for number in range(200)]

    async def run() -> None:
        async with world.tokens() as tokens:
            world.clocks.advance(10)
            forged = rename(world, *names)
            for round_ in range(3):
                for token in forged:
                    assert (await error_of(tokens, token)).detail == Refusal.UNKNOWN_KEY.value
                assert world.issuer.fetches == 2 + round_
                world.clocks.advance(9.9)
                for token in forged:
                    assert (await error_of(tokens, token)).detail == Refusal.UNKNOWN_KEY.value
                assert world.issuer.fetches == 2 + round_
                world.clocks.advance(0.1)
            # Known keys are not disturbed.
            assert tokens(world.issuer.token("rsa")) == CALLER

    asyncio.run(run())


def test_made_up_keys_are_no_flood_of_fetches_while_the_issuer_is_down_either(world: World) -> None:
    failing = Canned(503)
    good = world.issuer.token("rsa")

    async def run() -> None:
        async with world.tokens() as tokens:
            world.issuer.answer = lambda path: failing if path == JWKS else None
            world.clocks.advance(10)
            for token in rename(world, *map(str, range(100))):
                # It may be good: the issuer could have published its key meanwhile.
                assert isinstance(await error_of(tokens, token), IssuerUnavailable)
            assert world.issuer.fetches == 2
            assert tokens(good) == CALLER

    asyncio.run(run())


def test_cached_keys_go_on_while_the_issuer_is_down(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def run() -> None:
        async with world.tokens() as tokens:
            world.issuer.down()
            for _ in range(5):
                await until(lambda: world.clocks.sleeping == 1)
                world.clocks.advance(300)
                await until(lambda: world.clocks.sleeping == 1)
                assert tokens(world.issuer.token("rsa")) == CALLER
            world.issuer.up()
            world.clocks.advance(10)
            await until(lambda: world.issuer.fetches == 2)
            await until(lambda: world.clocks.sleeping == 1)
            assert tokens(world.issuer.token("rsa", jti="another")) == CALLER

    asyncio.run(run())
    # Said once, however often it was tried.
    said = [record.getMessage() for record in caplog.records if record.name.startswith("eventbus_gateway.auth")]
    assert said == [
        "the keys of issuer corp cannot be fetched: connecting failed",
        "the keys of issuer corp were fetched again",
    ]


def test_keys_that_could_not_be_fetched_for_too_long_count_no_more(world: World) -> None:
    async def run() -> None:
        async with world.tokens(max_key_age_seconds=900) as tokens:
            token = world.issuer.token("rsa", exp=int(world.clocks.epoch) + 86_400)
            assert tokens(token) == CALLER
            world.issuer.down()
            for _ in range(2):
                await until(lambda: world.clocks.sleeping == 1)
                world.clocks.advance(449)
                await until(lambda: world.clocks.sleeping == 1)
                assert tokens(token) == CALLER
            world.clocks.advance(10)
            await until(lambda: len(tokens) == 0)
            assert isinstance(await error_of(tokens, token), IssuerUnavailable)

    asyncio.run(run())


def test_tokens_of_a_withdrawn_key_stop_working_after_the_refresh(world: World) -> None:
    world.publish(ec=EC)

    async def run() -> None:
        async with world.tokens() as tokens:
            withdrawn, kept = world.issuer.token("rsa"), world.issuer.token("ec", "ES256")
            assert tokens(withdrawn) == tokens(kept) == CALLER
            del world.issuer.keys["rsa"]
            assert tokens(withdrawn) == CALLER
            await until(lambda: world.clocks.sleeping == 1)
            world.clocks.advance(300)
            await until(lambda: world.issuer.fetches == 2 and world.clocks.sleeping == 1)
            assert (await error_of(tokens, withdrawn)).detail == Refusal.UNKNOWN_KEY.value
            assert tokens(kept) == CALLER

    asyncio.run(run())


@pytest.mark.parametrize("change", ["another key", "pinned to another algorithm", "for encryption", "none"])
def test_a_key_that_is_replaced_under_its_name_takes_its_tokens_along(world: World, change: str) -> None:
    entry: dict[str, Any] = {**RSA.as_dict(private=False), "kid": "rsa"}
    changed = {
        "another key": [{**OTHER_RSA.as_dict(private=False), "kid": "rsa"}],
        "pinned to another algorithm": [entry | {"alg": "PS256"}],
        "for encryption": [entry | {"use": "enc"}],
        "none": [],
    }

    async def run() -> None:
        async with world.tokens() as tokens:
            token = world.issuer.token("rsa")
            assert tokens(token) == CALLER
            world.issuer.document = changed[change]
            await until(lambda: world.clocks.sleeping == 1)
            world.clocks.advance(300)
            await until(lambda: world.issuer.fetches == 2 and world.clocks.sleeping == 1)
            assert isinstance(await error_of(tokens, token), Unauthenticated)

    asyncio.run(run())


def test_a_refresh_that_changes_nothing_keeps_what_is_remembered(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            tokens(world.issuer.token("rsa"))
            world.publish(ec=EC)
            await until(lambda: world.clocks.sleeping == 1)
            world.clocks.advance(300)
            await until(lambda: world.issuer.fetches == 2 and world.clocks.sleeping == 1)
            assert len(tokens) == 1
            assert tokens(world.issuer.token("ec", "ES256")) == CALLER

    asyncio.run(run())


def test_only_so_many_requests_wait_for_keys(world: World) -> None:
    async def run() -> None:
        async with world.tokens(max_waiting=3) as tokens:
            token = rename(world, "unknown")[0]
            for requests in (3, 5):
                world.clocks.advance(10)
                with world.issuer.hold():
                    waiting = [asyncio.create_task(error_of(tokens, token)) for _ in range(3)]
                    await asyncio.to_thread(world.issuer.wait_for_requests, requests)
                    assert isinstance(await error_of(tokens, token), Overloaded)
                assert all(isinstance(error, Unauthenticated) for error in await asyncio.gather(*waiting))

    asyncio.run(run())


def test_who_leaves_while_waiting_leaves_the_fetch_to_the_others(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            world.publish(new=OTHER_RSA)
            world.clocks.advance(10)
            token = world.issuer.token("new")
            with world.issuer.hold():
                leaving, staying = (asyncio.create_task(principal(tokens, token)) for _ in range(2))
                await asyncio.to_thread(world.issuer.wait_for_requests, 3)
                leaving.cancel()
                await asyncio.wait([leaving])
                assert leaving.cancelled()
            assert await staying == CALLER

    asyncio.run(run())


def test_whoever_waits_when_the_gateway_shuts_down_is_told_so(world: World) -> None:
    async def run() -> None:
        async with world.tokens() as tokens:
            world.clocks.advance(10)
            token = rename(world, "unknown")[0]
            with world.issuer.hold():
                waiting = asyncio.create_task(error_of(tokens, token))
                await asyncio.to_thread(world.issuer.wait_for_requests, 3)
                await tokens.aclose()
                assert isinstance(await waiting, ShuttingDown)
            assert isinstance(await error_of(tokens, token), ShuttingDown)

    asyncio.run(run())


def test_an_issuer_that_is_down_does_not_touch_another_one(world: World) -> None:
    with LocalIssuer(lambda: world.clocks.epoch) as other:
        other.keys["rsa"] = OTHER_RSA
        other.down()

        async def run() -> None:
            async with world.tokens(settings(other, prefix="partner"), settings(world.issuer)) as tokens:
                assert tokens(world.issuer.token("rsa")) == CALLER
                assert isinstance(await error_of(tokens, other.token("rsa")), IssuerUnavailable)

        asyncio.run(run())


def test_a_fault_nobody_thought_of_ends_no_refreshing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Source:
        def __init__(self) -> None:
            self.broken = True

        async def fetch(self) -> bytes:
            if self.broken:
                raise ZeroDivisionError("secret")
            return b'{"keys": []}'

        async def aclose(self) -> None:
            """There is nothing to close."""

    source = Source()

    async def run() -> None:
        tokens = OidcTokens([settings(world.issuer)], times=world.clocks.times, source=lambda _: source)
        await tokens.start()
        assert isinstance(await error_of(tokens, world.issuer.token("rsa")), IssuerUnavailable)
        source.broken = False
        await until(lambda: world.clocks.sleeping == 1)
        world.clocks.advance(10)
        await until(lambda: world.clocks.sleeping == 1)
        assert isinstance(await error_of(tokens, world.issuer.token("rsa")), Unauthenticated)
        await tokens.aclose()

    asyncio.run(run())
    assert "ZeroDivisionError was raised" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("changes", [{"prefix": "partner"}, {"issuer": "https://other.example"}])
def test_issuers_have_urls_and_prefixes_of_their_own(world: World, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="of its own"):
        OidcTokens([settings(world.issuer), settings(world.issuer, **changes)])
