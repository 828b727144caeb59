"""A gateway without a schema registry."""

import asyncio

import pytest

from eventbus_gateway.errors import SchemaMissing
from eventbus_gateway.schemas.absent import AbsentRegistry


def test_without_a_registry_every_look_up_says_that_none_is_configured() -> None:
    registry = AbsentRegistry()
    for asked in (registry.latest("a"), registry.version("a", 1), registry.by_id(1), registry.versions("a")):
        with pytest.raises(SchemaMissing, match="No schema registry"):
            asyncio.run(asked)
    assert asyncio.run(registry.subjects()) == []
