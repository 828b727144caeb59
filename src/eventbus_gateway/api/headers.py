"""Headers that every answer has, and the bytes of a whole HTTP/1.1 answer."""

import http
import re
import time
from email.utils import formatdate

from eventbus_gateway.api.http import Answer

# OWASP's recommendations for an API that only gives data: nothing to sniff, cache, frame or refer to.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_SECURITY_BLOCK = b"".join(b"%s: %s\r\n" % pair for pair in SECURITY_HEADERS)
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in http.HTTPStatus}
# RFC 9110 sections 8.6 and 15.4.5: no length where there never is content, or only that of the 200 in place of it.
_WITHOUT_CONTENT = frozenset({http.HTTPStatus.NO_CONTENT.value, http.HTTPStatus.NOT_MODIFIED.value})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch


def usable_request_id(value: bytes | None) -> str | None:
    """The caller's request id where it is safe to put into logs and headers."""
    return value.decode() if value is not None and _REQUEST_ID(value) is not None else None


class HttpDate:
    """The ``date`` header's value (RFC 9110 section 5.6.7), rendered once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._text = formatdate(second, usegmt=True).encode()
            self._second = second
        return self._text


def asgi_headers(answer: Answer, request_id: str) -> list[tuple[bytes, bytes]]:
    """An answer's headers as ASGI wants them; the server adds the date."""
    content = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body))]
    own = {name for name, _ in answer.headers}
    return [
        *(content if answer.status not in _WITHOUT_CONTENT else ()),
        (b"x-request-id", request_id.encode()),
        # Two policies would both hold: what an answer says itself is in place of what all have.
        *(pair for pair in SECURITY_HEADERS if pair[0] not in own),
        *answer.headers,
    ]


def rendered(answer: Answer, request_id: str, date: bytes, close: bool) -> bytes:
    """A whole answer as it goes over the wire.

    Args:
        answer: the answer.
        request_id: the request's id.
        date: value of the ``date`` header.
        close: whether the connection ends behind it.
    """
    extra = b"connection: close\r\n" if close else b""
    for pair in answer.headers:
        extra += b"%s: %s\r\n" % pair
    head = b"%sdate: %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s%s\r\n" % (
        _STATUS_LINES[answer.status],
        date,
        answer.content_type,
        len(answer.body),
        request_id.encode(),
        _SECURITY_BLOCK,
        extra,
    )
    # Filled in with the rest, a large body would be copied several times.
    return head + answer.body
