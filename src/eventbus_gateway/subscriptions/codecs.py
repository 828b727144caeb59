"""What decodes records, and where it is found."""

from typing import Any, Protocol

from eventbus_gateway.schema_ids import SchemaId, Unpack


class Codec(Protocol):
    """Decodes records that were written with one schema."""

    @property
    def name(self) -> str:
        """Full name of the schema's top-level type."""
        ...

    def decode(self, data: bytes, start: int) -> Any:
        """The JSON form of a record, from a position to its end.

        Raises:
            CorruptRecord: it is none of this schema.
        """
        ...


class Codecs(Protocol):
    """Finds codecs by the id of the schema."""

    def ready(self, schema_id: SchemaId) -> Codec | None:
        """The codec where it is at hand."""
        ...

    async def load(self, schema_id: SchemaId) -> Codec:
        """The codec, from the registry if need be.

        Raises:
            SchemaMissing, SchemaUnusable: records with this id cannot be decoded.
            RegistryUnavailable, Overloaded, ShuttingDown: nobody can tell now.
        """
        ...


class Unpacking:
    """A codec for compressed values.

    Args:
        codec: decodes what was compressed.
        unpack: from a value to the data behind its frame.
    """

    def __init__(self, codec: Codec, unpack: Unpack) -> None:
        self._codec = codec
        self._unpack = unpack
        self.name = codec.name

    def decode(self, data: bytes, _start: int) -> Any:
        """The JSON form of a record.

        Raises:
            CorruptRecord: it does not decompress within its bound, or is none of this schema.
        """
        return self._codec.decode(self._unpack(data), 0)
