"""What every answer has, whatever it answers and whichever way it took."""

import email.utils
import re
import time

import pytest
from tests.api.wire import EDGE_WAYS, TARGET, TOPIC, Heard, both_ways, calling, chunked, edge, get, head, post
from tests.serving import Way

from eventbus_gateway.api.settings import PublishSettings

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
SMALL = PublishSettings(max_event_bytes=1_024)
REQUESTS = {
    "published": post(),
    "published in chunks": chunked(b"{}"),
    "last": post(b"{}", b"Connection: close"),
    "topics": get(),
    "topic": get(b"/v1/topics/appointments"),
    "no route": get(b"/nothing"),
    "no such method": get(TARGET, method=b"PUT"),
    "options": get(TARGET, method=b"OPTIONS"),
    "no topic": post(b"{}", target=b"/v1/topics/unknown/events"),
    "no JSON": post(b"{"),
    "no media type": post().replace(b"Content-Type", b"X-Type"),
    "too large": post(b'"%s"' % (b"a" * 2_000)),
    "malformed": b"malformed\r\n\r\n",
    "no host": head(b"Content-Length: 2", host=None) + b"{}",
    "long head": get(b"/", b"X-A: " + b"a" * 20_000),
}


@both_ways
@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS.keys())
def test_every_answer_has_the_common_headers(way: Way, request_bytes: bytes) -> None:
    with edge(way, publish=SMALL) as gateway, calling(gateway) as caller:
        answer = caller.ask(request_bytes)
        assert UUID7(answer.header("x-request-id") or "")
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.header("transfer-encoding") is None
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
        assert answer.header("referrer-policy") == "no-referrer"
        assert answer.header("server") is None
        date = email.utils.parsedate_to_datetime(answer.header("date") or "")
        assert abs(date.timestamp() - time.time()) < 5
        expected = "application/json" if answer.status < 300 else "application/problem+json"
        assert answer.header("content-type") == expected
        assert (answer.status >= 300) == ("code" in answer.json)


def _shape(answer: Heard) -> tuple[int, list[tuple[str, str]], str | None]:
    varying = {"date", "x-request-id", "content-length"}
    headers = sorted((name, "" if name in varying else value) for name, value in answer.headers)
    return answer.status, headers, answer.json.get("code")


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS.keys())
def test_both_ways_answer_alike(request_bytes: bytes) -> None:
    found = []
    for way in EDGE_WAYS:
        with edge(way, publish=SMALL) as gateway, calling(gateway) as caller:
            found.append(_shape(caller.ask(request_bytes)))
    assert found[0] == found[1]


@both_ways
def test_a_usable_request_id_of_the_caller_is_kept(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        for sent in ("a", "A-1_b.c:d", "x" * 128):
            mine = b"X-REQUEST-ID:  " + sent.encode() + b" "
            for request in (post(b"{}", mine), get(b"/v1/topics", mine), get(b"/nothing", mine)):
                assert caller.ask(request).header("x-request-id") == sent


@both_ways
@pytest.mark.parametrize(
    "refused",
    [
        post(b'"%s"' % (b"a" * 2_000), b"X-Request-Id: mine"),
        head(b"X-Request-Id: mine", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        head(b"X-Request-Id: mine", b"Transfer-Encoding: chunked") + b"zz\r\n",
        get(b"/%00", b"X-Request-Id: mine"),
    ],
    ids=["too large", "ambiguous", "bad chunk", "bad target"],
)
def test_a_refused_caller_finds_its_request_id_in_the_answer(way: Way, refused: bytes) -> None:
    with edge(way, publish=SMALL) as gateway, calling(gateway) as caller:
        answer = caller.ask(refused)
        assert answer.status in {400, 413}
        assert answer.header("x-request-id") == "mine"


@both_ways
def test_the_id_of_an_answered_request_is_not_given_to_garbage_behind_it(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        caller.send(post(b"{}", b"X-Request-Id: mine") + b"garbage\r\n\r\n")
        first, second = caller.answers(2)
        assert first.header("x-request-id") == "mine"
        assert UUID7(second.header("x-request-id") or "")


@both_ways
def test_an_unusable_request_id_is_replaced(way: Way) -> None:
    hostile = [b"", b"a b", b"a\tb", b'a"b', b"a,b", b"{}", b"<script>", b"\xc3\xa4", b"x" * 129, b"a/b", b"%0d%0a"]
    with edge(way) as gateway, calling(gateway) as caller:
        for sent in hostile:
            mine = b"X-Request-Id: " + sent
            for request in (post(b"{}", mine), get(b"/v1/topics", mine)):
                assert UUID7(caller.ask(request).header("x-request-id") or ""), sent


@both_ways
def test_request_ids_differ(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        assert len({caller.ask(post()).header("x-request-id") for _ in range(50)}) == 50


@both_ways
@pytest.mark.parametrize("target", [b"/v1/topics", TARGET, b"/nothing"])
def test_an_answer_to_head_has_no_body(way: Way, target: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        caller.send(get(target, method=b"HEAD"))
        answer = caller.answer("HEAD")
        assert answer.status in {200, 404, 405}
        assert int(answer.header("content-length") or 0) > 0
        # A body would be taken for the beginning of the next answer.
        assert caller.ask(post()).status == 201


@both_ways
@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND"])
def test_a_method_that_a_path_does_not_have_is_told_which_ones_it_has(way: Way, method: bytes) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        answer = caller.ask(get(TARGET, method=method))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert answer.header("allow") == "POST, GET, HEAD"


@both_ways
def test_a_path_that_does_not_exist_is_told_so_for_every_method(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        for method in (b"GET", b"POST", b"DELETE", b"OPTIONS"):
            answer = caller.ask(get(b"/v1/nothing", method=method))
            assert (answer.status, answer.code) == (404, "route_not_found")
            assert answer.header("allow") is None


@both_ways
def test_a_path_is_taken_literally(way: Way) -> None:
    with edge(way) as gateway, calling(gateway) as caller:
        for target in (b"//v1/topics", b"/v1/topics/", b"/v1/./topics", b"/a/../v1/topics", b"/V1/topics"):
            assert caller.ask(get(target)).status == 404
        assert caller.ask(get(b"/v1/topics?a=b")).status == 200
        assert caller.ask(get(b"/v1/%74opics")).json["topics"][0]["name"] == TOPIC
