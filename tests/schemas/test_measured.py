"""Questions to the schema registry are counted."""

import asyncio
from pathlib import Path

import pytest
from tests.polling import until

from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schemas.cache import CodecOptions, Schemas
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.measured import MeasuredRegistry
from eventbus_gateway.schemas.registry import RegisteredSchema
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.telemetry import Metrics

TEXT = '{"type": "record", "name": "Visit", "fields": []}'


class Failing(FolderRegistry):
    """A registry that goes away when it is told to."""

    away = False

    async def latest(self, subject: str) -> RegisteredSchema:
        if self.away:
            raise RegistryUnavailable("gone")
        return await super().latest(subject)


@pytest.fixture
def folder(tmp_path: Path) -> Failing:
    (tmp_path / "visits.avsc").write_text(TEXT)
    return Failing(tmp_path)


def test_every_question_is_counted_by_how_it_ended(folder: Failing) -> None:
    metrics = Metrics()
    moments = iter(range(100))
    registry = MeasuredRegistry(folder, metrics, lambda: float(next(moments)))

    async def ask() -> None:
        found = await registry.latest("visits-value")
        assert (await registry.by_id(found.id)).text == TEXT
        assert await registry.version("visits-value", 1) == found
        assert await registry.versions("visits-value") == [1]
        assert await registry.find("visits-value", TEXT) == found
        assert await registry.subjects() == ["visits-value"]
        with pytest.raises(SchemaMissing):
            await registry.latest("none")
        with pytest.raises(UnknownSchemaVersion):
            await registry.version("visits-value", 9)
        folder.away = True
        with pytest.raises(RegistryUnavailable):
            await registry.latest("visits-value")

    asyncio.run(ask())
    assert registry.framing == folder.framing
    assert metrics.registry_requests.values == {("found",): 6, ("missing",): 2, ("unavailable",): 1}
    assert "eventbus_registry_request_duration_seconds_count 9.0" in metrics.exposition().decode()


def test_how_long_the_registry_has_not_confirmed_what_is_used_is_known(folder: Failing) -> None:
    now = 0.0

    async def scenario() -> list[float]:
        nonlocal now
        settings = RegistrySettings(kind="folder", latest_ttl_seconds=10)
        schemas = Schemas(folder, settings, clock=lambda: now)
        options = CodecOptions()
        await schemas.get("visits-value", None, options)
        seen = []
        for away, moment in ((False, 20.0), (True, 60.0), (True, 500.0), (False, 900.0)):
            folder.away, now = away, moment
            schemas.ready("visits-value", None, options)
            await until(lambda: not schemas.stats().refreshing)
            seen.append(schemas.stats().unconfirmed_seconds)
        await schemas.aclose()
        return seen

    assert asyncio.run(scenario()) == [0.0, 40.0, 480.0, 0.0]
