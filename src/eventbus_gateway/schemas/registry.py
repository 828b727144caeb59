"""What the gateway needs from a schema registry."""

from dataclasses import dataclass, field
from typing import Protocol

from eventbus_gateway.errors import UnknownSchemaVersion
from eventbus_gateway.schema_ids import Framing, SchemaId


@dataclass(frozen=True, slots=True)
class Reference:
    """A named type of a schema that lives in another subject.

    Args:
        name: full name of the type as the schema uses it.
        subject: where it is registered.
        version: its version there.
    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema as the registry has it.

    Args:
        id: what names the schema in the wire format.
        subject: where it was found; empty when it was asked for by id.
        version: its version in the subject; 0 when it was asked for by id.
        text: the schema as JSON text.
        kind: ``AVRO``, or what else the registry calls it.
        references: named types from other subjects.
    """

    id: SchemaId
    subject: str
    version: int
    text: str
    kind: str = "AVRO"
    references: tuple[Reference, ...] = field(default=())


def no_such_version(subject: str) -> UnknownSchemaVersion:
    """For a text that is none of a subject's versions."""
    return UnknownSchemaVersion(f"subject {subject} has no version that is this schema")


class Registry(Protocol):
    """A source of schemas; implementations share one contract test."""

    @property
    def framing(self) -> Framing:
        """How records name the registry's schemas."""
        ...

    async def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject.

        Raises:
            SchemaMissing: the subject has no version.
            RegistryUnavailable: no usable answer.
        """
        ...

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """One version of a subject.

        Raises:
            SchemaMissing: the subject has no version at all.
            UnknownSchemaVersion: the subject exists, the version does not.
            RegistryUnavailable: no usable answer.
        """
        ...

    async def versions(self, subject: str) -> list[int]:
        """The versions that a subject has, in ascending order.

        Raises:
            SchemaMissing: the subject has no version.
            RegistryUnavailable: no usable answer.
        """
        ...

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """A schema by the id that records name it with.

        Raises:
            SchemaMissing: there is no such id.
            RegistryUnavailable: no usable answer.
        """
        ...

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """The version of a subject that is the schema of a text; the newest one of several.

        Raises:
            SchemaMissing: the subject has no version at all.
            UnknownSchemaVersion: the subject exists, and none of its versions is this schema.
            RegistryUnavailable: no usable answer.
        """
        ...

    async def subjects(self) -> list[str]:
        """All subjects, sorted.

        Raises:
            RegistryUnavailable: no usable answer.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
