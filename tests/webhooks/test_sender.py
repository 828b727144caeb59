"""Deliveries to receivers that behave."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.webhooks.receiver import OK, Book, Talk, answers, outbound, receiver, sender, status

from eventbus_gateway.errors import ShuttingDown
from eventbus_gateway.webhooks.outbound import Outbound
from eventbus_gateway.webhooks.sender import Sender
from eventbus_gateway.webhooks.settings import WebhookSettings


def test_a_delivery_arrives_as_it_was_given_with_nothing_added_but_framing() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team, sender() as one:
            headers = {"content-type": "application/json", "webhook-id": "msg_1", "authorization": "Bearer x"}
            attempted = await one.send(outbound(team.url("/a%2Fb?x=%2B1"), b'{"n": 1}', headers=headers))
            assert (attempted.status, attempted.failure) == (200, None)
            (seen,) = team.seen
            assert (seen.method, seen.target, seen.body) == ("POST", "/a%2Fb?x=%2B1", b'{"n": 1}')
            assert seen.headers == {
                **headers,
                "host": f"127.0.0.1:{team.port}",
                "user-agent": "eventbus-gateway",
                "accept-encoding": "identity",
                "content-length": "8",
            }

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 1, 100_000, 1_048_577, 5_000_000])
def test_bodies_of_every_size_arrive_whole(size: int) -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team, sender() as one:
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            assert (await one.send(outbound(team.url(), body))).status == 200
            assert team.seen[0].body == body
            assert team.seen[0].headers["content-length"] == str(size)

    asyncio.run(main())


def test_deliveries_one_after_another_share_a_connection() -> None:
    async def main() -> None:
        short = status(204)
        chunked = b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        async with (
            receiver(answers(OK, short, chunked, status(200, body=b"x" * 30_000), OK)) as team,
            sender() as one,
        ):
            statuses = [(await one.send(outbound(team.url()))).status for _ in range(5)]
            assert statuses == [200, 204, 500, 200, 200]
            assert team.connections == 1

    asyncio.run(main())


def test_an_answer_that_comes_in_pieces_is_read_to_its_end() -> None:
    async def main() -> None:
        async def slowly(talk: Talk) -> None:
            while True:
                await talk.request()
                for byte in status(201, body=b"thanks"):
                    await talk.say(bytes([byte]))

        async with receiver(slowly) as team, sender() as one:
            assert [(await one.send(outbound(team.url()))).status for _ in range(2)] == [201, 201]
            assert team.connections == 1

    asyncio.run(main())


def test_a_connection_that_the_receiver_ends_after_its_answer_is_not_used_again() -> None:
    async def main() -> None:
        async def once(talk: Talk) -> None:
            await talk.request()
            await talk.say(status(200, {"connection": "close"}))

        async with receiver(once) as team, sender() as one:
            assert [(await one.send(outbound(team.url()))).status for _ in range(3)] == [200, 200, 200]
            assert team.connections == 3

    asyncio.run(main())


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(code: int) -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as other:
            location = {"location": other.url("/stolen")}
            async with receiver(answers(status(code, location))) as team, sender() as one:
                attempted = await one.send(outbound(team.url()))
                assert (attempted.status, attempted.failure) == (code, None)
            assert other.connections == 0

    asyncio.run(main())


def test_a_redirect_to_the_metadata_service_is_an_answer_like_any_other() -> None:
    async def main() -> None:
        location = {"location": "http://169.254.169.254/latest/meta-data/"}
        async with receiver(answers(status(307, location))) as team, sender() as one:
            assert (await one.send(outbound(team.url()))).status == 307
            assert len(team.seen) == 1

    asyncio.run(main())


def test_cookies_of_a_receiver_are_not_sent_back() -> None:
    async def main() -> None:
        cookie = status(200, {"set-cookie": "session=1; Path=/"})
        async with receiver(answers(cookie)) as team, sender(Book({"team.example": ["127.0.0.1"]})) as one:
            for _ in range(2):
                await one.send(outbound(team.url(host="team.example")))
            assert "cookie" not in team.seen[1].headers

    asyncio.run(main())


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_proxy_of_the_environment_sees_nothing() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as proxy, receiver(answers(OK)) as team:
            with environment(http_proxy=proxy.url(""), HTTP_PROXY=proxy.url(""), ALL_PROXY=proxy.url("")):
                async with sender() as one:
                    assert (await one.send(outbound(team.url()))).status == 200
            assert proxy.connections == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", "120"),
        ("Fri, 31 Dec 2027 23:59:59 GMT", "Fri, 31 Dec 2027 23:59:59 GMT"),
        ("9" * 65, None),
        ("1\xff", None),
        (None, None),
    ],
)
def test_what_the_receiver_says_about_trying_again_is_passed_on_within_a_bound(
    header: str | None, expected: str | None
) -> None:
    async def main() -> None:
        headers = {} if header is None else {"retry-after": header}
        text = status(429, headers).decode().encode("latin-1")
        async with receiver(answers(text)) as team, sender() as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.retry_after) == (429, expected)

    asyncio.run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nhost: evil"},
        {"x": "a\nb"},
        {"x": "a\rb"},
        {"x": "a\x00b"},
        {"x": "a\x7fb"},
        {"x": "ü"},
        {"x": "\u2028"},
        {"x": "a" * 8_193},
        {"a\r\nb": "x"},
        {"a b": "x"},
        {"a:": "x"},
        {"": "x"},
        {"x\u00fc": "x"},
        {"Host": "evil.example"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "close"},
        {"expect": "100-continue"},
        {"upgrade": "h2c"},
        {"cookie": "a=b"},
    ],
)
def test_a_header_that_would_change_the_request_is_not_sent(headers: dict[str, str]) -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team, sender() as one:
            assert (await one.send(outbound(team.url(), headers={"x": "fine"}))).status == 200
            attempted = await one.send(outbound(team.url(), headers=headers))
            assert (attempted.status, attempted.failure) == (None, "invalid_header")
            assert len(team.seen) == 1

    asyncio.run(main())


def test_a_slow_endpoint_takes_no_connection_of_another_one() -> None:
    async def main() -> None:
        held, release = asyncio.Event(), asyncio.Event()

        async def script(talk: Talk) -> None:
            while True:
                if (await talk.request()).target == "/slow":
                    held.set()
                    await release.wait()
                await talk.say(OK)

        async with receiver(script) as team, sender(connections_per_endpoint=2) as one:
            slow = [asyncio.create_task(one.send(outbound(team.url("/slow"), endpoint="slow"))) for _ in range(5)]
            await held.wait()
            quick = [await one.send(outbound(team.url("/quick"), endpoint="quick")) for _ in range(5)]
            assert [attempted.status for attempted in quick] == [200] * 5
            assert sum(seen.target == "/slow" for seen in team.seen) <= 2
            release.set()
            assert [attempted.status for attempted in await asyncio.gather(*slow)] == [200] * 5
            assert team.connections <= 3

    asyncio.run(main())


def test_attempts_beyond_the_bound_are_not_made_and_say_so() -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            held.set()
            await asyncio.Event().wait()

        async with (
            receiver(script) as team,
            sender(connections_per_endpoint=1, max_connections=2, max_waiting_attempts=0) as one,
        ):
            first = asyncio.create_task(one.send(outbound(team.url(), endpoint="a")))
            await held.wait()
            second = asyncio.create_task(one.send(outbound(team.url(), endpoint="b")))
            await asyncio.sleep(0)
            for endpoint in ("a", "c"):
                attempted = await one.send(outbound(team.url(), endpoint=endpoint))
                assert (attempted.status, attempted.failure) == (None, "busy")
            for task in (first, second):
                task.cancel()
            await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(main())


def test_an_attempt_that_is_cancelled_gives_its_place_and_its_connection_back() -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def script(talk: Talk) -> None:
            if (await talk.request()).target == "/slow":
                held.set()
                await talk.reader.read()  # until the client ends the connection
                return
            await talk.say(OK)

        async with receiver(script) as team, sender(connections_per_endpoint=1, max_waiting_attempts=0) as one:
            task = asyncio.create_task(one.send(outbound(team.url("/slow"))))
            await held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(team.ended.wait(), 10)
            assert (await one.send(outbound(team.url()))).status == 200

    asyncio.run(main())


def test_a_sender_that_does_not_run_says_so() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team:
            async with sender() as one:
                pass
            with pytest.raises(ShuttingDown):
                await one.send(outbound(team.url()))
            assert team.connections == 0

    asyncio.run(main())


def test_neither_headers_nor_body_nor_url_show_in_the_text_of_a_request() -> None:
    shown = repr(Outbound("https://team.example/?s3cret", {"authorization": "s3cret"}, b"s3cret", 1.0, "team"))
    assert shown == "Outbound(endpoint='team', bytes=6)"


def test_a_file_that_is_no_bundle_of_certificates_is_a_fault(tmp_path: object) -> None:
    for name in ("/dev/null", f"{tmp_path}/absent.pem"):
        with pytest.raises(ValueError, match=r"webhooks\.ca_file cannot be used"):
            Sender(WebhookSettings.model_validate({"ca_file": name}))
