"""A registry for every test that asks for one."""

from collections.abc import Iterator

import pytest
from tests.schemas.registry_server import RegistryServer


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """An empty registry that is up."""
    with RegistryServer() as running:
        yield running
