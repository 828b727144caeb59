"""Cursors: where a reader stands in a topic, as text that callers keep and hand back.

A cursor says where to go on and nothing else: who may read is decided for each request anew. It names its topic, so
that the offsets of one are not taken for those of another by mistake, and it has a check sum, so that a damaged one
is refused instead of read from the wrong place. Neither keeps anybody from making one up, which gives them nothing.

Version 1, before base64url without padding (RFC 4648 section 5)::

    1 byte     version
    4 bytes    CRC-32 of what follows
    6 bytes    BLAKE2b of the topic's name
    varints    next offset of partition 0, 1, ...
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import lru_cache

from eventbus_gateway.errors import InvalidCursor
from eventbus_gateway.varints import varint

_VERSION = 1
_HEAD = 1 + 4 + 6
_MAX_LENGTH = 65_536
_MAX_OFFSET = (1 << 63) - 1
_MALFORMED = "The cursor is not one of this gateway, or it is damaged."


class CursorWriter:
    """Writes cursors that follow a reader from event to event.

    Args:
        topic: what is read.
        positions: the next offset of every partition, from 0 on without a gap.
    """

    __slots__ = ("_offsets", "_topic")

    def __init__(self, topic: str, positions: Mapping[int, int]) -> None:
        self._topic = _digest(topic)
        self._offsets = [varint(positions[partition]) for partition in range(len(positions))]

    def move(self, partition: int, offset: int) -> None:
        """The next offset of one partition."""
        self._offsets[partition] = varint(offset)

    def text(self) -> str:
        """The cursor."""
        body = b"".join((self._topic, *self._offsets))
        return (
            base64.urlsafe_b64encode(b"\1%s%s" % (binascii.crc32(body).to_bytes(4, "big"), body)).decode().rstrip("=")
        )


def written(topic: str, positions: Mapping[int, int]) -> str:
    """The cursor for positions in a topic.

    Args:
        topic: what is read.
        positions: the next offset of every partition, from 0 on without a gap.
    """
    return CursorWriter(topic, positions).text()


def positions_in(cursor: str, topic: str) -> dict[int, int]:
    """The next offset per partition.

    Args:
        cursor: as a caller sent it.
        topic: what it is used for.

    Raises:
        InvalidCursor: it is malformed, of a version that is not known, or of another topic.
    """
    if len(cursor) > _MAX_LENGTH:
        raise InvalidCursor(_MALFORMED)
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:  # covers binascii.Error, and text that is not ASCII
        raise InvalidCursor(_MALFORMED) from None
    if len(raw) < _HEAD:
        raise InvalidCursor(_MALFORMED)
    if raw[0] != _VERSION:
        raise InvalidCursor("The cursor has a version that this gateway does not know.")
    if raw[1:5] != binascii.crc32(raw[5:]).to_bytes(4, "big"):
        raise InvalidCursor(_MALFORMED)
    if raw[5:_HEAD] != _digest(topic):
        raise InvalidCursor("The cursor is of another topic.")
    return dict(enumerate(_offsets(raw, _HEAD)))


@lru_cache(maxsize=1_024)
def _digest(topic: str) -> bytes:
    return hashlib.blake2b(topic.encode(), digest_size=6).digest()


def _offsets(raw: bytes, at: int) -> list[int]:
    offsets: list[int] = []
    number = shift = 0
    for byte in raw[at:]:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            if number > _MAX_OFFSET or (byte == 0 and shift > 7):
                raise InvalidCursor(_MALFORMED)
            offsets.append(number)
            number = shift = 0
        elif shift > 63:
            raise InvalidCursor(_MALFORMED)
    if shift:
        raise InvalidCursor(_MALFORMED)
    return offsets
