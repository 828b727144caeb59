"""Deliveries to receivers that fail, lie, or mean harm."""

import asyncio
import logging

import pytest
from tests.webhooks.receiver import OK, Script, Talk, answers, outbound, receiver, sender, status

HEAD = b"HTTP/1.1 200 OK\r\n"


def says(text: bytes) -> Script:
    """Answers each first request with these bytes and ends the connection."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(text)

    return script


async def attempt(script: Script, seconds: float = 10.0) -> tuple[int | None, str | None, int]:
    async with receiver(script) as team, sender() as one:
        attempted = await one.send(outbound(team.url(), timeout=seconds))
        return attempted.status, attempted.failure, len(team.seen)


@pytest.mark.parametrize(
    ("text", "code", "failure"),
    [
        (b"", None, "reset"),
        (HEAD + b"content-length: 10\r\n\r\nabc", 200, "truncated"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n", 200, "truncated"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 200, "protocol"),
        (b"not http at all\r\n\r\n", None, "protocol"),
        (b"HTTP/1.1 abc\r\n\r\n", None, "protocol"),
        (HEAD + b"content-length: -1\r\n\r\n", None, "protocol"),
        (HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n", None, "protocol"),
        (HEAD + b"x: abcdef\r\n" * 20_000 + b"\r\n", None, "protocol"),
        (b"\x15\x03\x01\x00\x02\x02\x46", None, "protocol"),
    ],
)
def test_an_answer_that_is_not_whole_or_not_http_is_a_failure(text: bytes, code: int | None, failure: str) -> None:
    assert asyncio.run(attempt(says(text))) == (code, failure, 1)


def test_an_answer_that_ends_inside_its_head_is_a_failure() -> None:
    assert asyncio.run(attempt(says(HEAD + b"content-le"))) == (None, "truncated", 1)


def test_a_connection_that_is_reset_is_a_failure_and_nothing_is_sent_again() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        talk.reset()

    assert asyncio.run(attempt(script)) == (None, "reset", 1)


def test_a_delivery_is_not_sent_again_when_a_used_connection_ends_before_the_answer() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(OK)
            await talk.request()  # and no answer, as of a server that closes an idle connection at that moment

        async with receiver(script) as team, sender() as one:
            first, second = [await one.send(outbound(team.url())) for _ in range(2)]
            assert (first.status, second.status, second.failure) == (200, None, "reset")
            assert [seen.connection for seen in team.seen] == [1, 1]

    asyncio.run(main())


def test_other_methods_are_not_sent_again_either() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()

        async with receiver(script) as team, sender() as one:
            for method in ("OPTIONS", "GET", "PUT"):
                answer = await one.exchange(method, outbound(team.url()), 1_000)
                assert (answer.attempted.status, answer.attempted.failure) == (None, "reset")
            assert [seen.method for seen in team.seen] == ["OPTIONS", "GET", "PUT"]

    asyncio.run(main())


def test_what_nobody_asked_for_is_not_taken_for_the_next_answer() -> None:
    async def main() -> None:
        waiting, spoiled = asyncio.Event(), asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(status(503))
            if talk.number == 1:
                await waiting.wait()
                await talk.say(OK)
                spoiled.set()
            await talk.request()
            await talk.say(status(503))

        async with receiver(script) as team, sender() as one:
            assert (await one.send(outbound(team.url()))).status == 503
            waiting.set()
            await spoiled.wait()
            async with receiver(answers(OK)) as other:  # the loop has read the stray answer by then
                assert (await one.send(outbound(other.url()))).status == 200
            assert (await one.send(outbound(team.url()))).status == 503
            assert [seen.connection for seen in team.seen] == [1, 2]

    asyncio.run(main())


def test_two_answers_to_one_request_end_the_connection() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(status(503) + OK)
            await talk.request()
            await talk.say(status(503))

        async with receiver(script) as team, sender() as one:
            assert [(await one.send(outbound(team.url()))).status for _ in range(3)] == [503, 503, 503]
            assert [seen.connection for seen in team.seen] == [1, 2, 3]

    asyncio.run(main())


def test_a_receiver_that_never_answers_costs_its_time_and_no_more() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.reader.read()

    assert asyncio.run(attempt(script, 0.1)) == (None, "timeout", 1)


def test_an_answer_that_never_ends_within_the_bound_costs_its_time_and_no_more() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(HEAD + b"content-length: 10\r\n\r\nabc")
        await talk.reader.read()

    assert asyncio.run(attempt(script, 0.1)) == (200, "timeout", 1)


def test_a_receiver_that_only_announces_answers_is_refused() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        while True:
            await talk.say(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)

    assert asyncio.run(attempt(script)) == (None, "protocol", 1)


def test_a_head_that_never_ends_is_refused() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(HEAD)
        while True:
            await talk.say(b"x: y\r\n" * 100)

    assert asyncio.run(attempt(script)) == (None, "protocol", 1)


@pytest.mark.parametrize(
    "head", [HEAD + b"content-length: 100000000000\r\n\r\n", HEAD + b"connection: close\r\n\r\n"]
)
def test_an_answer_without_end_is_dropped_at_the_bound_and_its_status_counts(head: bytes) -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(head)
            while True:  # until the client ends the connection
                await talk.say(b"x" * 10_000)

        async with receiver(script) as team, sender(max_answer_bytes=65_536) as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.failure) == (200, None)
            await asyncio.wait_for(team.ended.wait(), 10)

    asyncio.run(main())


def test_a_long_answer_within_the_bound_leaves_the_connection_for_the_next_one() -> None:
    async def main() -> None:
        async with receiver(answers(status(200, body=b"x" * 60_000))) as team, sender(max_answer_bytes=60_000) as one:
            for _ in range(2):
                assert (await one.send(outbound(team.url()))).status == 200
            assert team.connections == 1
        async with (
            receiver(answers(status(200, body=b"x" * 1_000_000))) as team,
            sender(max_answer_bytes=60_000) as one,
        ):
            for _ in range(2):
                assert (await one.send(outbound(team.url()))).status == 200
            assert team.connections == 2

    asyncio.run(main())


def test_an_answer_before_the_end_of_the_request_counts_and_ends_the_connection() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.reader.readuntil(b"\r\n\r\n")
            await talk.say(status(413))
            await talk.reader.read()

        async with receiver(script) as team, sender() as one:
            attempted = await one.send(outbound(team.url(), b"x" * 20_000_000))
            assert attempted.status == 413
            assert (await one.send(outbound(team.url()))).status == 413
            assert team.connections == 2
            await asyncio.wait_for(team.ended.wait(), 10)

    asyncio.run(main())


@pytest.mark.parametrize("headers", [b"connection: upgrade\r\nupgrade: x\r\n\r\nof another protocol", b"\r\n"])
def test_switching_protocols_is_an_answer_whose_connection_is_not_used_again(headers: bytes) -> None:
    async def main() -> None:
        upgrade = b"HTTP/1.1 101 X\r\n" + headers
        async with receiver(answers(upgrade)) as team, sender() as one:
            for _ in range(2):
                attempted = await one.send(outbound(team.url()))
                assert attempted.status == 101
            assert team.connections == 2

    asyncio.run(main())


def test_nobody_listening_is_a_failure_to_connect() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team:
            url = team.url()
        async with sender() as one:
            attempted = await one.send(outbound(url))
            assert (attempted.status, attempted.failure) == (None, "connect")

    asyncio.run(main())


def test_connecting_has_a_time_of_its_own() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.reader.read()  # no answer to a TLS handshake

        async with receiver(script) as team, sender(connect_timeout_seconds=0.1) as one:
            attempted = await one.send(outbound(team.url().replace("http://", "https://")))
            assert (attempted.status, attempted.failure) == (None, "connect")
            assert attempted.seconds < 5

    asyncio.run(main())


def test_nothing_of_what_is_sent_or_answered_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [b"", b"s3cret\r\n\r\n", HEAD + b"content-length: 10\r\n\r\ns3c", HEAD + b"x: s3cret\xff\x00\r\n\r\n"]
    for text in texts:
        asyncio.run(attempt(says(text)))
    assert not [record for record in caplog.records if record.name != "asyncio"]
    assert "s3c" not in caplog.text
