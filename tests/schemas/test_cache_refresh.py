"""How the latest version of a subject is followed while the registry changes or fails."""

import asyncio
import logging

import pytest
from tests.schemas.bench import LATEST, PLAIN, opened, record
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import Canned

from eventbus_gateway.errors import (
    SchemaMissing,
)


def test_a_new_version_is_used_once_the_time_to_live_has_passed(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, latest_ttl_seconds=60) as bench:
            old = await bench.get()
            server.register("orders-value", record("id", "note"))
            bench.clock.now += 59.9
            assert bench.ready() is old
            assert not bench.refreshing()
            bench.clock.now += 0.1
            assert bench.ready() is old
            await bench.refreshed(requests=2)
            new = bench.ready()
            assert new is not None
            assert (new.id, new.version) == (2, 2)
            assert await bench.get() is new

    asyncio.run(scenario())


def test_the_time_to_live_counts_from_when_the_registry_was_asked(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, latest_ttl_seconds=60) as bench:
            with server.hold():
                caller = asyncio.create_task(bench.get())
                await asyncio.to_thread(server.wait_for_requests, 1)
                bench.clock.now += 4
            await caller
            bench.clock.now += 56
            bench.ready()
            await bench.refreshed(requests=2)

    asyncio.run(scenario())


def test_a_stale_schema_starts_one_refresh_however_often_it_is_used(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            old = await bench.get()
            bench.clock.now += 61
            with server.hold():
                for _ in range(100):
                    assert bench.ready() is old
                    assert await bench.get() is old
                await asyncio.to_thread(server.wait_for_requests, 2)
                bench.clock.now += 61
                assert bench.ready() is old
            await bench.refreshed(requests=2)

    asyncio.run(scenario())


def test_a_refresh_that_finds_the_same_id_does_not_compile_again(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, latest_ttl_seconds=60) as bench:
            old = await bench.get()
            for requests in (2, 3):
                bench.clock.now += 60
                assert bench.ready() is old
                await bench.refreshed(requests)
                assert bench.ready() is old
            assert len(bench.compiler.texts) == 1
            assert bench.schemas.stats().refresh_failures == 0

    asyncio.run(scenario())


def test_a_version_registered_again_keeps_its_codec(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            old = await bench.get()
            server.register("orders-value", record("id"))
            bench.clock.now += 61
            bench.ready()
            await bench.refreshed(requests=2)
            new = bench.ready()
            assert new is not None
            assert (new.version, new.id) == (2, old.id)
            assert new.codec is old.codec

    asyncio.run(scenario())


FAILURES: dict[str, Canned] = {
    "500": Canned(500, b"stack trace"),
    "401": Canned(401, b""),
    "html": Canned(200, b"<html>"),
    "cut": Canned(200, b'{"subject": "orders-va'),
    "wrong types": Canned(200, b'{"subject": 1, "id": "x"}'),
    "huge": Canned(200, b" " * 3_000_000),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_the_last_good_schema_is_served_however_long_the_registry_is_wrong(
    server: RegistryServer, failure: Canned
) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, retry_seconds=2) as bench:
            good = await bench.get()
            server.answer = lambda _: failure
            bench.clock.now += 61
            for requests in range(2, 6):
                assert bench.ready() is good
                await bench.refreshed(requests)
                assert await bench.get() is good
                assert bench.schemas.stats().refresh_failures == requests - 1
                assert bench.schemas.stats().stale == 1
                bench.clock.now += 2
            server.answer = lambda _: None
            server.register("orders-value", record("id", "note"))
            bench.ready()
            await bench.refreshed(6)
            new = bench.ready()
            assert new is not None
            assert new.version == 2
            assert bench.schemas.stats().stale == 0

    asyncio.run(scenario())


def test_a_failed_refresh_is_not_repeated_before_its_time(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, retry_seconds=2) as bench:
            good = await bench.get()
            server.down()
            bench.clock.now += 61
            assert bench.ready() is good
            await bench.until(lambda: bench.schemas.stats().refresh_failures == 1 and not bench.refreshing())
            bench.clock.now += 1.9
            assert bench.ready() is good
            assert not bench.refreshing()
            bench.clock.now += 0.1
            assert bench.ready() is good
            assert bench.refreshing()
            await bench.until(lambda: bench.schemas.stats().refresh_failures == 2)

    asyncio.run(scenario())


def test_a_refresh_that_starts_to_fail_is_logged_once(
    server: RegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            await bench.get()
            server.answer = lambda _: Canned(500)
            for requests in range(2, 5):
                bench.clock.now += 61
                bench.ready()
                await bench.refreshed(requests)

    with caplog.at_level(logging.WARNING, "eventbus_gateway"):
        asyncio.run(scenario())
    assert [line.getMessage() for line in caplog.records] == [
        "subject orders-value stays at version 1: the schema registry answered 500"
    ]


def test_a_new_version_that_cannot_be_used_leaves_the_old_one_in_use(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, latest_ttl_seconds=60) as bench:
            good = await bench.get()
            server.register("orders-value", "not a schema")
            bench.clock.now += 60
            assert bench.ready() is good
            await bench.refreshed(2)
            assert bench.ready() is good
            assert bench.schemas.stats().refresh_failures == 1
            server.register("orders-value", record("id", "note"))
            bench.clock.now += 60
            bench.ready()
            await bench.refreshed(3)
            new = bench.ready()
            assert new is not None
            assert new.version == 3

    asyncio.run(scenario())


def test_a_deleted_subject_stays_in_use_while_its_records_can_be_read(server: RegistryServer) -> None:
    async def scenario() -> None:
        schema_id = server.register("orders-value", record("id"))
        async with opened(server) as bench:
            good = await bench.get()
            server.delete("orders-value")
            bench.clock.now += 61
            assert bench.ready() is good
            await bench.refreshed(3)
            assert server.targets[1:] == [LATEST, f"/schemas/ids/{schema_id}"]
            assert bench.ready() is good
            assert bench.schemas.stats().stale == 1

    asyncio.run(scenario())


def test_a_subject_deleted_for_good_is_missing_from_the_next_refresh_on(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            good = await bench.get()
            server.delete("orders-value", permanently=True)
            bench.clock.now += 61
            assert bench.ready() is good
            await bench.refreshed(3)
            assert bench.ready() is None
            assert isinstance(await bench.refusal(bench.get()), SchemaMissing)

    asyncio.run(scenario())


def test_a_deletion_that_cannot_be_confirmed_leaves_the_schema_in_use(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            good = await bench.get()
            server.delete("orders-value", permanently=True)
            server.answer = lambda seen: Canned(503) if "/ids/" in seen.target else None
            bench.clock.now += 61
            bench.ready()
            await bench.refreshed(3)
            assert bench.ready() is good

    asyncio.run(scenario())


def test_an_event_that_does_not_fit_can_have_the_registry_asked_for_a_newer_version(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, retry_seconds=2) as bench:
            old = await bench.get()
            server.register("orders-value", record("id", "note"))
            assert await bench.schemas.newer(old, PLAIN) is None
            assert len(server.seen) == 1
            bench.clock.now += 2
            with server.hold():
                callers = [asyncio.create_task(bench.schemas.newer(old, PLAIN)) for _ in range(10)]
                await asyncio.to_thread(server.wait_for_requests, 2)
            found = await asyncio.gather(*callers)
            assert {schema.version for schema in found if schema is not None} == {2}
            assert None not in found
            assert len(server.seen) == 2
            new = bench.ready()
            assert new is not None
            assert await bench.schemas.newer(new, PLAIN) is None
            bench.clock.now += 2
            assert await bench.schemas.newer(new, PLAIN) is None
            assert len(server.seen) == 3

    asyncio.run(scenario())


def test_a_registry_that_is_down_has_no_newer_version(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            old = await bench.get()
            server.down()
            bench.clock.now += 2
            assert await bench.schemas.newer(old, PLAIN) is None

    asyncio.run(scenario())


def test_a_schema_that_was_evicted_during_its_refresh_has_refreshes_of_its_own(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        server.register("others-value", record("id"))
        async with opened(server, max_schemas=1) as bench:
            await bench.get()
            server.register("orders-value", record("id", "note"))
            bench.compiler.open.clear()
            bench.clock.now += 61
            bench.ready()
            await bench.until(lambda: len(bench.compiler.texts) == 2)
            # The refresh hangs in the compiler; the id of the others and of the third version needs none.
            await bench.get("others-value")
            server.register("orders-value", record("id"))
            assert (await bench.get()).version == 3
            requests = len(server.seen)
            bench.clock.now += 61
            bench.ready()
            await asyncio.to_thread(server.wait_for_requests, requests + 1)
            bench.compiler.open.set()
            await bench.until(lambda: not bench.refreshing())
            schema = bench.ready()
            assert schema is not None
            assert schema.version == 3

    asyncio.run(scenario())
