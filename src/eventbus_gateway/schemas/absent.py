"""The registry of a gateway whose topics all go without schemas."""

from eventbus_gateway.errors import SchemaMissing
from eventbus_gateway.schema_ids import CONFLUENT, SchemaId
from eventbus_gateway.schemas.registry import RegisteredSchema


class AbsentRegistry:
    """Has nothing, and says so."""

    framing = CONFLUENT

    async def latest(self, subject: str) -> RegisteredSchema:
        """Nothing.

        Raises:
            SchemaMissing: always.
        """
        raise SchemaMissing("No schema registry is configured.")

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """Nothing.

        Raises:
            SchemaMissing: always.
        """
        raise SchemaMissing("No schema registry is configured.")

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """Nothing.

        Raises:
            SchemaMissing: always.
        """
        raise SchemaMissing("No schema registry is configured.")

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """Nothing.

        Raises:
            SchemaMissing: always.
        """
        raise SchemaMissing("No schema registry is configured.")

    async def versions(self, subject: str) -> list[int]:
        """Nothing.

        Raises:
            SchemaMissing: always.
        """
        raise SchemaMissing("No schema registry is configured.")

    async def subjects(self) -> list[str]:
        """None."""
        return []

    async def aclose(self) -> None:
        """Nothing to release."""
