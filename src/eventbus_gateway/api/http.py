"""A parsed request and a whole answer, independent of the server that carries them."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from eventbus_gateway.auth.principal import NOBODY, Principal

JSON = b"application/json"
PROBLEM = b"application/problem+json"

NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()


class Memo:
    """What a handler found out from a head alone, kept for the next request with the very same head."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: Any = None


class Request:
    """A request whose body has arrived completely.

    Args:
        method: upper-case method.
        path: decoded path, without the query.
        query: raw query string.
        headers: by lower-case name; where a name came twice, the last value.
        repeated: lower-case names that came more than once.
        body: the body as it came, still content-encoded.
        request_id: the caller's ``x-request-id`` where it is usable, else a new one.
        params: the path's variable segments, filled in by the router.
        principal: who calls, filled in once that is established.
        memo: shared by all requests that came with the same head; None where nobody remembers it.
    """

    __slots__ = (
        "body",
        "headers",
        "memo",
        "method",
        "params",
        "path",
        "principal",
        "query",
        "repeated",
        "request_id",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        request_id: str,
        repeated: frozenset[bytes] = frozenset(),
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.request_id = request_id
        self.repeated = repeated
        self.memo: Memo | None = None
        self.params: dict[str, str] = {}
        self.principal: Principal = NOBODY


class Answer(NamedTuple):
    """A whole answer.

    Args:
        status: HTTP status code.
        body: complete body.
        content_type: media type of the body.
        headers: what this answer adds to the headers that every answer has.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = NO_HEADERS


Handler = Callable[[Request], Awaitable[Answer]]
