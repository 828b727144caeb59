"""Tokens for receivers."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from pydantic import SecretStr
from tests.webhooks.receiver import Clock, Receiver, Script, Talk, answers, receiver, sender, settings, status

from eventbus_gateway.webhooks.oauth import ClientCredentials, NoToken, Token, Tokens

SECRET = "s3cret +/&"


def issued(text: str = "abc", seconds: object = 3600, **more: object) -> bytes:
    members = {"access_token": text, "token_type": "Bearer", "expires_in": seconds} | more
    return status(200, {"content-type": "application/json"}, orjson.dumps(members))


@asynccontextmanager
async def issuer(script: Script, clock: Clock | None = None, **values: Any) -> AsyncIterator[tuple[Receiver, Tokens]]:
    async with receiver(script) as server, sender(**values) as one:
        tokens = Tokens(one, settings(**values), clock=clock or Clock())
        yield server, tokens
        await tokens.aclose()


def client(server: Receiver, secret: str = SECRET, **values: Any) -> ClientCredentials:
    return ClientCredentials(server.url("/token"), "gate way", SecretStr(secret))._replace(**values)


def test_a_token_is_asked_for_with_the_secret_in_the_authorization_header() -> None:
    async def main() -> None:
        async with issuer(answers(issued("abc.d-e_f~+/="))) as (server, tokens):
            assert await tokens.token(client(server, scope="a b")) == Token("Bearer abc.d-e_f~+/=")
            (seen,) = server.seen
            assert (seen.method, seen.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
            assert parse_qs(seen.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
            scheme, pair = seen.headers["authorization"].split(" ")
            assert (scheme, base64.b64decode(pair)) == ("Basic", b"gate+way:s3cret+%2B%2F%26")

    asyncio.run(main())


def test_a_token_is_asked_for_with_the_secret_in_the_body_where_that_is_configured() -> None:
    async def main() -> None:
        async with issuer(answers(issued())) as (server, tokens):
            assert isinstance(await tokens.token(client(server, way="body")), Token)
            (seen,) = server.seen
            assert parse_qs(seen.body.decode()) == {
                "grant_type": ["client_credentials"],
                "client_id": ["gate way"],
                "client_secret": [SECRET],
            }
            assert "authorization" not in seen.headers

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "used_seconds"),
    [
        (3600, 3570),
        (20, 10),
        ("3600", 3570),
        (None, 270),
        (0, 270),
        (True, 270),
        (-1, 270),
        (1e300, 86_370),
        ("x", 270),
    ],
)
def test_a_token_is_used_until_shortly_before_its_end(said: object, used_seconds: float) -> None:
    async def main() -> None:
        clock = Clock()
        async with issuer(answers(issued("one", said), issued("two", said)), clock) as (server, tokens):
            for wait, text in [(0.0, "one"), (used_seconds - 0.1, "one"), (0.2, "two")]:
                clock.now += wait
                assert await tokens.token(client(server)) == Token(f"Bearer {text}")
            assert len(server.seen) == 2

    asyncio.run(main())


def test_all_who_ask_at_once_share_one_request_and_whoever_leaves_does_not_end_it() -> None:
    async def main() -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            asked.set()
            await go.wait()
            await talk.say(issued())

        async with issuer(script) as (server, tokens):
            tasks = [asyncio.create_task(tokens.token(client(server))) for _ in range(20)]
            await asked.wait()
            tasks[0].cancel()
            go.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[0], asyncio.CancelledError)
            assert found[1:] == [Token("Bearer abc")] * 19
            assert len(server.seen) == 1

    asyncio.run(main())


def test_each_client_scope_and_secret_has_a_token_of_its_own() -> None:
    async def main() -> None:
        async with issuer(answers(*(issued(str(number)) for number in range(9)))) as (server, tokens):
            clients = [
                client(server),
                client(server, client_id="other"),
                client(server, scope="a"),
                client(server, secret="guessed"),
                client(server, way="body"),
            ]
            found = [await tokens.token(one) for one in clients]
            assert len(set(found)) == len(clients)
            assert [await tokens.token(one) for one in clients] == found

    asyncio.run(main())


def test_a_refused_token_is_replaced_but_not_more_often_than_configured() -> None:
    async def main() -> None:
        clock = Clock()
        texts = [issued(str(number)) for number in range(5)]
        async with issuer(answers(*texts), clock, token_retry_seconds=5) as (server, tokens):
            first = await tokens.token(client(server))
            assert isinstance(first, Token)
            tokens.refused(client(server), first)
            assert await tokens.token(client(server)) == first
            clock.now += 5
            second = await tokens.token(client(server))
            assert second == Token("Bearer 1")
            tokens.refused(client(server), first)  # a late answer to an attempt with the first one
            clock.now += 100
            assert await tokens.token(client(server)) == second
            tokens.refused(client(server), second)
            assert await tokens.token(client(server)) == Token("Bearer 2")
            assert len(server.seen) == 3

    asyncio.run(main())


def test_a_refused_token_is_not_used_again_when_no_other_one_can_be_had() -> None:
    async def main() -> None:
        clock = Clock()
        async with issuer(answers(issued(), status(503)), clock, token_retry_seconds=5) as (server, tokens):
            first = await tokens.token(client(server))
            assert isinstance(first, Token)
            clock.now += 10
            tokens.refused(client(server), first)
            assert await tokens.token(client(server)) == NoToken("unreachable", 503)

    asyncio.run(main())


def test_a_token_is_used_to_its_end_while_no_other_one_can_be_had() -> None:
    async def main() -> None:
        clock = Clock()
        script = answers(issued("one", 100), status(503), status(503), issued("two"))
        async with issuer(script, clock, token_retry_seconds=5) as (server, tokens):
            expected = [(0, "one", 1), (75, "one", 2), (4, "one", 2), (2, "one", 3), (20, "two", 4)]
            for wait, text, requests in expected:
                clock.now += wait
                assert await tokens.token(client(server)) == Token(f"Bearer {text}")
                assert len(server.seen) == requests

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(400, body=b'{"error": "invalid_client"}'), NoToken("refused", 400)),
        (status(401), NoToken("refused", 401)),
        (status(302, {"location": "http://169.254.169.254/"}), NoToken("refused", 302)),
        (status(429), NoToken("unreachable", 429)),
        (status(500), NoToken("unreachable", 500)),
        (b"nonsense\r\n\r\n", NoToken("unreachable", None)),
        (status(200, body=b"<html>"), NoToken("unusable", 200)),
        (status(200, body=b"[]"), NoToken("unusable", 200)),
        (status(200, body=b"[" * 60_000), NoToken("unusable", 200)),
        (
            status(200, body=b'{"access_token": "a", "token_type": "Bearer", "x": "' + b"x" * 65_536 + b'"}'),
            NoToken("unusable", 200),
        ),
        (issued("a\r\nx: y"), NoToken("unusable", 200)),
        (issued("a b"), NoToken("unusable", 200)),
        (issued(""), NoToken("unusable", 200)),
        (issued("a" * 8_001), NoToken("unusable", 200)),
        (issued("a", token_type="mac"), NoToken("unusable", 200)),
        (issued("a", token_type=None), NoToken("unusable", 200)),
        (issued("a", access_token=1), NoToken("unusable", 200)),
    ],
)
def test_an_answer_without_a_bearer_token_says_why_and_is_not_asked_for_again_at_once(
    answer: bytes, expected: NoToken
) -> None:
    async def main() -> None:
        clock = Clock()
        async with issuer(answers(answer, issued()), clock, token_retry_seconds=5) as (server, tokens):
            assert await tokens.token(client(server)) == expected
            assert await tokens.token(client(server)) == expected
            assert len(server.seen) == 1

    asyncio.run(main())


def test_after_a_failure_the_authorization_server_is_asked_again_some_seconds_later() -> None:
    async def main() -> None:
        clock = Clock()
        async with issuer(answers(status(500), issued()), clock, token_retry_seconds=5) as (server, tokens):
            assert await tokens.token(client(server)) == NoToken("unreachable", 500)
            clock.now += 5
            assert await tokens.token(client(server)) == Token("Bearer abc")

    asyncio.run(main())


def test_an_authorization_server_that_may_not_be_called_is_not_called() -> None:
    async def main() -> None:
        async with issuer(answers(issued())) as (server, tokens):
            inside = client(server, token_url="http://169.254.169.254/token")
            assert await tokens.token(inside) == NoToken("unreachable", None)

    asyncio.run(main())


def test_tokens_that_are_kept_are_bounded_and_the_least_used_one_goes_first() -> None:
    async def main() -> None:
        async with issuer(answers(issued()), max_tokens=2) as (server, tokens):
            for scope in ["a", "b", "a", "c", "a"]:
                await tokens.token(client(server, scope=scope))
            assert len(tokens) == 2
            assert len(server.seen) == 3

    asyncio.run(main())


def test_closing_leaves_nobody_waiting() -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            asked.set()
            await talk.reader.read()

        async with issuer(script) as (server, tokens):
            task = asyncio.create_task(tokens.token(client(server)))
            await asked.wait()
            await tokens.aclose()
            assert await task == NoToken("unreachable")

    asyncio.run(main())


def test_neither_secret_nor_token_shows_in_texts_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with issuer(answers(issued("t0ken"), issued("t0ken\x00"))) as (server, tokens):
            credentials = client(server)
            token = await tokens.token(credentials)
            assert "s3cret" not in repr(credentials)
            assert "t0ken" not in repr(token)
            await tokens.token(client(server, scope="x"))

    asyncio.run(main())
    assert "s3cret" not in caplog.text
    assert "t0ken" not in caplog.text
