"""Named types that a schema takes from other subjects."""

from eventbus_gateway.errors import SchemaMissing, SchemaUnusable, UnknownSchemaVersion
from eventbus_gateway.schemas.registry import Reference, RegisteredSchema, Registry

AVRO = "AVRO"
MAX_DEPTH = 16
MAX_REFERENCES = 256


async def texts_of(registry: Registry, schema: RegisteredSchema, max_bytes: int) -> tuple[str, ...]:
    """The texts of everything that a schema refers to, each one after those that it needs itself.

    Args:
        registry: where the references point.
        schema: where to begin; its own text is not part of the answer, but counts.
        max_bytes: bytes of all texts together.

    Raises:
        SchemaUnusable: not Avro, a reference that leads nowhere or back, or more than the bounds allow.
        RegistryUnavailable: no usable answer.
    """
    walk = _Walk(registry, max_bytes)
    await walk.visit(schema, ((schema.subject, schema.version),))
    return tuple(walk.texts)


class _Walk:
    def __init__(self, registry: Registry, max_bytes: int) -> None:
        self._registry = registry
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._done: set[tuple[str, int]] = set()
        self.texts: list[str] = []

    async def visit(self, schema: RegisteredSchema, path: tuple[tuple[str, int], ...]) -> None:
        if schema.kind != AVRO:
            raise SchemaUnusable(f"a schema of type {_printable(schema.kind)} is registered, only AVRO can be used")
        self._left -= len(schema.text.encode())
        if self._left < 0:
            raise SchemaUnusable(f"the schema and what it refers to exceed {self._max_bytes} bytes")
        for reference in schema.references:
            place = (reference.subject, reference.version)
            if place in path:
                raise SchemaUnusable(f"the reference to {_named(reference)} leads back to itself")
            if place not in self._done:
                await self._follow(reference, (*path, place))

    async def _follow(self, reference: Reference, path: tuple[tuple[str, int], ...]) -> None:
        if len(path) > MAX_DEPTH + 1 or len(self._done) >= MAX_REFERENCES:
            raise SchemaUnusable(f"more than {MAX_REFERENCES} references, or more than {MAX_DEPTH} levels of them")
        self._done.add(path[-1])
        try:
            found = await self._registry.version(reference.subject, reference.version)
        except (SchemaMissing, UnknownSchemaVersion):
            raise SchemaUnusable(f"the reference to {_named(reference)} leads nowhere") from None
        await self.visit(found, path)
        self.texts.append(found.text)


def _named(reference: Reference) -> str:
    return f"{_printable(reference.subject)} version {reference.version}"


def _printable(name: str) -> str:
    """A name from the registry, short enough for an error."""
    return name if name.isprintable() and len(name) <= 255 else "(unprintable)"
