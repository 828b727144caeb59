"""What every source of schemas does alike: files, Confluent's registry, the files shown as one, AWS Glue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from tests.schemas.glue_server import AwsServer, own_session
from tests.schemas.registry_server import RegistryServer, unquote_segments
from tests.scripted_server import Canned, Seen

from eventbus_gateway.api.http import Request
from eventbus_gateway.api.registry_facade import Row, registry_routes
from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.glue import GlueRegistry
from eventbus_gateway.schemas.registry import Registry
from eventbus_gateway.schemas.settings import RegistrySettings

T = TypeVar("T")

FIRST = '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}'
SECOND = (
    '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"},'
    ' {"name": "note", "type": "string", "default": "ü"}]}'
)
CONTENT = [
    ("orders-value", FIRST),
    ("orders-value", SECOND),
    ("orders-key", '"string"'),
    ("notes & more/50%-value", '["null", "string"]'),
    ("copies-value", FIRST),
]


def _folder(path: Path) -> FolderRegistry:
    numbers: dict[str, int] = {}
    for subject, text in CONTENT:
        numbers[subject] = numbers.get(subject, 0) + 1
        # A file name cannot hold a slash: this one subject is not in the folder.
        if "/" not in subject:
            (path / f"{subject}.v{numbers[subject]}.avsc").write_text(text, encoding="utf-8")
    return FolderRegistry(path)


@contextlib.contextmanager
def _http() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        for subject, text in CONTENT:
            server.register(subject, text)
        yield server


@contextlib.contextmanager
def _glue(backend: tuple[str, int]) -> Iterator[AwsServer]:
    with AwsServer(backend) as server:
        for subject, text in CONTENT:
            # Names in Glue have none of these characters: this one subject is not there.
            if "/" not in subject:
                server.register(subject.removesuffix("-value"), text)
        yield server


def _shown_by(rows: list[Row]) -> Callable[[Seen], Canned]:
    """Serve the facade's rows over the real HTTP server, with a router of a few lines."""

    def answer(seen: Seen) -> Canned:
        path = unquote_segments(seen.target)
        for row in rows:
            template = row.path.strip("/").split("/")
            pairs = list(zip(template, path, strict=False))
            if (
                row.method == seen.method
                and len(template) == len(path)
                and all(name[0] == "{" or name == part for name, part in pairs)
            ):
                request = Request(seen.method, "/" + "/".join(path), b"", {}, seen.body, "request-1")
                request.params = {name.strip("{}"): part for name, part in pairs if name[0] == "{"}
                answer = asyncio.run(_called(row.handler(request)))
                return Canned(answer[0], answer[1], {"content-type": answer[2].decode()})
        return Canned(404, b"nothing here")

    return answer


async def _called(answer: Awaitable[T]) -> T:
    return await answer


@asynccontextmanager
async def _opened(kind: str, path: Path, backend: tuple[str, int]) -> AsyncIterator[Registry]:
    with contextlib.ExitStack() as stack:
        if kind == "folder":
            registry: Registry = _folder(path)
        elif kind == "confluent":
            registry = ConfluentRegistry(RegistrySettings(url=stack.enter_context(_http()).url))
        elif kind == "glue":
            registry = GlueRegistry(stack.enter_context(_glue(backend)).settings(), own_session())
        else:
            server = stack.enter_context(RegistryServer())
            server.answer = _shown_by(registry_routes(_folder(path)))
            registry = ConfluentRegistry(RegistrySettings(url=server.url))
        try:
            yield registry
        finally:
            await registry.aclose()


Ask = Callable[[Callable[[Registry], Awaitable[T]]], T]


