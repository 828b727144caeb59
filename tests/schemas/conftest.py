"""A registry for every test that asks for one."""

from collections.abc import Iterator

import pytest
from tests.schemas.glue_server import moto
from tests.schemas.registry_server import RegistryServer


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """An empty registry that is up."""
    with RegistryServer() as running:
        yield running


@pytest.fixture(scope="session")
def aws() -> Iterator[tuple[str, int]]:
    """Moto's server, by host and port."""
    with moto() as address:
        yield address
