"""What goes out to a receiver, and what became of it."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

Failure = Literal[
    "forbidden_url",
    "forbidden_address",
    "invalid_header",
    "no_credential",
    "busy",
    "dns",
    "connect",
    "tls",
    "timeout",
    "reset",
    "truncated",
    "protocol",
]
"""Why an attempt has no answer, or none that is whole:

- ``forbidden_url``, ``forbidden_address``: the rules of ``guard`` or ``addresses`` forbid it; nothing was sent.
- ``invalid_header``: a header cannot be sent; nothing was.
- ``no_credential``: what shall prove who calls cannot be had now; nothing was sent.
- ``busy``: the bounds on connections of this process; nothing was sent, and the receiver has no part in it.
- ``dns``, ``connect``, ``tls``: no address, no connection, or no trust; nothing was sent.
- ``timeout``: it was not answered in time; the receiver may have taken it.
- ``reset``: the connection ended before an answer began; the receiver may have taken it.
- ``truncated``: the connection ended inside the answer.
- ``protocol``: what came is not an answer in HTTP/1.1 within the bounds.
"""

MAX_HEADER_VALUE_CHARACTERS = 8_192
MAX_RETRY_AFTER_CHARACTERS = 64
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_UNSAFE = re.compile(r"[^\t\x20-\x7e]")
# What frames the request or belongs to the connection.
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_MAX_KNOWN_NAMES = 1_024


class Outbound(NamedTuple):
    """One request to a receiver.

    Args:
        url: where to.
        headers: by name; the framing ones are added.
        body: what is sent.
        timeout_seconds: how long it may take, from the look-up of the host to the end of the answer, and how long it
            may wait before for a connection of its endpoint.
        endpoint: whose connections it takes, such as the id of a subscription.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_seconds: float
    endpoint: str

    def __repr__(self) -> str:
        return f"Outbound(endpoint={self.endpoint!r}, bytes={len(self.body)})"


class Attempted(NamedTuple):
    """What became of one request.

    Args:
        status: HTTP status, where an answer began.
        failure: why there is no whole answer; with a status, the answer ended too early, and what the status says
            cannot be relied upon.
        retry_after: text of the ``Retry-After`` header, where it is short and printable.
        seconds: how long it took, without waiting for a connection of the endpoint.
    """

    status: int | None
    failure: Failure | None
    retry_after: str | None
    seconds: float


class HeaderRules:
    """Tells whether headers can be sent as they are."""

    def __init__(self) -> None:
        # Deliveries have the same few names again and again.
        self._known: set[str] = set()

    def sound(self, headers: Mapping[str, str]) -> bool:
        """Whether no header can end its line, frame the request, or be read in two ways.

        Args:
            headers: values by name.
        """
        if not headers.keys() <= self._known and not self._learn(headers):
            return False
        # One search for all values; each is looked at by itself only for its length.
        values = headers.values()
        return not _UNSAFE.search("".join(values)) and max(map(len, values), default=0) <= MAX_HEADER_VALUE_CHARACTERS

    def _learn(self, headers: Mapping[str, str]) -> bool:
        for name in headers:
            if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
                return False
        if len(self._known) + len(headers) > _MAX_KNOWN_NAMES:
            self._known.clear()
        self._known.update(headers)
        return True


def retry_after(text: str | None) -> str | None:
    """The text of a ``Retry-After`` header, unless it is too long or not printable."""
    if text is None or len(text) > MAX_RETRY_AFTER_CHARACTERS or _UNSAFE.search(text):
        return None
    return text
