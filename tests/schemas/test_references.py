"""Schemas that take named types from other subjects."""

import asyncio

from tests.schemas.bench import LATEST, opened, record
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import Canned

from eventbus_gateway.errors import (
    RegistryUnavailable,
    SchemaUnusable,
)

ADDRESS = record("city", name="Address")
PERSON = record("home", name="Person", of="Address")


def test_named_types_of_other_subjects_are_compiled_in_the_order_of_their_use(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("address", ADDRESS)
        server.register("person", PERSON, references=(("Address", "address", 1),))
        server.register(
            "orders-value",
            record("buyer", of="Person"),
            references=(("Person", "person", 1), ("Address", "address", 1)),
        )
        async with opened(server) as bench:
            schema = await bench.get()
            assert schema.codec.encode({"buyer": {"home": {"city": "Ulm"}}})[5:] == b"\x06Ulm"
            assert [list(named) for named in bench.compiler.named] == [[ADDRESS, PERSON]]
            assert server.targets == [LATEST, "/subjects/person/versions/1", "/subjects/address/versions/1"]

    asyncio.run(scenario())


def test_references_are_not_followed_again_when_the_id_is_the_same(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("address", ADDRESS)
        server.register("orders-value", record("to", of="Address"), references=(("Address", "address", 1),))
        async with opened(server) as bench:
            await bench.get()
            bench.clock.now += 61
            bench.ready()
            await bench.refreshed(3)
            assert server.targets[2] == LATEST

    asyncio.run(scenario())


def test_a_reference_that_leads_nowhere_makes_the_schema_unusable(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("orders-value", record("to", of="Address"), references=(("Address", "address", 1),))
        server.register("others-value", record("to", of="Street"), references=(("Street", "orders-value", 9),))
        async with opened(server) as bench:
            for subject in ("orders-value", "others-value"):
                error = await bench.refusal(bench.get(subject))
                assert isinstance(error, SchemaUnusable)
                assert "leads nowhere" in error.detail

    asyncio.run(scenario())


def test_references_in_a_circle_make_the_schema_unusable(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("a", record("b", name="A", of="B"), references=(("B", "b", 1),))
        server.register("b", record("a", name="B", of="A"), references=(("A", "a", 1),))
        server.register("orders-value", record("a", of="A"), references=(("A", "a", 1),))
        async with opened(server) as bench:
            for subject in ("orders-value", "a"):
                error = await bench.refusal(bench.get(subject))
                assert isinstance(error, SchemaUnusable)
                assert "leads back to itself" in error.detail

    asyncio.run(scenario())


def test_references_are_bounded_in_depth_and_bytes(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("level-0", record("id", name="Level0"))
        for level in range(1, 30):
            below = f"Level{level - 1}"
            text = record("below", name=f"Level{level}", of=below)
            server.register(f"level-{level}", text, references=((below, f"level-{level - 1}", 1),))
        async with opened(server) as bench:
            assert (await bench.get("level-16")).version == 1
            error = await bench.refusal(bench.get("level-17"))
            assert isinstance(error, SchemaUnusable)
            assert "levels" in error.detail
        async with opened(server, max_schema_bytes=1_024) as bench:
            error = await bench.refusal(bench.get("level-16"))
            assert isinstance(error, SchemaUnusable)
            assert "exceed 1024 bytes" in error.detail

    asyncio.run(scenario())


def test_a_reference_that_the_registry_cannot_answer_is_tried_again_later(server: RegistryServer) -> None:
    async def scenario() -> None:
        server.register("address", ADDRESS)
        server.register("orders-value", record("to", of="Address"), references=(("Address", "address", 1),))
        server.answer = lambda seen: Canned(500) if "address" in seen.target else None
        async with opened(server) as bench:
            for _ in range(3):
                assert isinstance(await bench.refusal(bench.get()), RegistryUnavailable)
            assert len(server.seen) == 2
            server.answer = lambda _: None
            bench.clock.now += 2
            assert (await bench.get()).version == 1

    asyncio.run(scenario())
