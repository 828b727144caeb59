"""Heads that came before, byte for byte.

A caller that keeps its connection sends the same head with each event, but for the lengths of bodies, and taking one
apart costs a fifth of a publish. What is remembered is what the parser made of these very bytes when they came in
front of a whole body, so a request gets the same meaning whether its head was remembered or taken apart.
"""

from eventbus_gateway.api.http import Memo
from eventbus_gateway.api.routes import Match

HEAD_END = b"\r\n\r\n"
MAX_HEADS = 2_048
MAX_HEAD_BYTES = 2_048
# What a connection keeps, beside its body, until the request that a head begins is complete.
MAX_LEARNING_BYTES = 8_192
# These differ from request to request: heads that have one would only push out the others.
_NEVER_THE_SAME = frozenset(
    {b"x-request-id", b"idempotency-key", b"traceparent", b"tracestate", b"ce-id", b"ce-time", b"expect"}
)


class Head:
    """The head of a request of a hot route that goes on over its connection.

    Args:
        match: its route.
        path: decoded path.
        query: raw query string.
        headers: by lower-case name; shared, so nobody changes it.
        repeated: names that came more than once.
        content_length: bytes of the body.
    """

    __slots__ = ("content_length", "headers", "match", "memo", "path", "query", "repeated")

    def __init__(
        self,
        match: Match,
        path: str,
        query: bytes,
        headers: dict[bytes, bytes],
        repeated: frozenset[bytes],
        content_length: int,
    ) -> None:
        self.match = match
        self.path = path
        self.query = query
        self.headers = headers
        self.repeated = repeated
        self.content_length = content_length
        self.memo = Memo()


class KnownHeads:
    """Remembers heads by their bytes, a bounded number of them."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self.get = self._heads.get

    def __len__(self) -> int:
        return len(self._heads)

    def learn(self, raw: bytes, head: Head) -> None:
        """Remember a head if its like can come again.

        Args:
            raw: its bytes, the empty line at its end included.
            head: what they mean.
        """
        if len(raw) > MAX_HEAD_BYTES or not _NEVER_THE_SAME.isdisjoint(head.headers):
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[raw] = head
