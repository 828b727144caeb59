"""JSON bodies of requests that are no publishes."""

from typing import Any

from eventbus_gateway.api.body import decoded, require_utf8
from eventbus_gateway.api.http import JSON, Request
from eventbus_gateway.api.json_text import parsed
from eventbus_gateway.errors import UnsupportedMediaType

_MAX_GZIP_RATIO = 100
_MAX_VALUES = 500_000


def json_body(request: Request, max_bytes: int) -> Any:
    """The value of a request's JSON body.

    Args:
        request: the request.
        max_bytes: bytes that the body may have, after decompression.

    Raises:
        UnsupportedMediaType: it is not said to be JSON in UTF-8.
        UnsupportedEncoding, InvalidContentEncoding: it cannot be decompressed.
        BodyTooLarge: it has too many bytes or values.
        InvalidJson: it is not JSON.
    """
    name, *parameters = request.headers.get(b"content-type", b"").split(b";")
    if name.strip().lower() != JSON:
        raise UnsupportedMediaType("Content-Type must be application/json here.")
    require_utf8(parameters)
    body = decoded(request.body, request.headers.get(b"content-encoding"), max_bytes, _MAX_GZIP_RATIO)
    return parsed(body, _MAX_VALUES)