@pytest.fixture(params=["folder", "confluent", "facade", "glue"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(kind: str, tmp_path: Path, aws: tuple[str, int]) -> "Ask[object]":
    def run(question: Callable[[Registry], Awaitable[object]]) -> object:
        async def asked() -> object:
            async with _opened(kind, tmp_path, aws) as registry:
                return await question(registry)

        return asyncio.run(asked())

    return run


def test_the_latest_version_is_the_one_with_the_highest_number(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        latest = await registry.latest("orders-value")
        assert (latest.subject, latest.version, latest.text, latest.kind) == ("orders-value", 2, SECOND, "AVRO")
        assert latest.references == ()

    ask(question)


def test_an_older_version_stays_available_under_its_number(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        first = await registry.version("orders-value", 1)
        assert (first.version, first.text) == (1, FIRST)
        assert first.id != (await registry.version("orders-value", 2)).id

    ask(question)


def test_versions_are_listed_in_ascending_order(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        assert await registry.versions("orders-value") == [1, 2]
        assert await registry.versions("orders-key") == [1]

    ask(question)


def test_a_schema_is_found_by_the_id_that_its_version_shows(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        latest = await registry.latest("orders-value")
        found = await registry.by_id(latest.id)
        assert (found.id, found.subject, found.version, found.text) == (latest.id, "", 0, SECOND)

    ask(question)


def test_the_same_text_has_the_same_id_in_every_subject_but_in_glue(ask: "Ask[object]", kind: str) -> None:
    async def question(registry: Registry) -> None:
        same = (await registry.latest("copies-value")).id == (await registry.version("orders-value", 1)).id
        assert same == (kind != "glue")

    ask(question)


def test_subjects_are_listed_sorted(ask: "Ask[object]", kind: str) -> None:
    async def question(registry: Registry) -> None:
        listed = await registry.subjects()
        assert listed == sorted(listed)
        assert [name for name in listed if "/" not in name] == ["copies-value", "orders-key", "orders-value"]
        assert ("notes & more/50%-value" in listed) == (kind == "confluent")

    ask(question)


@pytest.mark.parametrize(
    "subject", ["nothing-value", "orders", "", ".", "..", "a/../orders-value", "\ud800", "x" * 2_000]
)
def test_a_subject_that_does_not_exist_is_missing(ask: "Ask[object]", subject: str) -> None:
    async def question(registry: Registry) -> None:
        for attempt in (registry.latest(subject), registry.version(subject, 1), registry.versions(subject)):
            with pytest.raises(SchemaMissing):
                await attempt

    ask(question)


@pytest.mark.parametrize("version", [3, 0, -1, 2**31 - 1, 2**31, 2**63])
def test_a_version_that_does_not_exist_is_unknown(ask: "Ask[object]", version: int) -> None:
    async def question(registry: Registry) -> None:
        with pytest.raises(UnknownSchemaVersion):
            await registry.version("orders-value", version)

    ask(question)


@pytest.mark.parametrize("schema_id", [2**31 - 2, 0, -1, 2**31, 2**40, UUID(int=7)])
def test_an_id_that_does_not_exist_is_missing(ask: "Ask[object]", schema_id: SchemaId) -> None:
    async def question(registry: Registry) -> None:
        with pytest.raises(SchemaMissing):
            await registry.by_id(schema_id)

    ask(question)


def test_an_id_is_read_from_the_frame_that_it_is_written_in(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        schema, framing = await registry.latest("orders-value"), registry.framing
        prefix = framing.prefix(schema.id)
        assert (len(prefix), prefix[0]) == (framing.size, framing.lead)
        assert framing.schema_id(prefix) == schema.id

    ask(question)


def test_a_version_is_found_by_its_text(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        for number, text in enumerate((FIRST, SECOND), 1):
            found = await registry.find("orders-value", text)
            assert found == await registry.version("orders-value", number)

    ask(question)


@pytest.mark.parametrize("text", ['"string"', "no schema", "", '{"type": "nothing"}'])
def test_a_text_that_no_version_has_is_unknown(ask: "Ask[object]", text: str) -> None:
    async def question(registry: Registry) -> None:
        with pytest.raises(UnknownSchemaVersion):
            await registry.find("orders-value", text)
        with pytest.raises(SchemaMissing):
            await registry.find("nothing-value", FIRST)

    ask(question)


def test_a_subject_with_reserved_characters_is_one_path_segment() -> None:
    async def asked() -> None:
        with _http() as server:
            registry = ConfluentRegistry(RegistrySettings(url=server.url + "/"))
            try:
                assert (await registry.latest("notes & more/50%-value")).text == '["null", "string"]'
                assert server.targets == ["/subjects/notes%20%26%20more%2F50%25-value/versions/latest"]
            finally:
                await registry.aclose()

    asyncio.run(asked())


def test_a_registry_that_is_down_is_unavailable_until_it_is_up() -> None:
    async def asked() -> None:
        with _http() as server:
            server.down()
            registry = ConfluentRegistry(RegistrySettings(url=server.url))
            try:
                with pytest.raises(RegistryUnavailable, match="connection was refused"):
                    await registry.latest("orders-value")
                server.up()
                assert (await registry.latest("orders-value")).version == 2
                # The connection in the pool is dead now, which must not cost a failed call.
                server.down()
                server.up()
                assert (await registry.latest("orders-value")).version == 2
            finally:
                await registry.aclose()

    asyncio.run(asked())
