"""What the actions mean for subscriptions: one's own, and those that operators see."""

import pytest
from tests.api.managing import Office, Play
from tests.conftest import TopicFactory

from eventbus_gateway.auth.settings import GrantSettings

ADMIN = "/v1/admin/subscriptions"
# What consumes, and is answered by the office; the others' routes are in the same table.
CONSUMES = [("GET", "/board", None), ("GET", "", None), ("GET", "/board/dead-letters", None)]
MANAGES = [
    ("POST", "/board/pause", None),
    ("POST", "/board/resume", None),
    ("POST", "/board/seek", {"to": "latest"}),
    ("POST", "/board/redrive", None),
]


def grant(principal: str, action: str, *topics: str) -> GrantSettings:
    return GrantSettings.model_validate({"principal": principal, "actions": [action], "topics": topics or ["*"]})


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    """A topic with nothing in it."""
    return topic(2)


@pytest.mark.parametrize("action", ["read", "manage"])
def test_a_grant_to_read_or_to_manage_lets_a_principal_have_subscriptions(play: Play, name: str, action: str) -> None:
    async def scenario(own: Office) -> None:
        own.allow(grant("clinic", action))
        await own.put("board", name)
        for method, path, body in [*CONSUMES, *MANAGES]:
            assert (await own.call(method, path, body)).status in {200, 202}, path
        assert (await own.call("DELETE", "/board")).status == 204

    play(scenario)


def test_a_grant_to_subscribe_lets_a_principal_consume_and_change_nothing(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        own.allow(grant("clinic", "manage"))
        board = await own.put("board", name)
        own.allow(grant("clinic", "subscribe"))
        for method, path, body in CONSUMES:
            assert (await own.call(method, path, body)).status == 200, path
        put = ("PUT", "/board", {"topics": [name], "filter": {"type": ["x"]}})
        for method, path, body in [*MANAGES, put, ("DELETE", "/board", None)]:
            refused = (await own.call(method, path, body)).problem(403, "forbidden")
            assert "manage" in refused["detail"], path
        (await own.call("PUT", "/other", {"topics": [name]})).problem(403, "forbidden")
        assert (await own.call("GET", "/board")).etag == board.etag

    play(scenario)


@pytest.mark.parametrize("action", ["publish", "admin"])
def test_grants_to_publish_and_to_admin_are_none_to_have_subscriptions(play: Play, name: str, action: str) -> None:
    async def scenario(own: Office) -> None:
        own.allow(grant("clinic", action))
        (await own.call("PUT", "/board", {"topics": [name]})).problem(403, "forbidden")

    play(scenario)


def test_a_topic_that_may_only_be_consumed_cannot_be_dropped_from_a_subscription(
    play: Play, name: str, topic: TopicFactory
) -> None:
    other = topic(1)

    async def scenario(own: Office) -> None:
        own.allow(grant("clinic", "read"))
        await own.put("board", name, other)
        own.allow(grant("clinic", "subscribe", other), grant("clinic", "manage", name))
        (await own.call("PUT", "/board", {"topics": [name]})).problem(403, "forbidden")
        own.allow(grant("clinic", "manage", name))
        assert (await own.call("PUT", "/board", {"topics": [name]})).status == 200

    play(scenario)


# Operators


def test_an_operator_sees_pauses_resumes_and_deletes_what_others_have(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        for owner in ("clinic", "archive"):
            await own.put("board", name, by=owner)
        own.allow(grant("nobody", "admin"))
        listed = (await own.call("GET", ADMIN, by="nobody")).document
        assert [(each["owner"], each["name"]) for each in listed["subscriptions"]] == [
            ("archive", "board"),
            ("clinic", "board"),
        ]
        for query in ("limit=1", "limit=1&cursor=archive/board", "owner=clinic"):
            page = (await own.call("GET", ADMIN, by="nobody", query=query)).document
            assert len(page["subscriptions"]) == 1
            assert page["cursor"] == ("archive/board" if query == "limit=1" else None)
        path = f"{ADMIN}/clinic/board"
        assert (await own.call("POST", path + "/pause", by="nobody")).document["paused"] is True
        one = await own.call("GET", path, by="nobody")
        assert (one.document["owner"], one.document["paused"]) == ("clinic", True)
        (await own.call("POST", path + "/resume", by="nobody", if_match='"0"')).problem(412, "precondition_failed")
        assert (await own.call("POST", path + "/resume", by="nobody", if_match=one.etag)).document["paused"] is False
        assert (await own.call("DELETE", path, by="nobody")).status == 204
        (await own.call("GET", path, by="nobody")).problem(404, "unknown_subscription")
        assert own.parts.store.get("archive", "board") is not None

    play(scenario)


def test_what_an_operator_s_grant_does_not_cover_is_as_good_as_not_there(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        own.allow(grant("nobody", "admin", "elsewhere.*"))
        assert (await own.call("GET", ADMIN, by="nobody")).document == {"subscriptions": [], "cursor": None}
        for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
            hidden = (await own.call(method, f"{ADMIN}/clinic/board{below}", by="nobody")).problem(
                404, "unknown_subscription"
            )
            absent = (await own.call(method, f"{ADMIN}/clinic/bored{below}", by="nobody")).problem(
                404, "unknown_subscription"
            )
            assert hidden | {"instance": ""} == absent | {"instance": ""}

    play(scenario)


def test_who_has_no_grant_to_admin_is_refused_whatever_there_is(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
            for who in ("clinic/board", "archive/board", "nobody/at-all"):
                for by in ("clinic", "archive"):
                    (await own.call(method, f"{ADMIN}/{who}{below}", by=by)).problem(403, "forbidden")
        (await own.call("GET", ADMIN, by="clinic")).problem(403, "forbidden")
        assert (await own.call("GET", "/board")).document["paused"] is False

    play(scenario)
