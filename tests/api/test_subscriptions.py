"""The subscription resource over HTTP: what owners can do with it, and what others cannot."""

import gzip
import json
from typing import Any

import pytest
from tests.api.managing import PATH, Office, Play, office
from tests.api.publishing import problem
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.serving import served
from tests.subscriptions.living import run, write

from eventbus_gateway.api.headers import asgi_headers
from eventbus_gateway.api.http import Answer
from eventbus_gateway.kafka.partitions import Position
from eventbus_gateway.subscriptions.settings import SubscriptionSettings


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    """A topic with nothing in it."""
    return topic(2)


# Creating, reading, changing


def test_a_subscription_is_created_once_and_then_replaced(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        created = await own.call("PUT", "/board", {"topics": [name]})
        assert created.status == 201
        assert dict(created.headers)[b"location"] == b"/v1/subscriptions/board"
        document = created.document
        assert (document["name"], document["topics"], document["paused"]) == ("board", [name], False)
        again = await own.call("PUT", "/board", {"topics": [name]})
        assert (again.status, again.etag, again.document) == (200, created.etag, document)
        changed = await own.call("PUT", "/board", {"topics": [name], "filter": {"type": ["bed"]}})
        assert (changed.status, changed.document["filter"]) == (200, {"type": ["bed"]})
        assert changed.etag != created.etag
        read = await own.call("GET", "/board")
        assert (read.status, read.etag, read.document) == (200, changed.etag, changed.document)
        # What is left out takes its default again.
        assert (await own.call("PUT", "/board", {"topics": [name]})).document["filter"] is None

    play(scenario)


def test_what_was_read_can_be_changed_and_sent_back(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        await own.call("POST", "/board/seek", {"to": "earliest"})
        await own.call("POST", "/board/pause")
        read = await own.call("GET", "/board")
        document = read.document | {"parallelism": 2}
        changed = await own.call("PUT", "/board", document, if_match=read.etag)
        assert (changed.status, changed.document["parallelism"], changed.document["paused"]) == (200, 2, True)
        # It is out of date now, and nobody may believe that a put resumes a subscription.
        stale = await own.call("PUT", "/board", document | {"paused": False})
        assert stale.faults() == {
            "/paused": "is not a known field",
            "/consumerGroup": "is not a known field",
        }

    play(scenario)


def test_entity_tags_keep_a_change_from_overwriting_one_that_its_author_has_not_seen(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        body: dict[str, Any] = {"topics": [name]}
        for condition in ("*", '"1"'):
            (await own.call("PUT", "/board", body, if_match=condition)).problem(412, "precondition_failed")
        first = await own.call("PUT", "/board", body, if_none_match="*")
        assert first.status == 201
        (await own.call("PUT", "/board", body, if_none_match="*")).problem(412, "precondition_failed")
        second = await own.call("PUT", "/board", body | {"start": "earliest"}, if_match=f'"7", {first.etag}')
        assert second.status == 200
        for stale in (first.etag, f"W/{second.etag}"):
            for method, path, content in (
                ("PUT", "/board", body),
                ("DELETE", "/board", None),
                ("POST", "/board/pause", None),
                ("POST", "/board/resume", None),
                ("POST", "/board/seek", {"to": "latest"}),
                ("POST", "/board/redrive", None),
            ):
                refused = await own.call(method, path, content, if_match=stale)
                refused.problem(412, "precondition_failed")
        refused = await own.call("PUT", "/board", body, if_none_match=f"W/{second.etag}")
        refused.problem(412, "precondition_failed")
        assert (await own.call("GET", "/board")).etag == second.etag
        assert (await own.call("POST", "/board/pause", if_match="*")).status == 200
        assert (await own.call("DELETE", "/board", if_match="*")).status == 204

    play(scenario)


def test_a_condition_that_means_nothing_is_refused(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        for condition in ("", "1", '"1', "*, *", 'w/"1"', '"1" "2"', ", ".join(['"1"'] * 33)):
            for header in ("if_match", "if_none_match"):
                refused = await own.call("PUT", "/board", {"topics": [name]}, **{header: condition})
                refused.problem(400, "invalid_header")

    play(scenario)


def test_subscriptions_are_listed_by_name_page_by_page(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        assert (await own.call("GET")).document == {"subscriptions": [], "cursor": None}
        for each in ("c", "a", "B", "d"):
            await own.put(each, name)
        await own.put("x", name, by="archive")
        whole = (await own.call("GET")).document
        assert [each["name"] for each in whole["subscriptions"]] == ["B", "a", "c", "d"]
        assert whole["subscriptions"][1] == (await own.call("GET", "/a")).document
        assert whole["cursor"] is None
        first = (await own.call("GET", query="limit=3")).document
        assert ([each["name"] for each in first["subscriptions"]], first["cursor"]) == (["B", "a", "c"], "c")
        await own.call("DELETE", "/c")
        last = (await own.call("GET", query=f"cursor={first['cursor']}&limit=3")).document
        assert ([each["name"] for each in last["subscriptions"]], last["cursor"]) == (["d"], None)

    play(scenario)


def test_a_list_with_another_query_is_refused(play: Play) -> None:
    async def scenario(own: Office) -> None:
        for query in ("limit=0", "limit=201", "limit=x", "after=a", "limit=1&limit=2"):
            (await own.call("GET", query=query)).problem(400, "invalid_parameter")
        (await own.call("GET", query="cursor=a/b")).problem(400, "invalid_cursor")

    play(scenario)


def test_a_deleted_subscription_is_gone_and_another_of_its_name_is_another_one(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        first = await own.put("board", name)
        gone = await own.call("DELETE", "/board")
        assert (gone.status, gone.body) == (204, b"")
        (await own.call("GET", "/board")).problem(404, "unknown_subscription")
        (await own.call("DELETE", "/board")).problem(404, "unknown_subscription")
        second = await own.put("board", name)
        assert second.status == 201
        assert second.document["id"] != first.document["id"]

    play(scenario)


def test_an_answer_without_content_has_neither_length_nor_type() -> None:
    names = {header for header, _ in asgi_headers(Answer(204, b""), "r1")}
    assert not {b"content-length", b"content-type"} & names
    assert b"x-request-id" in names


# Doing something with one


def test_a_pause_and_its_end_are_shown(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        paused = await own.call("POST", "/board/pause")
        assert (paused.status, paused.document["paused"]) == (200, True)
        assert (await own.call("POST", "/board/pause")).etag == paused.etag
        resumed = await own.call("POST", "/board/resume")
        assert (resumed.status, resumed.document["paused"]) == (200, False)

    play(scenario)


def test_parallelism_needs_a_pause(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        refused = await own.call("PUT", "/board", {"topics": [name], "parallelism": 2})
        refused.problem(409, "subscription_active")

    play(scenario)


def test_a_seek_moves_positions_and_is_shown(broker: Broker, play: Play, topic: TopicFactory) -> None:
    written = topic(1)
    write(broker.bootstrap, written, 5)

    async def scenario(own: Office) -> None:
        before = await own.put("board", written)
        sought = await own.call("POST", "/board/seek", {"to": "2023-11-14T22:13:23Z"})
        assert sought.status == 200
        assert sought.document["lastSeek"] == {
            "to": "2023-11-14T22:13:23.000Z",
            "at": "2023-11-14T22:13:20.000Z",
        }
        assert sought.document["consumerGroup"] != before.document["consumerGroup"]
        place = (written, 0)
        assert await own.parts.committed(own.subscription("board"), place) == {place: Position(3)}
        sought = await own.call("POST", "/board/seek", {"positions": {written: {"0": 1}}})
        assert sought.document["lastSeek"]["to"] is None
        assert await own.parts.committed(own.subscription("board"), place) == {place: Position(1)}
        refused = await own.call("POST", "/board/seek", {"positions": {written: {"0": 6, "1": 0}}})
        assert refused.faults() == {
            f"/positions/{written}/0": "expected at most 5, the end of the partition",
            f"/positions/{written}/1": "expected a partition of the topic",
        }

    play(scenario)


def test_a_seek_tells_what_is_wrong_with_it(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        refused = await own.call("POST", "/board/seek", {"to": "yesterday", "by": 1})
        assert set(refused.faults()) == {"/to", "/by"}
        refused = await own.call("POST", "/board/seek", {"positions": {"others": {"0": 1}}})
        assert refused.faults() == {"/positions": "expected topics of the subscription"}

    play(scenario)


def test_a_redrive_says_how_many_dead_letters_come_back(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("redriven", name)
        nothing = await own.call("POST", "/redriven/redrive")
        assert (nothing.status, nothing.document) == (202, {"deadLetters": 0})
        await own.bury(own.subscription("redriven"), b"{}", b"{}")
        done = await own.call("POST", "/redriven/redrive")
        assert (done.status, done.document) == (202, {"deadLetters": 2})
        shown = await own.call("GET", "/redriven")
        assert (shown.etag, shown.document["lastRedrive"]) == (
            done.etag,
            {"at": "2023-11-14T22:13:20.000Z", "filter": None},
        )
        chosen = await own.call("POST", "/redriven/redrive", {"filter": {"type": ["x"]}})
        assert (chosen.status, chosen.document) == (202, {"deadLetters": 2})
        shown = await own.call("GET", "/redriven")
        assert shown.document["lastRedrive"]["filter"] == {"type": ["x"]}
        wrong = await own.call("POST", "/redriven/redrive", {"filter": {"type": "x"}, "all": True})
        assert (wrong.status, wrong.document["code"]) == (422, "invalid_subscription")
        assert {fault["pointer"] for fault in wrong.document["errors"]} == {"/filter/type", "/all"}

    play(scenario)


# Who may do what


EVERYTHING = [
    ("GET", "/board", None),
    ("DELETE", "/board", None),
    ("POST", "/board/pause", None),
    ("POST", "/board/resume", None),
    ("POST", "/board/seek", {"to": "latest"}),
    ("POST", "/board/redrive", None),
    ("GET", "/board/dead-letters", None),
]


def test_the_subscription_of_somebody_else_is_answered_like_one_that_does_not_exist(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, by="clinic")
        for method, path, body in EVERYTHING:
            foreign = (await own.call(method, path, body, by="archive")).problem(404, "unknown_subscription")
            nowhere = await own.call(method, path.replace("board", "bored"), body)
            unknown = nowhere.problem(404, "unknown_subscription")
            assert foreign | {"instance": ""} == unknown | {"instance": ""}
        assert (await own.call("GET", "/board")).status == 200

    play(scenario)


def test_names_are_the_owners_own(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        mine = await own.put("board", name)
        theirs = await own.put("board", name, by="archive")
        assert theirs.status == 201
        for member in ("id", "consumerGroup", "deadLetterTopic"):
            assert mine.document[member] != theirs.document[member]
        await own.call("DELETE", "/board", by="archive")
        assert (await own.call("GET", "/board")).document == mine.document

    play(scenario)


def test_callers_without_a_key_learn_nothing(play: Play) -> None:
    async def scenario(own: Office) -> None:
        for method, path, body in [*EVERYTHING, ("PUT", "/board", {}), ("GET", "", None)]:
            (await own.call(method, path, body, by="stranger")).problem(401, "unauthenticated")

    play(scenario)


def test_a_topic_that_the_caller_may_not_read_is_refused_whether_it_exists_or_not(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        own.grant({"clinic": "notes*"})
        put = [await own.call("PUT", "/board", {"topics": ["notes", topic]}) for topic in (name, "nowhere")]
        documents = [each.problem(403, "forbidden") for each in put]
        assert documents[0] == documents[1]
        assert "/topics/1" in documents[0]["detail"]
        # What is granted and does not exist may be told.
        refused = await own.call("PUT", "/board", {"topics": ["notes"]})
        assert refused.faults() == {"/topics/0": "expected a topic that exists"}
        (await own.call("GET", "/board")).problem(404, "unknown_subscription")

    play(scenario)


def test_whose_grant_has_gone_gets_at_no_event_any_more_but_can_still_clear_away(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        own.grant({"archive": "*"})
        for method, path, body in [*EVERYTHING[3:], ("PUT", "/board", {"topics": [name]})]:
            (await own.call(method, path, body)).problem(403, "forbidden")
        for method, path, body in [EVERYTHING[2], EVERYTHING[0], ("GET", "", None)]:
            assert (await own.call(method, path, body)).status == 200
        assert (await own.call("DELETE", "/board")).status == 204

    play(scenario)


# What cannot be


def test_a_name_that_cannot_be_is_refused_where_one_is_given_and_unknown_elsewhere(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        for bad in ("-a", "_a", "a%2Fb", "a b", "x" * 101):
            (await own.call("PUT", f"/{bad}", {"topics": [name]})).problem(400, "invalid_parameter")
            for method, path, body in EVERYTHING:
                refused = await own.call(method, path.replace("board", bad), body)
                refused.problem(404, "unknown_subscription")

    play(scenario)


def test_a_body_tells_everything_that_is_wrong_with_it(play: Play) -> None:
    async def scenario(own: Office) -> None:
        body = {"topics": [], "filter": {"data": 1}, "start": "now", "delivery": {"type": "pull", "order": "x"}}
        refused = await own.call("PUT", "/board", body)
        assert set(refused.faults()) == {"/topics", "/filter/data", "/start", "/delivery/order"}

    play(scenario)


@pytest.mark.parametrize(("method", "path"), [("PUT", "/board"), ("POST", "/board/seek")])
def test_a_body_that_is_no_json_is_refused(play: Play, name: str, method: str, path: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        for content in (b"", b"{", b"{}{}", b"\xff", b'{"to": NaN}'):
            (await own.call(method, path, content)).problem(400, "invalid_json")
        for kind in ("text/plain", "application/json; charset=latin-1", "application/cloudevents+json"):
            refused = await own.call(method, path, b"{}", content_type=kind)
            refused.problem(415, "unsupported_media_type")
        (await own.call(method, path, b"{}", content_encoding="br")).problem(415, "unsupported_encoding")
        (await own.call(method, path)).problem(415, "unsupported_media_type")
        huge = b'{"a":"%s"}' % (b"x" * 600_000)
        (await own.call(method, path, huge)).problem(413, "body_too_large")
        (await own.call(method, path, gzip.compress(huge), content_encoding="gzip")).problem(413, "body_too_large")

    play(scenario)


def test_a_body_may_be_compressed(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        content = gzip.compress(json.dumps({"topics": [name]}).encode())
        assert (await own.call("PUT", "/board", content, content_encoding="gzip")).status == 201

    play(scenario)


def test_a_query_that_a_route_does_not_have_is_refused(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        for method, path, body in [*EVERYTHING, ("PUT", "/board", {"topics": [name]})]:
            (await own.call(method, path, body, query="force=true")).problem(400, "invalid_parameter")
        assert (await own.call("GET", "/board")).status == 200

    play(scenario)


def test_as_many_subscriptions_as_there_may_be_are_enough(broker: Broker, table: str, name: str) -> None:
    async def scenario() -> None:
        settings = SubscriptionSettings(max_subscriptions_per_owner=1, max_topics=1)
        async with office(broker.bootstrap, table, settings=settings) as own:
            await own.put("board", name)
            refused = await own.call("PUT", "/second", {"topics": [name]})
            refused.problem(409, "too_many_subscriptions")
            refused = await own.call("PUT", "/board", {"topics": [name, "other"]})
            assert refused.faults() == {"/topics": "expected at most 1 topics"}

    run(scenario)


def test_a_gateway_without_subscriptions_says_so() -> None:
    with served() as gateway:
        for method, path, _ in [*EVERYTHING, ("PUT", "/board", None), ("GET", "", None)]:
            answer = gateway.client.request(method, PATH + path)
            assert "not enabled" in problem(answer, 404, "route_not_found")["detail"]
