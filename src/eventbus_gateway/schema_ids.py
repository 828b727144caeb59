"""What names a schema in a record, and how it stands in front of the data.

===========  =========================================================================================================
framing      bytes in front of the data
===========  =========================================================================================================
Confluent    0, then the schema's id in four bytes, big-endian
AWS Glue     3, then 0 (or 5 where the data is compressed with zlib), then the 16 bytes of the schema version's UUID
===========  =========================================================================================================

Source: Confluent Platform, Wire format; AWS Glue Schema Registry, its open serializers.
"""

import zlib
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from eventbus_gateway.errors import CorruptRecord

SchemaId = int | UUID
"""Confluent's ids are integers; of Glue's schemas each version has a UUID."""

Pack = Callable[[bytes], bytes]
"""From a framed value to the one that is stored."""
Unpack = Callable[[bytes], bytes]
"""From a stored value to the data behind its frame; raises CorruptRecord."""


class Framing(Protocol):
    """How the id of a schema stands in front of the data that was written with it."""

    @property
    def name(self) -> str:
        """Whose framing it is, for people."""
        ...

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        ...

    @property
    def lead(self) -> int:
        """The first byte of every frame."""
        ...

    @property
    def pack(self) -> Pack | None:
        """What becomes of encoded values before they are stored; None where that is nothing."""
        ...

    def prefix(self, schema_id: SchemaId) -> bytes:
        """The frame of a schema, for data that is not compressed."""
        ...

    def schema_id(self, frame: bytes) -> SchemaId | None:
        """The schema that a frame names, None for what is no frame."""
        ...

    def unpack(self, frame: bytes) -> Unpack | None:
        """How values with this frame are unpacked; None where the data stands behind the frame as it is."""
        ...


class ConfluentFraming:
    """Confluent's: integers, never compressed."""

    name = "Confluent"
    size = 5
    lead = 0
    pack = None

    def prefix(self, schema_id: SchemaId) -> bytes:
        """See `Framing.prefix`."""
        assert isinstance(schema_id, int)  # noqa: S101 - the registry that gives ids also gives their framing
        return b"\0" + schema_id.to_bytes(4, "big")

    def schema_id(self, frame: bytes) -> int | None:
        """See `Framing.schema_id`."""
        return int.from_bytes(frame[1:], "big") if len(frame) == self.size and frame[0] == 0 else None

    def unpack(self, _frame: bytes) -> None:
        """See `Framing.unpack`."""
        return


class GlueFraming:
    """AWS Glue's: UUIDs; compressed values are read always, and written where that is wanted.

    Args:
        compresses: whether values are compressed before they are stored.
        max_bytes: most bytes that a compressed value may have when it is unpacked.
    """

    name = "AWS Glue"
    size = 18
    lead = 3

    def __init__(self, *, compresses: bool, max_bytes: int) -> None:
        self.pack: Pack | None = _compressed if compresses else None
        self._max_bytes = max_bytes

    def prefix(self, schema_id: SchemaId) -> bytes:
        """See `Framing.prefix`."""
        assert isinstance(schema_id, UUID)  # noqa: S101 - the registry that gives ids also gives their framing
        return _PLAIN + schema_id.bytes

    def schema_id(self, frame: bytes) -> UUID | None:
        """See `Framing.schema_id`."""
        return UUID(bytes=frame[2:]) if len(frame) == self.size and frame[:2] in {_PLAIN, _ZLIB} else None

    def unpack(self, frame: bytes) -> Unpack | None:
        """See `Framing.unpack`."""
        return self._decompressed if frame[:2] == _ZLIB else None

    def _decompressed(self, value: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(memoryview(value)[self.size :], self._max_bytes + 1)
        except zlib.error:
            raise CorruptRecord("The record is said to be compressed, but does not decompress.") from None
        if len(data) > self._max_bytes:
            raise CorruptRecord(f"The record has more than {self._max_bytes} bytes when it is decompressed.")
        if not stream.eof or stream.unused_data:
            raise CorruptRecord("The record's compressed data ends too early or too late.")
        return data


def _compressed(framed: bytes) -> bytes:
    return b"".join((_ZLIB, framed[2 : GlueFraming.size], zlib.compress(framed[GlueFraming.size :])))


_PLAIN = b"\x03\x00"
_ZLIB = b"\x03\x05"

CONFLUENT = ConfluentFraming()
