"""Which receivers are trusted."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
import trustme
import uvloop
from tests.webhooks.receiver import OK, Book, Talk, answers, outbound, receiver, sender

NAME = "team.example"
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = str(folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.file)

    def server(self, name: str, *, ends: datetime.datetime | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        begins = None if ends is None else ends - datetime.timedelta(days=1)
        self._authority.issue_cert(name, not_before=begins, not_after=ends).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def called(tls: ssl.SSLContext, ca_file: str | None, host: str = NAME) -> tuple[int | None, str | None, int]:
    async with receiver(answers(OK), tls=tls) as team, sender(Book({NAME: ["127.0.0.1"]}), ca_file=ca_file) as one:
        attempted = await one.send(outbound(team.url(host=host)))
        return attempted.status, attempted.failure, len(team.seen)


@pytest.mark.parametrize("host", [NAME, f"{NAME}.", NAME.upper()])
def test_a_receiver_that_the_configured_authority_vouches_for_is_called(authority: Authority, host: str) -> None:
    for run in (asyncio.run, uvloop.run):
        assert run(called(authority.server(NAME), authority.file, host)) == (200, None, 1)


def test_a_receiver_can_be_an_address_with_a_certificate(authority: Authority) -> None:
    assert asyncio.run(called(authority.server("127.0.0.1"), authority.file, "127.0.0.1")) == (200, None, 1)


def test_a_certificate_of_another_host_is_refused(authority: Authority) -> None:
    for other in ("other.example", "127.0.0.1", "sub.team.example"):
        for run in (asyncio.run, uvloop.run):
            assert run(called(authority.server(other), authority.file)) == (None, "tls", 0)


def test_a_certificate_that_has_ended_is_refused(authority: Authority) -> None:
    assert asyncio.run(called(authority.server(NAME, ends=LONG_AGO), authority.file)) == (None, "tls", 0)


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    assert asyncio.run(called(authority.server(NAME), None)) == (None, "tls", 0)


def test_a_certificate_that_vouches_for_itself_is_refused(authority: Authority, tmp_path: Path) -> None:
    assert asyncio.run(called(Authority(tmp_path).server(NAME), authority.file)) == (None, "tls", 0)


def test_an_old_version_of_tls_is_refused(authority: Authority) -> None:
    context = authority.server(NAME)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    code, failure, requests = asyncio.run(called(context, authority.file))
    assert (code, requests) == (None, 0)
    assert failure in {"tls", "connect"}  # some servers end the connection without a word


def test_a_receiver_that_does_not_speak_tls_is_not_sent_anything(authority: Authority) -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def script(talk: Talk) -> None:
            got.append(await talk.reader.read(1_000))
            await talk.say(OK)

        async with receiver(script) as team, sender(ca_file=authority.file) as one:
            attempted = await one.send(outbound(team.url().replace("http://", "https://"), b"payload"))
            assert (attempted.status, attempted.failure) == (None, "tls")
            assert b"payload" not in b"".join(got)

    asyncio.run(main())


def test_deliveries_share_a_connection_and_its_handshake(authority: Authority) -> None:
    async def main() -> None:
        book = Book({NAME: ["127.0.0.1"]})
        async with (
            receiver(answers(OK), tls=authority.server(NAME)) as team,
            sender(book, ca_file=authority.file) as one,
        ):
            assert [(await one.send(outbound(team.url(host=NAME)))).status for _ in range(3)] == [200, 200, 200]
            assert team.connections == 1

    asyncio.run(main())


def test_an_address_that_leaves_the_handshake_unanswered_does_not_take_the_time_of_the_next_one(
    authority: Authority,
) -> None:
    async def main() -> None:
        async def silent(talk: Talk) -> None:
            await talk.reader.read()

        book = Book({NAME: ["127.0.0.1", "127.0.0.2"]})
        async with (
            receiver(silent) as first,
            receiver(answers(OK), host="127.0.0.2", port=first.port, tls=authority.server(NAME)) as team,
            sender(book, ca_file=authority.file, connect_timeout_seconds=1) as one,
        ):
            assert (await one.send(outbound(team.url(host=NAME)))).status == 200
            assert first.connections == 1

    asyncio.run(main())
