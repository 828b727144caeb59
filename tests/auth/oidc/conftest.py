"""One issuer per test."""

from collections.abc import Iterator

import pytest
from tests.auth.oidc.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.issuer:
        yield world
