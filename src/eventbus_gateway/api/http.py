"""A parsed request and a whole answer, independent of the server that carries them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from eventbus_gateway.auth.accounts import Account, Stay
from eventbus_gateway.auth.chain import Authenticate
from eventbus_gateway.auth.policy import Action
from eventbus_gateway.auth.principal import NOBODY, Principal
from eventbus_gateway.errors import Unauthenticated

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
        peer: address at the other end of the connection, filled in by the server; empty where there is none.
        account: what the caller uses; None where nothing is limited.
        stay: what the request itself holds of that, until it is answered.
        action: what the route does, filled in with the principal; None on routes that are open.
        authenticate: has established who calls; None where nobody had to.
        log_fields: what its line in the access log says beside the rest; None for nothing.
        memo: shared by all requests that came with the same head; None where nobody remembers it.
        gone: completes when the caller has gone away, for handlers that wait long; never, where the server does not
            tell.
    """

    __slots__ = (
        "account",
        "action",
        "authenticate",
        "body",
        "gone",
        "headers",
        "log_fields",
        "memo",
        "method",
        "params",
        "path",
        "peer",
        "principal",
        "query",
        "repeated",
        "request_id",
        "stay",
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
        self.params: dict[str, str] = {}
        self.memo: Memo | None = None
        self.principal: Principal = NOBODY
        self.peer = ""
        self.action: Action | None = None
        self.authenticate: Authenticate | None = None
        self.account: Account | None = None
        self.stay: Stay | None = None
        self.log_fields: dict[str, Any] | None = None
        self.gone: Callable[[], Awaitable[None]] = never

    async def recheck(self) -> None:
        """Go on only while the caller is who it was: for handlers that give out events long after they began.

        Raises:
            Unauthenticated: the credential was revoked, has expired, or stands for somebody or something else.
            Unavailable: that cannot be judged now.
        """
        if self.authenticate is None:
            return
        caller = self.authenticate(self.headers, self.peer)
        if (caller if isinstance(caller, Principal) else await caller) != self.principal:
            raise Unauthenticated("The credential stands for something else by now.")


def never() -> "asyncio.Future[None]":
    """Never done: for servers that do not tell when a caller goes away."""
    return asyncio.get_running_loop().create_future()


class Stream(Protocol):
    """The body of an answer that comes part by part and has no end that is known."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts; whoever carries them takes the next one when the caller has room for it."""
        ...

    def close(self) -> None:
        """Give back what the stream holds: called once, however far it came."""
        ...


class Answer(NamedTuple):
    """A whole answer, or the beginning of one.

    Args:
        status: HTTP status code.
        body: complete body.
        content_type: media type of the body.
        headers: what this answer adds to the headers that every answer has.
        stream: what follows in place of the body; only where requests come through ASGI.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = NO_HEADERS
    stream: Stream | None = None


Handler = Callable[[Request], Awaitable[Answer]]
