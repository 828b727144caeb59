"""Connections: when they are used again, when they end, and what of an answer is taken."""

import asyncio
import contextlib
import socket
import struct

import pytest
import uvloop
from tests.webhooks.receiver import OK, Script, Talk, answers, outbound, receiver, sender, settings, status

from eventbus_gateway.errors import ShuttingDown
from eventbus_gateway.webhooks.outbound import Attempted
from eventbus_gateway.webhooks.sender import Sender

HEAD = b"HTTP/1.1 200 OK\r\n"


async def twice(script: Script) -> tuple[list[int | None], int]:
    """The statuses of two deliveries, and how many connections they took."""
    async with receiver(script) as team, sender() as one:
        attempts = [await one.send(outbound(team.url())) for _ in range(2)]
        assert [attempted.failure for attempted in attempts] == [None, None]
        return [attempted.status for attempted in attempts], team.connections


@pytest.mark.parametrize(
    "text",
    [
        OK,
        HEAD + b"content-length: 0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\na: b\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
        OK + b"\r\n",
    ],
)
def test_a_connection_is_used_again_after_an_answer_that_is_whole(text: bytes) -> None:
    for run in (asyncio.run, uvloop.run):
        statuses, connections = run(twice(answers(text)))
        assert statuses[0] == statuses[1]
        assert (statuses[0] is not None, connections) == (True, 1)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\nand more",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        OK + b"HTTP/1.1 500 X\r\n",
        OK + OK,
        OK + b"nonsense",
        HEAD + b"connection: upgrade\r\nupgrade: x\r\ncontent-length: 0\r\n\r\n" + OK,
    ],
)
def test_a_connection_is_not_used_again_when_that_is_announced_or_more_comes_than_was_asked_for(text: bytes) -> None:
    assert asyncio.run(twice(answers(text))) == ([200, 200], 2)


def test_an_answer_of_another_version_of_http_is_none() -> None:
    async def main() -> None:
        for text in (
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
        ):
            async with receiver(answers(text)) as team, sender() as one:
                attempted = await one.send(outbound(team.url()))
                assert (attempted.status, attempted.failure) == (None, "protocol")

    asyncio.run(main())


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.say(HEAD + b"\r\nsome text")

    async def main() -> None:
        async with receiver(script) as team, sender() as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.failure) == (200, None)
            kept = await one.exchange("GET", outbound(team.url()), 100)
            assert kept.answered.body == b"some text"
            assert team.connections == 2

    asyncio.run(main())


def test_a_body_whose_connection_is_reset_is_truncated() -> None:
    async def main() -> None:
        said, read = asyncio.Event(), asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(HEAD + b"\r\nsome text")
            said.set()
            await read.wait()
            # With no time to linger, closing sends a reset.
            end = talk.writer.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            talk.reset()

        async with receiver(script) as team, receiver(answers(OK)) as other, sender() as one:
            task = asyncio.create_task(one.send(outbound(team.url())))
            await said.wait()
            await one.send(outbound(other.url()))  # meanwhile the loop has read the head
            read.set()
            attempted = await task
            assert (attempted.status, attempted.failure) == (200, "truncated")

    asyncio.run(main())


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (1, 1), (1_000, 1_000), (1_001, 0), (200_000, 0)])
def test_a_body_is_kept_whole_or_not_at_all(length: int, kept: int) -> None:
    async def main() -> None:
        async with receiver(answers(status(200, body=b"x" * length))) as team, sender() as one:
            answer = await one.exchange("GET", outbound(team.url()), 1_000)
            assert (answer.attempted.status, answer.attempted.failure) == (200, None)
            assert answer.answered.body == b"x" * kept

    asyncio.run(main())


def test_the_body_of_a_second_answer_is_not_kept() -> None:
    async def main() -> None:
        async with receiver(answers(OK + status(200, body=b"not asked for"))) as team, sender() as one:
            assert (await one.exchange("GET", outbound(team.url()), 5)).answered.body == b"ok"

    asyncio.run(main())


def test_a_body_in_countless_small_pieces_is_dropped_at_a_bound() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            while True:  # until the client ends the connection
                await talk.say(b"1;" + b"x" * 100_000 + b"\r\nx\r\n")
                said.append(1)

        said: list[int] = []
        async with receiver(script) as team, sender() as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.failure) == (200, None)
            await asyncio.wait_for(team.ended.wait(), 10)
            assert len(said) < 500  # 50 MB, what buffers on the way can hold

    asyncio.run(main())


