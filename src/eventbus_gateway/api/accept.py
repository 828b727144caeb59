"""Which of several media types a caller wants (RFC 9110 section 12.5.1)."""

import re
from collections.abc import Sequence

from eventbus_gateway.errors import NotAcceptable

_RANGE = re.compile(
    rb"\s*([\w!#$&^.+-]+|\*)/([\w!#$&^.+-]+|\*)\s*((?:;[^,]*)?)",
).fullmatch
_QUALITY = re.compile(rb";\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)").search


def preferred(accept: bytes | None, offered: Sequence[bytes]) -> bytes:
    """The media type that suits best; of equal ones the first that is offered.

    Args:
        accept: the header, None where there is none.
        offered: media types in lower case, the usual one first.

    Raises:
        NotAcceptable: the caller takes none of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [found for found in map(_range, accept.split(b",")) if found is not None]
    best = max(offered, key=lambda media: _quality(media, ranges))  # max keeps the first of equals
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"This can be given as {b', '.join(offered).decode()}.")
    return best


def _range(text: bytes) -> tuple[bytes, bytes, float] | None:
    found = _RANGE(text)
    if found is None:
        return None
    quality = _QUALITY(found[3])
    return found[1].lower(), found[2].lower(), float(quality[1]) if quality is not None else 1.0


def _quality(media: bytes, ranges: Sequence[tuple[bytes, bytes, float]]) -> float:
    """What the most specific range says about a media type."""
    major, _, minor = media.partition(b"/")
    fitting = [
        (a != b"*", b != b"*", quality) for a, b, quality in ranges if a in {b"*", major} and b in {b"*", minor}
    ]
    return max(fitting)[2] if fitting else 0.0
