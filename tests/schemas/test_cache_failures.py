"""Look-ups that fail while nothing is kept, and how long that is remembered."""

import asyncio

import pytest
from tests.schemas.bench import PLAIN, opened, record
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import Canned

from eventbus_gateway.errors import (
    RegistryUnavailable,
    SchemaMissing,
    SchemaUnusable,
    UnknownSchemaVersion,
)


def test_a_registry_that_is_down_at_the_start_is_used_once_it_is_up(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        server.down()
        async with opened(server, retry_seconds=2) as bench:
            first = await bench.refusal(bench.get())
            assert isinstance(first, RegistryUnavailable)
            assert first.retry_after == 2
            server.up()
            bench.clock.now += 1.5
            second = await bench.refusal(bench.get())
            assert isinstance(second, RegistryUnavailable)
            assert second.retry_after == 0.5
            assert second.detail == first.detail
            assert server.seen == []
            bench.clock.now += 0.5
            assert (await bench.get()).version == 1

    asyncio.run(scenario())


def test_the_registrys_own_wish_to_wait_is_kept(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.answer = lambda _: Canned(429, b"", {"retry-after": "30"})
        async with opened(server, retry_seconds=2) as bench:
            assert (await bench.refusal(bench.get())).retry_after == 30
            bench.clock.now += 29
            assert (await bench.refusal(bench.get())).retry_after == 1
            assert len(server.seen) == 1

    asyncio.run(scenario())


def test_a_slow_registry_costs_its_timeout_once_per_retry_time(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server, timeout_seconds=1) as bench:
            with server.hold():
                for _ in range(20):
                    assert "did not answer within" in (await bench.refusal(bench.get())).detail
                assert len(server.seen) == 1
            bench.clock.now += 2
            assert (await bench.get()).version == 1

    asyncio.run(scenario())


def test_a_missing_subject_is_remembered_for_a_while(server: RegistryServer) -> None:
    async def scenario() -> None:
        async with opened(server, missing_ttl_seconds=5) as bench:
            assert isinstance(await bench.refusal(bench.get()), SchemaMissing)
            server.register("orders-value", record("id"))
            bench.clock.now += 4.5
            again = await bench.refusal(bench.get())
            assert isinstance(again, SchemaMissing)
            assert again.retry_after == 0.5
            assert len(server.seen) == 1
            bench.clock.now += 0.5
            assert (await bench.get()).version == 1

    asyncio.run(scenario())


def test_an_unknown_version_is_remembered_apart_from_the_others(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("id"))
        async with opened(server) as bench:
            for _ in range(3):
                assert isinstance(await bench.refusal(bench.get(version=2)), UnknownSchemaVersion)
            assert len(server.seen) == 1
            assert (await bench.get(version=1)).version == 1

    asyncio.run(scenario())


def test_a_missing_id_is_remembered(server: RegistryServer) -> None:
    async def scenario() -> None:
        async with opened(server) as bench:
            for _ in range(3):
                assert isinstance(await bench.refusal(bench.schemas.by_id(7, PLAIN)), SchemaMissing)
            assert server.targets == ["/schemas/ids/7"]

    asyncio.run(scenario())


def test_a_remembered_failure_does_not_grow_with_every_caller(server: RegistryServer) -> None:
    async def scenario() -> None:
        async with opened(server) as bench:
            errors = [await bench.refusal(bench.get()) for _ in range(3)]
            assert len({id(error) for error in errors}) == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type": "record", "name": "Order"}', "AVRO"),
        ("not json", "AVRO"),
        ('syntax = "proto3";', "PROTOBUF"),
        ('{"type": "object"}', "JSON"),
        (record(*(f"field{number}" for number in range(100))), "AVRO"),
    ],
    ids=["no fields", "not json", "protobuf", "json schema", "too large"],
)
def test_a_schema_that_cannot_be_used_is_compiled_once_per_memory(
    server: RegistryServer, text: str, kind: str
) -> None:
    async def scenario() -> None:
        server.register("orders-value", text, kind=kind)
        async with opened(server, max_schema_bytes=1_024) as bench:
            for _ in range(3):
                assert isinstance(await bench.refusal(bench.get()), SchemaUnusable)
            assert len(server.seen) == 1
            assert len(bench.compiler.texts) <= 1
            bench.clock.now += 5
            server.register("orders-value", record("id"))
            assert (await bench.get()).version == 2

    asyncio.run(scenario())


def test_remembered_absences_are_bounded(server: RegistryServer) -> None:
    async def scenario() -> None:
        async with opened(server, max_subjects=3) as bench:
            for number in range(10):
                await bench.refusal(bench.get(f"missing-{number}"))
            assert bench.schemas.stats().absences == 3
            await bench.refusal(bench.get("missing-9"))
            assert len(server.seen) == 10
            await bench.refusal(bench.get("missing-0"))
            assert len(server.seen) == 11

    asyncio.run(scenario())
