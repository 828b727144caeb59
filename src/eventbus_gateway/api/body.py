"""From the bytes on the wire to the bytes of the document: media type, content encoding, bounds."""

import zlib
from collections.abc import Iterable
from enum import Enum

from eventbus_gateway.errors import BodyTooLarge, InvalidContentEncoding, UnsupportedEncoding, UnsupportedMediaType

_GZIP_WINDOW = 31
# Small bodies of one repeated character compress beyond any sensible ratio and hurt nobody.
_RATIO_FREE_BYTES = 65_536
# Each member copies what is left of the body, so thousands of empty ones would cost quadratic time.
_MAX_GZIP_MEMBERS = 16


class Media(Enum):
    """The media types that a publish may have.

    Args:
        name: the media type.
        is_batch: whether a body of this type carries many events.
    """

    EVENT = ("application/json", False)
    CLOUDEVENT = ("application/cloudevents+json", False)
    CLOUDEVENTS_BATCH = ("application/cloudevents-batch+json", True)
    NDJSON = ("application/x-ndjson", True)

    def __init__(self, name: str, is_batch: bool) -> None:
        self.media_type = name
        self.is_batch = is_batch


BATCH_MEDIA = frozenset(media.media_type.encode() for media in Media if media.is_batch)
_MEDIA: dict[bytes, Media] = {media.media_type.encode(): media for media in Media}


def media_type(value: bytes | None) -> Media:
    """The media type of a publish.

    Args:
        value: the ``Content-Type`` header.

    Raises:
        UnsupportedMediaType: none of the supported ones, or a charset other than UTF-8 (RFC 8259 section 8.1).
    """
    media = _MEDIA.get(value) if value is not None else None
    return media if media is not None else _parse_media_type(value)


def _parse_media_type(value: bytes | None) -> Media:
    supported = ", ".join(media.media_type for media in Media)
    if value is None:
        raise UnsupportedMediaType(f"Content-Type is missing; supported are {supported}.")
    name, *parameters = value.split(b";")
    media = _MEDIA.get(name.strip().lower())
    if media is None:
        raise UnsupportedMediaType(f"This Content-Type cannot be published; supported are {supported}.")
    require_utf8(parameters)
    return media


def require_utf8(parameters: Iterable[bytes]) -> None:
    """Refuse another charset than JSON can have (RFC 8259 section 8.1).

    Args:
        parameters: of a media type, each as it came.

    Raises:
        UnsupportedMediaType: there is another one.
    """
    for parameter in parameters:
        key, _, setting = parameter.partition(b"=")
        if key.strip().lower() == b"charset" and setting.strip().strip(b'"').lower() not in {b"utf-8", b"us-ascii"}:
            raise UnsupportedMediaType("JSON is sent in UTF-8; no other charset is supported.")


def decoded(body: bytes, encoding: bytes | None, max_bytes: int, max_ratio: int) -> bytes:
    """The body without its content encoding.

    Args:
        body: as it came.
        encoding: the ``Content-Encoding`` header.
        max_bytes: bound on the result.
        max_ratio: bound on how many times larger the result is than what came.

    Raises:
        UnsupportedEncoding: neither gzip nor identity.
        InvalidContentEncoding: damaged or cut gzip stream.
        BodyTooLarge: a bound is exceeded.
    """
    if encoding is None or encoding.strip().lower() == b"identity":
        if len(body) > max_bytes:
            raise BodyTooLarge(f"The body may have {max_bytes} bytes.")
        return body
    if encoding.strip().lower() not in {b"gzip", b"x-gzip"}:
        raise UnsupportedEncoding("Content-Encoding may be gzip or identity.")
    by_ratio = max(_RATIO_FREE_BYTES, len(body) * max_ratio)
    if by_ratio < max_bytes:
        return _gunzip(body, by_ratio, f"Decompression may make a body {max_ratio} times larger.")
    return _gunzip(body, max_bytes, f"The body may have {max_bytes} bytes after decompression.")


def _gunzip(body: bytes, bound: int, refusal: str) -> bytes:
    parts: list[bytes] = []
    room = bound
    rest = body
    try:
        while rest:  # RFC 1952 section 2.2: a gzip file is a series of members
            stream = zlib.decompressobj(_GZIP_WINDOW)
            part = stream.decompress(rest, room + 1)
            room -= len(part)
            if room < 0:
                raise BodyTooLarge(refusal)
            if not stream.eof:
                raise InvalidContentEncoding("The gzip stream is cut off.")
            parts.append(part)
            rest = stream.unused_data
            if rest and len(parts) == _MAX_GZIP_MEMBERS:
                raise InvalidContentEncoding(f"The gzip stream may have {_MAX_GZIP_MEMBERS} members.")
    except zlib.error:
        raise InvalidContentEncoding("The body is not a valid gzip stream.") from None
    if not parts:
        raise InvalidContentEncoding("The gzip stream is empty.")
    return b"".join(parts)
