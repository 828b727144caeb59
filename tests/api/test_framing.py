"""Requests that two servers in a row could read differently are refused, and so is all that follows them."""

from collections.abc import Iterator

import pytest
from tests.api.wire import EDGE_WAYS, TARGET, at_rest, calling, edge, get, head, logged, post, stored
from tests.serving import Served

from eventbus_gateway.api.framing import target
from eventbus_gateway.errors import MalformedRequest

SMUGGLED = post(b'{"smuggled":true}', b"X-Request-Id: smuggled")
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 7"
BODY = b'{"a":1}'
CHUNKS = b'7\r\n{"a":1}\r\n0\r\n\r\n'


@pytest.fixture(scope="module", params=EDGE_WAYS)
def one(request: pytest.FixtureRequest) -> Iterator[Served]:
    with edge(request.param) as gateway:
        yield gateway


@pytest.fixture
def served(one: Served) -> Served:
    one.kafka.logs.clear()
    one.access.lines.clear()
    return one


AMBIGUOUS = {
    "length and chunked": head(LENGTH, CHUNKED) + CHUNKS,
    "chunked and length": head(CHUNKED, LENGTH) + CHUNKS,
    "zero length and chunked": head(b"Content-Length: 0", CHUNKED) + CHUNKS,
    "chunked twice": head(CHUNKED, CHUNKED) + CHUNKS,
    "chunked twice in a list": head(b"Transfer-Encoding: chunked, chunked") + CHUNKS,
    "gzip then chunked": head(b"Transfer-Encoding: gzip, chunked") + CHUNKS,
    "gzip and chunked in two lines": head(b"Transfer-Encoding: gzip", CHUNKED) + CHUNKS,
    "chunked then identity": head(b"Transfer-Encoding: chunked, identity") + CHUNKS,
    "identity": head(b"Transfer-Encoding: identity", LENGTH) + BODY,
    "unknown coding": head(b"Transfer-Encoding: xchunked") + CHUNKS,
    "chunked in quotes": head(b'Transfer-Encoding: "chunked"') + CHUNKS,
    "chunked with a parameter": head(b"Transfer-Encoding: chunked;q=1") + CHUNKS,
    "vertical tab before chunked": head(b"Transfer-Encoding: \x0bchunked") + CHUNKS,
    "white space behind chunked": head(b"Transfer-Encoding: chunked \t") + CHUNKS,
    "empty coding": head(b"Transfer-Encoding:") + CHUNKS,
    "space before the colon of the coding": head(b"Transfer-Encoding : chunked") + CHUNKS,
    "space before the colon of the length": head(b"Content-Length : 7") + BODY,
    "folded coding": head(b"Transfer-Encoding:\r\n chunked") + CHUNKS,
    "folded header": head(b"X-A: b\r\n c", LENGTH) + BODY,
    "tab before a header": head(b"\tX-A: b", LENGTH) + BODY,
    "space before the first header": b"POST %s HTTP/1.1\r\n Host: a\r\nContent-Length: 7\r\n\r\n" % TARGET + BODY,
    "chunked in HTTP/1.0": head(CHUNKED, version=b"1.0") + CHUNKS,
    "two lengths": head(LENGTH, b"Content-Length: 8") + BODY,
    "one length twice": head(LENGTH, LENGTH) + BODY,
    "list of lengths": head(b"Content-Length: 7, 7") + BODY,
    "list of different lengths": head(b"Content-Length: 7, 8") + BODY,
    "length with a plus": head(b"Content-Length: +7") + BODY,
    "negative length": head(b"Content-Length: -7") + BODY,
    "hexadecimal length": head(b"Content-Length: 0x7") + BODY,
    "fractional length": head(b"Content-Length: 7.0") + BODY,
    "length with an underscore": head(b"Content-Length: 1_0") + BODY,
    "two words of length": head(b"Content-Length: 7 7") + BODY,
    "empty length": head(b"Content-Length:") + BODY,
    "length beyond 64 bits": head(b"Content-Length: 18446744073709551623") + BODY,
    "length of a thousand digits": head(b"Content-Length: " + b"0" * 999 + b"7") + BODY,
    "no host": head(LENGTH, host=None) + BODY,
    "two hosts": head(LENGTH, b"Host: b") + BODY,
    "one host twice": head(LENGTH, b"Host: a") + BODY,
    "empty host": head(LENGTH, host=b"") + BODY,
    "host with a space": head(LENGTH, host=b"a b") + BODY,
    "host with a path": head(LENGTH, host=b"a/b") + BODY,
    "host with user information": head(LENGTH, host=b"u@a") + BODY,
    "host that is not ASCII": head(LENGTH, host=b"\xc3\xa4") + BODY,
    "upgrade to HTTP/2": head(
        LENGTH, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    )
    + BODY,
    "upgrade that is not asked for": head(LENGTH, b"Upgrade: h2c") + BODY,
    "upgrade to a web socket": get(TARGET, b"Connection: Upgrade", b"Upgrade: websocket"),
    "unknown expectation": head(LENGTH, b"Expect: 200-ok") + BODY,
    "two expectations": head(LENGTH, b"Expect: 100-continue", b"Expect: 100-continue") + BODY,
    "connect": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect to a path": b"CONNECT %s HTTP/1.1\r\nHost: a\r\n\r\n" % TARGET,
    "line feeds alone": post().replace(b"\r\n", b"\n"),
    "line feed behind the request line": post().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
    "line feed behind a header": post().replace(b"Host: a\r\n", b"Host: a\n"),
    "line feed behind the head": post().replace(b"\r\n\r\n", b"\r\n\n"),
    "carriage return behind a header": post().replace(b"Host: a\r\n", b"Host: a\r"),
    "carriage return in a header": post(BODY, b"X-A: b\rc"),
    "carriage return before the body": post().replace(b"\r\n\r\n", b"\r\n\r\r\n"),
    "null in a value": post(BODY, b"X-A: b\0c"),
    "null in a name": post(BODY, b"X-\0A: b"),
    "control character in a value": post(BODY, b"X-A: \x01"),
    "space in a name": post(BODY, b"X A: b"),
    "no colon": post(BODY, b"X-A"),
    "no name": post(BODY, b": b"),
    "no size before the chunk": head(CHUNKED) + b'\r\n{"a":1}\r\n0\r\n\r\n',
    "chunk size with a prefix": head(CHUNKED) + b"0x7\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a plus": head(CHUNKED) + b"+7\r\n" + BODY + b"\r\n0\r\n\r\n",
    "negative chunk size": head(CHUNKED) + b"-7\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a space": head(CHUNKED) + b"7 \r\n" + BODY + b"\r\n0\r\n\r\n",
    "space before the chunk size": head(CHUNKED) + b" 7\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": head(CHUNKED) + b"10000000000000007\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk longer than its size": head(CHUNKED) + b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "line feed behind the chunk size": head(CHUNKED) + b"7\n" + BODY + b"\r\n0\r\n\r\n",
    "line feed behind the chunk": head(CHUNKED) + b"7\r\n" + BODY + b"\n0\r\n\r\n",
    "line feed behind a chunk extension": head(CHUNKED) + b"7;a=b\n" + BODY + b"\r\n0\r\n\r\n",
    "carriage return in a chunk extension": head(CHUNKED) + b"7;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n",
    "trailer": head(CHUNKED) + b"7\r\n" + BODY + b"\r\n0\r\nX-A: b\r\n\r\n",
    "length in a trailer": head(CHUNKED) + b"7\r\n" + BODY + b"\r\n0\r\nContent-Length: 9\r\n\r\n",
    "request line without a version": b"POST %s\r\n\r\n" % TARGET,
    "version 0.9": post().replace(b"HTTP/1.1", b"HTTP/0.9"),
    "version 1.2": post().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "version 2.0": post().replace(b"HTTP/1.1", b"HTTP/2.0"),
    "lower-case protocol": post().replace(b"HTTP/1.1", b"http/1.1"),
    "another protocol": post().replace(b"HTTP/1.1", b"ICE/1.0"),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(502),
    "lower-case method": post().replace(b"POST", b"post"),
    "unknown method": post().replace(b"POST", b"BREW"),
    "tab behind the method": post().replace(b"POST ", b"POST\t"),
    "spaces in the target": post(target=b"/v1/topics/appoint ments/events"),
    "asterisk": get(b"*", method=b"OPTIONS"),
    "target without a slash": post(target=b"v1/topics/appointments/events"),
    "target that is not ASCII": post(target=b"/v1/topics/\xc3\xa4/events"),
    "target with a fragment": post(target=TARGET + b"#x"),
    "null in the target": post(target=b"/v1/topics/appointments%00/events"),
    "slash hidden in the target": post(target=b"/v1/topics%2fappointments/events"),
    "target that is not UTF-8": post(target=b"/v1/topics/%ff/events"),
    "target with an unpaired surrogate": post(target=b"/v1/topics/%ed%a0%80/events"),
    "target of another scheme": post(target=b"ftp://a" + TARGET),
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(
    served: Served, request_bytes: bytes
) -> None:
    with calling(served) as caller:
        refusal = caller.ask(request_bytes + SMUGGLED)
        assert (refusal.status, refusal.code) == (400, "malformed_request")
        assert refusal.closes
        assert caller.closed()
    assert stored(served) == 0
    assert [line["status"] for line in logged(served)] == [400]
    assert at_rest(served)


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_refused_request_does_not_take_the_answered_one_before_it_along(
    served: Served, request_bytes: bytes
) -> None:
    with calling(served) as caller:
        caller.send(post() + request_bytes + SMUGGLED)
        first, refusal = caller.answers(2)
        assert (first.status, refusal.status) == (201, 400)
        assert not first.closes
        assert refusal.closes
        assert caller.closed()
    assert stored(served) == 1
    assert at_rest(served)


SOUND = {
    "chunks": head(CHUNKED) + CHUNKS,
    "chunked in capitals": head(b"TRANSFER-ENCODING: CHUNKED") + CHUNKS,
    "tab before chunked": head(b"Transfer-Encoding:\tchunked") + CHUNKS,
    "chunk size with zeros": head(CHUNKED) + b"0007\r\n" + BODY + b"\r\n000\r\n\r\n",
    "small chunk extension": head(CHUNKED) + b"7;name=value\r\n" + BODY + b"\r\n0\r\n\r\n",
    "white space behind the length": head(b"Content-Length: 7 \t ") + BODY,
    "white space around the host": head(LENGTH, host=b" \ta ") + BODY,
    "length with zeros": head(b"Content-Length: 007") + BODY,
    "empty lines before the request": b"\r\n\r\n" + post(),
    "absolute target": post(target=b"http://somewhere.example" + TARGET),
    "host with a port": head(LENGTH, host=b"[::1]:8080") + BODY,
    "percent-encoded letter": post(target=b"/v1/topics/%61ppointments/events"),
    "value that is not ASCII": post(BODY, b"X-A: \xe4"),
    "two spaces in the request line": post(target=b" " + TARGET + b" "),
    "connection header without an upgrade": post(BODY, b"Connection: keep-alive, upgrade"),
}


@pytest.mark.parametrize("request_bytes", SOUND.values(), ids=SOUND.keys())
def test_what_can_be_read_in_one_way_only_is_served(served: Served, request_bytes: bytes) -> None:
    with calling(served) as caller:
        caller.send(request_bytes + post())
        assert [answer.status for answer in caller.answers(2)] == [201, 201]
    assert stored(served) == 2


def test_a_method_of_another_protocol_leads_nowhere(served: Served) -> None:
    with calling(served) as caller:
        assert caller.ask(get(TARGET, method=b"DESCRIBE").replace(b"HTTP/1.1", b"RTSP/1.0") + SMUGGLED).status == 405
        assert caller.closed()
    assert stored(served) == 0


def test_http_1_0_needs_no_host(served: Served) -> None:
    with calling(served) as caller:
        answer = caller.ask(head(LENGTH, version=b"1.0", host=None) + BODY)
        assert answer.status == 201
        assert caller.closed()


def test_http_1_0_gets_no_interim_answer(served: Served) -> None:
    with calling(served) as caller:
        caller.send(head(LENGTH, b"Expect: 100-continue", version=b"1.0"))
        assert caller.quiet(0.2)
        assert caller.ask(BODY).status == 201


@pytest.mark.parametrize("raw", [b"", b"*", b"a", b"http://a", b"/%00", b"/%80", b"/%2F", b"/a%2fb", b"/#", b"/\xe4"])
def test_a_target_that_is_no_plain_path_is_not_taken(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        target(raw)


def test_a_target_is_split_into_a_decoded_path_and_the_query_as_it_came() -> None:
    assert target(b"/v1/%c3%a4?a=%2f&b=%zz") == ("/v1/ä", b"a=%2f&b=%zz")
    assert target(b"/%zz") == ("/%zz", b"")
