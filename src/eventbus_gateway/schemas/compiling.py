"""From a registered text to a codec: references, one compilation per id, off the event loop."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, Protocol
from weakref import WeakValueDictionary

from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.schemas.codec import Codec
from eventbus_gateway.schemas.flights import Flights
from eventbus_gateway.schemas.references import texts_of
from eventbus_gateway.schemas.registry import RegisteredSchema, Registry
from eventbus_gateway.schemas.settings import RegistrySettings


class CodecOptions(NamedTuple):
    """How a topic wants its data to be read.

    Args:
        dialect: which JSON stands for Avro.
        unknown_fields: what happens to fields that the schema does not have.
    """

    dialect: Literal["plain", "avro"] = "plain"
    unknown_fields: Literal["refuse", "ignore"] = "refuse"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Schema:
    """A schema that is ready to encode with.

    Args:
        id: the registry's id, which the codec puts in front of every record.
        subject: where it was found; empty when it was asked for by id.
        version: its version in the subject; 0 when it was asked for by id.
        text: the schema as JSON text.
        codec: encodes to the registry's framing, and decodes what stands behind it.
    """

    id: SchemaId
    subject: str
    version: int
    text: str
    codec: Codec


class Compile(Protocol):
    """Turns a schema text into a codec; raises SchemaUnusable."""

    def __call__(
        self,
        text: str,
        *,
        named: Sequence[str] = (),
        prefix: bytes = b"",
        dialect: Literal["plain", "avro"] = "plain",
        unknown_fields: Literal["refuse", "ignore"] = "refuse",
    ) -> Codec: ...


class Compiler:
    """Makes codecs and remembers those that somebody still holds.

    Args:
        registry: where references point.
        settings: bounds.
        compile_text: compiles a schema text.
    """

    def __init__(self, registry: Registry, settings: RegistrySettings, compile_text: Compile) -> None:
        self._registry = registry
        self._framing = registry.framing
        self._max_bytes = settings.max_schema_bytes
        self._compile_text = compile_text
        self._shared: WeakValueDictionary[tuple[SchemaId, CodecOptions], Schema] = WeakValueDictionary()
        self._under_way: Flights[Schema] = Flights(settings.max_subjects)
        # Each compiling thread takes the interpreter from the event loop for milliseconds at a time.
        self._thread = asyncio.Semaphore(1)

    async def compiled(self, found: RegisteredSchema, options: CodecOptions) -> Schema:
        """A schema with its codec, which is made once per id however many subjects and versions carry it.

        Args:
            found: what the registry has.
            options: how data is read.

        Raises:
            SchemaUnusable: it, or what it refers to, cannot be compiled.
            RegistryUnavailable: no usable answer about what it refers to.
            Overloaded, ShuttingDown: it was not tried.
        """
        key = (found.id, options)
        schema = self._shared.get(key)
        if schema is None:
            schema = await self._under_way.join(key, partial(self._compile, found, options))
        if (schema.subject, schema.version) != (found.subject, found.version):
            schema = replace(schema, subject=found.subject, version=found.version)
        self._shared[key] = schema
        return schema

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._under_way.aclose()

    async def _compile(self, found: RegisteredSchema, options: CodecOptions) -> Schema:
        named = await texts_of(self._registry, found, self._max_bytes)
        async with self._thread:
            codec = await asyncio.to_thread(
                self._compile_text,
                found.text,
                named=named,
                prefix=self._framing.prefix(found.id),
                dialect=options.dialect,
                unknown_fields=options.unknown_fields,
            )
        if self._framing.pack is not None:
            codec.pack(self._framing.pack)
        return Schema(found.id, found.subject, found.version, found.text, codec)
