"""One line in the access log for every request, with nothing in it that a caller wants to keep."""

import hashlib
import time
from datetime import datetime

import pytest
from tests.api.wire import TARGET, TOPIC, both_ways, calling, chunked, edge, get, head, logged, post
from tests.leaks import marked
from tests.serving import Way

from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings, GrantSettings

FIELDS = {
    "timestamp",
    "level",
    "message",
    "request_id",
    "method",
    "route",
    "topic",
    "principal",
    "status",
    "duration_ms",
    "bytes_in",
    "bytes_out",
}
SECRET = marked("s3cr3t-4711", "what a caller keeps to itself").encode()
KEY = "ebg_" + SECRET.decode()


@both_ways
def test_a_publish_has_one_line_that_says_what_happened(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        answer = caller.ask(post(b'{"a":1}', b"X-Request-Id: mine"))
        (line,) = logged(gateway)
        assert set(line) == FIELDS
        assert abs(datetime.fromisoformat(line.pop("timestamp")).timestamp() - time.time()) < 5
        assert 0 <= line.pop("duration_ms") < 5_000
        assert line == {
            "level": "info",
            "message": "request",
            "request_id": "mine",
            "method": "POST",
            "route": "/v1/topics/{topic}/events",
            "topic": TOPIC,
            "principal": "anonymous",
            "status": 201,
            "bytes_in": 7,
            "bytes_out": len(answer.body),
        }


REQUESTS = {
    "published": (post(), 201, "/v1/topics/{topic}/events"),
    "chunks": (chunked(b"{}"), 201, "/v1/topics/{topic}/events"),
    "topics": (get(), 200, "/v1/topics"),
    "nothing": (get(b"/nothing"), 404, "unmatched"),
    "no such method": (get(TARGET, method=b"PUT"), 405, "unmatched"),
    "no JSON": (post(b"{"), 400, "/v1/topics/{topic}/events"),
    "too large": (post(b'"%s"' % (b"a" * 2_000)), 413, "refused"),
    "too large in chunks": (chunked(b'"' + b"a" * 2_000 + b'"'), 413, "refused"),
    "ambiguous": (head(b"Content-Length: 1", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, "refused"),
    "garbage": (b"garbage\r\n\r\n", 400, "refused"),
    "long head": (get(b"/", b"X-A: " + b"a" * 20_000), 431, "refused"),
}


@both_ways
@pytest.mark.parametrize(("request_bytes", "status", "route"), REQUESTS.values(), ids=REQUESTS.keys())
def test_every_request_has_one_line(way: Way, request_bytes: bytes, status: int, route: str) -> None:
    with edge(way, publish=PublishSettings(max_event_bytes=1_024)) as gateway, calling(gateway) as caller:
        answer = caller.ask(request_bytes)
        assert answer.status == status
        (line,) = logged(gateway)
        assert set(line) == FIELDS
        assert (line["status"], line["route"]) == (status, route)
        assert line["request_id"] == answer.header("x-request-id")


@both_ways
def test_no_line_has_payloads_keys_queries_or_credentials(way: Way) -> None:
    key = ApiKeySettings(principal="clinic", sha256=hashlib.sha256(KEY.encode()).hexdigest())
    grant = GrantSettings(principal="clinic", actions=("publish", "read"), topics=("*",))
    auth = AuthSettings(api_keys=(key,), grants=(grant,))
    headers = [
        b"Authorization: Bearer " + KEY.encode(),
        b"Cookie: session=" + SECRET,
        b"ce-subject: " + SECRET,
        b"ce-partitionkey: " + SECRET,
        b"Idempotency-Key: " + SECRET,
        b"User-Agent: " + SECRET,
    ]
    body = b'{"patient":"' + SECRET + b'"}'
    with edge(way, auth=auth) as gateway:
        for request_bytes in (
            post(body, *headers),
            post(body, *headers, target=TARGET + b"?token=" + SECRET),
            post(body[:-1], *headers),
            post(body, b"X-Api-Key: " + SECRET),
            get(b"/v1/topics?token=" + SECRET, *headers),
            get(b"/" + SECRET, *headers),
            post(body, *headers, b"Host: " + SECRET),
            head(*headers, b"Transfer-Encoding: " + SECRET),
            SECRET + b"\r\n\r\n",
        ):
            with calling(gateway) as caller:
                caller.ask(request_bytes)
        assert [line["status"] for line in logged(gateway)] == [201, 400, 422, 401, 200, 404, 400, 400, 400]
        assert SECRET not in b"".join(gateway.access.lines)


@both_ways
def test_a_line_stays_one_line_of_json(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        for target in (b"/v1/topics/a%0ab/events", b"/v1/topics/%22%7d/events", b"/v1/topics/%e2%80%a8/events"):
            caller.ask(post(b"{}", target=target))
        for line in gateway.access.lines:
            assert line.count(b"\n") == 1
            assert line.endswith(b"}\n")
        assert [line["topic"] for line in logged(gateway)] == ["a\nb", '"}', "\u2028"]