def test_a_trailer_is_not_taken_for_a_header() -> None:
    async def main() -> None:
        trailer = b"transfer-encoding: chunked\r\n\r\n0\r\nretry-after: 10\r\n\r\n"
        async with receiver(answers(b"HTTP/1.1 503 X\r\n" + trailer)) as team, sender() as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.retry_after) == (503, None)

    asyncio.run(main())


def test_headers_of_an_interim_or_a_second_answer_are_not_taken_for_those_of_the_answer() -> None:
    async def main() -> None:
        interim = b"HTTP/1.1 103 X\r\nretry-after: 10\r\n\r\n"
        late = b"HTTP/1.1 503 X\r\nretry-after: 10\r\ncontent-length: 0\r\n\r\n"
        async with receiver(answers(interim + status(502) + late)) as team, sender() as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.retry_after) == (502, None)

    asyncio.run(main())


def test_an_idle_connection_ends_after_its_time() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team, sender(idle_connection_seconds=0.1) as one:
            assert (await one.send(outbound(team.url()))).status == 200
            await asyncio.wait_for(team.ended.wait(), 10)
            assert (await one.send(outbound(team.url()))).status == 200
            assert team.connections == 2

    asyncio.run(main())


@pytest.mark.parametrize(("announced", "connections"), [("timeout=1, max=100", 3), ("timeout=60", 1), ("max=5", 1)])
def test_an_idle_connection_is_not_used_when_the_receiver_is_about_to_end_it(
    announced: str, connections: int
) -> None:
    async def main() -> None:
        async with (
            receiver(answers(status(200, {"Keep-Alive": announced}))) as team,
            sender(idle_connection_seconds=300) as one,
        ):
            for _ in range(3):
                assert (await one.send(outbound(team.url()))).status == 200
            assert team.connections == connections

    asyncio.run(main())


def test_deliveries_at_the_same_time_have_connections_of_their_own_and_all_are_used_again() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as team, sender() as one:
            for _ in range(5):
                attempts = await asyncio.gather(*(one.send(outbound(team.url(), b"%d" % n)) for n in range(20)))
                assert {attempted.status for attempted in attempts} == {200}
            assert (team.connections, len(team.seen)) == (20, 100)

    asyncio.run(main())


def test_closing_ends_attempts_and_connections() -> None:
    async def main() -> None:
        held = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.request()
            held.set()
            await talk.reader.read()

        async with receiver(script) as team:
            async with sender() as one:
                task = asyncio.create_task(one.send(outbound(team.url())))
                await held.wait()
            assert (await task).failure == "reset"
            await asyncio.wait_for(team.ended.wait(), 10)

    asyncio.run(main())


def test_an_attempt_that_is_still_looking_its_receiver_up_at_the_end_is_not_made() -> None:
    async def main() -> None:
        looking, go = asyncio.Event(), asyncio.Event()

        async def lookup(host: str) -> list[str]:
            looking.set()
            await go.wait()
            return ["127.0.0.1"]

        async with receiver(answers(OK)) as team:
            one = Sender(settings(), lookup=lookup)
            await one.start()
            task = asyncio.create_task(one.send(outbound(team.url(host="team.example"))))
            await looking.wait()
            go.set()
            await one.close()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(result, ShuttingDown) or (isinstance(result, Attempted) and result.failure == "dns")
            assert not team.seen

    asyncio.run(main())


def test_connections_that_are_kept_are_bounded() -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            teams = [await stack.enter_async_context(receiver(answers(OK))) for _ in range(4)]
            one = await stack.enter_async_context(sender(max_connections=2))
            for _ in range(2):
                for team in teams:
                    assert (await one.send(outbound(team.url()))).status == 200
            assert [team.connections for team in teams] == [1, 1, 2, 2]

    asyncio.run(main())


def test_an_answer_is_dropped_as_soon_as_it_passes_the_bound() -> None:
    async def main() -> None:
        async def script(talk: Talk) -> None:
            await talk.request()
            await talk.say(HEAD + b"content-length: 2000\r\n\r\n" + b"x" * 1_001)
            await talk.reader.read()  # the rest never comes

        async with receiver(script) as team, sender(max_answer_bytes=1_000) as one:
            attempted = await one.send(outbound(team.url()))
            assert (attempted.status, attempted.failure) == (200, None)

    asyncio.run(main())
