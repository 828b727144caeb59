"""What the gateway asks of a request's head before anything is done with it.

httptools accepts several shapes that two servers in a row can read differently (request smuggling); they are refused
here. Rules: RFC 9112 sections 3.2, 6.1 and 6.3, RFC 9110 sections 7.8 and 10.1.1.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from eventbus_gateway.errors import MalformedRequest

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_HOST_FORBIDDEN = frozenset(b'"#/<>?@\\^`{|}%') | frozenset(range(0x21)) | frozenset(range(0x7F, 0x100))


class Framing(NamedTuple):
    """How the body of a request arrives.

    Args:
        content_length: bytes as declared, None for a chunked or absent body.
        expects_continue: whether the caller waits for a 100 before it sends the body.
    """

    content_length: int | None
    expects_continue: bool


def framing(headers: Mapping[bytes, bytes], repeated: frozenset[bytes], http_version: str) -> Framing:
    """Check the headers that decide where a request ends.

    Args:
        headers: by lower-case name.
        repeated: names that came more than once.
        http_version: ``1.0`` or ``1.1``.

    Raises:
        MalformedRequest: missing, repeated or contradicting.
    """
    if repeated and not repeated.isdisjoint(_FRAMING):
        raise MalformedRequest("Host, Content-Length, Transfer-Encoding, Expect and Upgrade come once at most.")
    _check_host(headers.get(b"host"), http_version)
    if b"upgrade" in headers:
        raise MalformedRequest("Upgrading the connection is not supported.")
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise MalformedRequest("A request has Content-Length or Transfer-Encoding, not both.")
        if http_version == "1.0" or coding.lower() != b"chunked":
            raise MalformedRequest("The only Transfer-Encoding is chunked, and HTTP/1.0 has none.")
    elif length is not None and (not length.isdigit() or len(length) > 18):
        raise MalformedRequest("Content-Length is a whole number.")
    expect = headers.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise MalformedRequest("The only Expect is 100-continue.")
    # RFC 9110 section 10.1.1: HTTP/1.0 knows no interim answers.
    return Framing(int(length) if length is not None else None, expect is not None and http_version != "1.0")


def _check_host(host: bytes | None, http_version: str) -> None:
    if host is None:
        if http_version == "1.0":
            return
        raise MalformedRequest("A request has a Host header.")
    if not host or not _HOST_FORBIDDEN.isdisjoint(host):
        raise MalformedRequest("The Host header is not valid.")


def repeated_names(pairs: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Header names that came more than once."""
    seen: set[bytes] = set()
    repeated: set[bytes] = set()
    for name, _ in pairs:
        (repeated if name in seen else seen).add(name)
    return frozenset(repeated)


def target(url: bytes) -> tuple[str, bytes]:
    """The decoded path and the raw query of a request target.

    Raises:
        MalformedRequest: not a path, not ASCII, not UTF-8 behind its percent-encoding, or with an encoded slash: a
            proxy that guards paths does not take it for a slash (RFC 3986 section 2.2).
    """
    try:
        parsed = httptools.parse_url(url)
        path = (parsed.path or b"").decode("ascii")
        if "%" in path:
            if "%2f" in path.lower():
                raise MalformedRequest("The path of a request target has no encoded slashes.")
            path = unquote(path, errors="strict")
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        raise MalformedRequest("The request target is not valid.") from None
    if parsed.schema not in {None, b"http", b"https"} or b"#" in url:
        raise MalformedRequest("The request target is of HTTP and has no fragment.")
    if not path.startswith("/") or "\x00" in path:
        raise MalformedRequest("The request target is not a path.")
    return path, parsed.query or b""
