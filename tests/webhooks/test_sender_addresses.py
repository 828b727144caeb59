"""What is connected to, whatever names say and however they change."""

import asyncio
import ssl

import pytest
from tests.webhooks.receiver import OK, Book, Clock, Talk, answers, outbound, receiver, sender, settings, status

from eventbus_gateway.webhooks.addresses import AddressRules
from eventbus_gateway.webhooks.connections import Connections
from eventbus_gateway.webhooks.guard import Target, check_url, rules_of
from eventbus_gateway.webhooks.names import Names, NameTimes
from eventbus_gateway.webhooks.sender import Sender
from eventbus_gateway.webhooks.settings import WebhookSettings
from eventbus_gateway.webhooks.wire import Wire

# Of the addresses that a machine has by itself only this one may be called here.
ONE = {"allowed_networks": ("127.0.0.1/32",)}


def test_a_name_is_looked_up_and_its_address_called() -> None:
    async def main() -> None:
        book = Book({"team.example": ["127.0.0.1"]})
        async with receiver(answers(OK)) as team, sender(book) as one:
            assert (await one.send(outbound(team.url(host="team.example")))).status == 200
            assert team.seen[0].headers["host"] == f"team.example:{team.port}"

    asyncio.run(main())


def test_a_name_whose_address_changes_after_it_was_checked_is_not_called_there() -> None:
    async def main() -> None:
        book, clock = Book({"team.example": ["127.0.0.1"]}), Clock()
        closing = status(200, {"connection": "close"})
        async with (
            receiver(answers(closing)) as team,
            receiver(answers(OK), host="127.0.0.2", port=team.port) as victim,
            sender(book, clock, dns_cache_seconds=10, **ONE) as one,
        ):
            request = outbound(team.url(host="team.example"))
            assert isinstance(one.check(request.url), Target)
            assert (await one.send(request)).status == 200
            book.names["team.example"] = ["127.0.0.2"]
            assert (await one.send(request)).status == 200  # the address is still the one that was looked up
            clock.now += 11
            attempted = await one.send(request)
            assert (attempted.status, attempted.failure) == (None, "forbidden_address")
            assert victim.connections == 0
            assert len(team.seen) == 2

    asyncio.run(main())


def test_a_name_that_has_a_forbidden_address_from_the_first_is_not_called() -> None:
    async def main() -> None:
        for address in ["127.0.0.2", "::1", "::ffff:127.0.0.2", "64:ff9b::7f00:2", "169.254.169.254", "nonsense"]:
            async with (
                receiver(answers(OK), host="127.0.0.2") as victim,
                sender(Book({"team.example": [address]}), **ONE) as one,
            ):
                attempted = await one.send(outbound(victim.url(host="team.example")))
                assert (attempted.status, attempted.failure) == (None, "forbidden_address"), address
                assert victim.connections == 0

    asyncio.run(main())


def test_of_several_addresses_only_the_allowed_ones_are_tried() -> None:
    async def main() -> None:
        book = Book({"team.example": ["127.0.0.2", "127.0.0.1", "10.0.0.1"]})
        async with (
            receiver(answers(OK)) as team,
            receiver(answers(OK), host="127.0.0.2", port=team.port) as victim,
            sender(book, **ONE) as one,
        ):
            assert (await one.send(outbound(team.url(host="team.example")))).status == 200
            assert victim.connections == 0

    asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.2", "0x7f.2", "2130706434", "127.2", "[::ffff:127.0.0.2]", "[::1]", "0"])
def test_an_address_in_a_url_is_refused_before_anything_is_looked_up(host: str) -> None:
    async def main() -> None:
        book = Book()
        async with receiver(answers(OK), host="127.0.0.2") as victim, sender(book, **ONE) as one:
            attempted = await one.send(outbound(f"http://{host}:{victim.port}/"))
            assert attempted.status is None
            assert attempted.failure in {"forbidden_address", "forbidden_url"}
            assert victim.connections == 0
            assert not book.asked

    asyncio.run(main())


def test_a_connection_is_opened_only_to_an_address_that_is_judged_then() -> None:
    async def main() -> None:
        async with receiver(answers(OK)) as victim:
            open_to_all, tls = rules_of(settings()), ssl.create_default_context()
            target = check_url(victim.url(), open_to_all)
            assert isinstance(target, Target)
            names = Names(Book(), NameTimes(1, 1, 1, 1, 1))
            closed = Connections(names, AddressRules(), tls, idle_seconds=1, max_kept=1)
            assert await closed.open(target, 10) == "forbidden_address"
            assert victim.connections == 0
            connections = Connections(names, open_to_all.addresses, tls, idle_seconds=1, max_kept=1)
            assert isinstance(await connections.open(target, 10), Wire)
            await connections.aclose()

    asyncio.run(main())


