"""Asking receivers whether they want deliveries."""

import asyncio

import pytest
from tests.webhooks.receiver import Script, Talk, answers, receiver, sender, status

from eventbus_gateway.webhooks.handshake import Permission, handshake

ORIGIN = "events.hospital.example"
ALLOWED = "WebHook-Allowed-Origin"
RATE = "WebHook-Allowed-Rate"


async def asked(script: Script, rate: int | None = 120) -> Permission:
    async with receiver(script) as team, sender() as one:
        permission = await handshake(one, "team", team.url(), ORIGIN, requests_per_minute=rate, timeout_seconds=10)
        (seen,) = team.seen
        assert (seen.method, seen.target, seen.body) == ("OPTIONS", "/hook", b"")
        assert seen.headers["webhook-request-origin"] == ORIGIN
        assert seen.headers.get("webhook-request-rate") == (None if rate is None else str(rate))
        return permission


@pytest.mark.parametrize(
    ("headers", "rate", "expected"),
    [
        ({ALLOWED: ORIGIN, RATE: "100"}, 120, 100),
        ({ALLOWED: ORIGIN.upper(), RATE: "100"}, 120, 100),
        ({ALLOWED: "*", RATE: "*"}, 120, None),
        ({ALLOWED: "*", RATE: "5000"}, None, 5000),
        ({ALLOWED: ORIGIN}, 120, 120),
        ({ALLOWED: ORIGIN}, None, None),
    ],
)
def test_a_receiver_grants_permission_in_headers(
    headers: dict[str, str], rate: int | None, expected: int | None
) -> None:
    permission = asyncio.run(asked(answers(status(200, headers)), rate))
    assert (permission.granted, permission.requests_per_minute) == (True, expected)


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        (200, {}),
        (204, {"Allow": "OPTIONS, POST"}),
        (200, {ALLOWED: "other.example", RATE: "100"}),
        (200, {ALLOWED: f"{ORIGIN}, other.example", RATE: "100"}),
        (200, {ALLOWED: f"x{ORIGIN}", RATE: "100"}),
        (200, {ALLOWED: "", RATE: "100"}),
        (200, {ALLOWED: ORIGIN, RATE: "0"}),
        (200, {ALLOWED: ORIGIN, RATE: "-1"}),
        (200, {ALLOWED: ORIGIN, RATE: "many"}),
        (200, {ALLOWED: ORIGIN, RATE: "9" * 10}),
        (200, {RATE: "100"}),
        (405, {ALLOWED: ORIGIN, RATE: "100"}),
        (302, {ALLOWED: ORIGIN, RATE: "100", "location": "/"}),
        (500, {ALLOWED: "*", RATE: "*"}),
    ],
)
def test_anything_else_is_no_consent(code: int, headers: dict[str, str]) -> None:
    permission = asyncio.run(asked(answers(status(code, headers))))
    assert (permission.granted, permission.attempted.status) == (False, code)


def test_two_answers_in_one_are_no_consent() -> None:
    twice = f"HTTP/1.1 200 X\r\n{ALLOWED}: {ORIGIN}\r\n{ALLOWED}: other\r\ncontent-length: 0\r\n\r\n".encode()
    assert not asyncio.run(asked(answers(twice))).granted


def test_a_receiver_that_breaks_the_connection_is_asked_once_and_grants_nothing() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()

    permission = asyncio.run(asked(script))
    assert (permission.granted, permission.attempted.failure) == (False, "reset")


def test_a_receiver_that_may_not_be_called_is_not_asked() -> None:
    async def main() -> None:
        async with sender() as one:
            url = "http://169.254.169.254/"
            permission = await handshake(one, "team", url, ORIGIN, requests_per_minute=None, timeout_seconds=10)
            assert (permission.granted, permission.attempted.failure) == (False, "forbidden_address")

    asyncio.run(main())
