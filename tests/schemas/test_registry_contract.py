"""What every source of schemas does alike: files, a registry over HTTP, and the files shown as a registry."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from tests.schemas.registry_server import Canned, RegistryServer, Seen, unquote_segments

from eventbus_gateway.api.http import Request
from eventbus_gateway.api.registry_facade import Row, registry_routes
from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.folder import FolderRegistry
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
async def _opened(kind: str, path: Path) -> AsyncIterator[Registry]:
    with contextlib.ExitStack() as stack:
        if kind == "folder":
            registry: Registry = _folder(path)
        elif kind == "confluent":
            registry = ConfluentRegistry(RegistrySettings(url=stack.enter_context(_http()).url))
        else:
            server = stack.enter_context(RegistryServer())
            server.answer = _shown_by(registry_routes(_folder(path)))
            registry = ConfluentRegistry(RegistrySettings(url=server.url))
        try:
            yield registry
        finally:
            await registry.aclose()


Ask = Callable[[Callable[[Registry], Awaitable[T]]], T]


@pytest.fixture(params=["folder", "confluent", "facade"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(kind: str, tmp_path: Path) -> "Ask[object]":
    def run(question: Callable[[Registry], Awaitable[object]]) -> object:
        async def asked() -> object:
            async with _opened(kind, tmp_path) as registry:
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


def test_the_same_text_has_the_same_id_in_every_subject(ask: "Ask[object]") -> None:
    async def question(registry: Registry) -> None:
        assert (await registry.latest("copies-value")).id == (await registry.version("orders-value", 1)).id

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


@pytest.mark.parametrize("schema_id", [2**31 - 2, 0, -1, 2**31, 2**40])
def test_an_id_that_does_not_exist_is_missing(ask: "Ask[object]", schema_id: int) -> None:
    async def question(registry: Registry) -> None:
        with pytest.raises(SchemaMissing):
            await registry.by_id(schema_id)

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