def test_a_trusted_name_may_have_a_private_address_and_others_may_not() -> None:
    async def main() -> None:
        book = Book({name: ["127.0.0.1"] for name in ("hooks.internal.example", "team.example")})
        rules = {"allowed_networks": (), "allowed_hosts": ("*.internal.example",)}
        async with receiver(answers(OK)) as team, sender(book, **rules) as one:
            inside = await one.send(outbound(team.url(host="hooks.internal.example")))
            assert inside.status == 200
            outside = await one.send(outbound(team.url(host="team.example")))
            assert (outside.status, outside.failure) == (None, "forbidden_address")

    asyncio.run(main())


def test_a_trusted_name_has_no_metadata_address_and_no_denied_one() -> None:
    async def main() -> None:
        book = Book({"hooks.example": ["169.254.169.254"], "other.example": ["127.0.0.2"]})
        rules = {"allowed_hosts": ("hooks.example", "other.example"), "denied_networks": ("127.0.0.2/32",)}
        async with receiver(answers(OK), host="127.0.0.2") as victim, sender(book, **rules) as one:
            for host in ("hooks.example", "other.example"):
                attempted = await one.send(outbound(victim.url(host=host)))
                assert attempted.failure == "forbidden_address"
            assert victim.connections == 0

    asyncio.run(main())


def test_names_are_looked_up_again_only_when_their_time_is_over() -> None:
    async def main() -> None:
        book, clock = Book({"team.example": ["127.0.0.1"]}), Clock()

        async def once(talk: Talk) -> None:
            await talk.request()
            await talk.say(status(200, {"connection": "close"}))

        async with receiver(once) as team, sender(book, clock, dns_cache_seconds=10) as one:
            for wait, expected in [(0, 1), (9.9, 1), (0.2, 2)]:
                clock.now += wait
                assert (await one.send(outbound(team.url(host="team.example")))).status == 200
                assert len(book.asked) == expected

    asyncio.run(main())


def test_a_name_that_does_not_exist_or_is_not_found_in_time_is_a_failure_of_its_own() -> None:
    async def main() -> None:
        async def never(host: str) -> list[str]:
            await asyncio.Event().wait()
            return []

        async with sender(Book()) as one:
            assert (await one.send(outbound("http://absent.example/"))).failure == "dns"
        one = Sender(settings(dns_timeout_seconds=0.1), lookup=never)
        await one.start()
        assert (await one.send(outbound("http://slow.example/"))).failure == "dns"
        await one.close()

    asyncio.run(main())


def test_the_operating_system_is_asked_where_nobody_else_is_given() -> None:
    async def main() -> None:
        one = Sender(settings())
        await one.start()
        async with receiver(answers(OK)) as team:
            assert (await one.send(outbound(team.url(host="localhost")))).status == 200
        await one.close()

    asyncio.run(main())


def test_the_defaults_reach_nothing_on_this_machine() -> None:
    async def main() -> None:
        values = {"allow_http": True, "allowed_ports": ("1-65535",)}
        rules = rules_of(WebhookSettings.model_validate(values))
        assert not rules.addresses.allowed
        names = ["localhost", "127.0.0.1", "team.example"]
        async with (
            receiver(answers(OK)) as victim,
            sender(Book({name: ["127.0.0.1"] for name in names}), allowed_networks=()) as one,
        ):
            for host in names:
                assert (await one.send(outbound(victim.url(host=host)))).failure == "forbidden_address"
            assert victim.connections == 0

    asyncio.run(main())


def test_further_addresses_of_a_name_are_tried_when_nobody_listens_at_the_first() -> None:
    async def main() -> None:
        book = Book({"team.example": ["127.0.0.3", "127.0.0.2"]})
        async with receiver(answers(OK), host="127.0.0.2") as team, sender(book) as one:
            assert (await one.send(outbound(team.url(host="team.example")))).status == 200

    asyncio.run(main())


def test_a_name_with_countless_addresses_is_not_tried_at_all_of_them() -> None:
    async def main() -> None:
        # The last one listens, and is not reached.
        book = Book({"team.example": [f"127.0.1.{number}" for number in range(1, 101)] + ["127.0.0.1"]})
        async with receiver(answers(OK)) as team, sender(book) as one:
            assert (await one.send(outbound(team.url(host="team.example")))).failure == "connect"
            assert team.connections == 0

    asyncio.run(main())


def test_connections_are_shared_only_within_a_scheme_host_and_port() -> None:
    async def main() -> None:
        book = Book({"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]})
        async with receiver(answers(OK)) as team, receiver(answers(OK)) as other, sender(book) as one:
            for host in ("a.example", "b.example", "a.example"):
                assert (await one.send(outbound(team.url(host=host)))).status == 200
            assert (await one.send(outbound(other.url(host="a.example")))).status == 200
            assert [(seen.connection, seen.headers["host"].split(":")[0]) for seen in team.seen] == [
                (1, "a.example"),
                (2, "b.example"),
                (1, "a.example"),
            ]
            assert len(other.seen) == 1

    asyncio.run(main())
