"""Callers whose certificate a proxy has verified, over real connections."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.guarded import AUTH as GUARDED
from tests.api.guarded import CLINIC, bearer
from tests.api.publishing import JSON, TOPICS, attribute, kafka, problem, publish, registry
from tests.api.wire import calling, post
from tests.serving import Served, Way

from eventbus_gateway.auth.settings import AuthSettings

LABS = 'Hash=00;Subject="CN=labs,O=Example"'


def _auth(proxies: str) -> AuthSettings:
    grant = {"principal": "labs", "actions": ("publish",), "topics": ("notes",)}
    return AuthSettings.model_validate(
        {
            "mode": "several",
            "methods": ("api_keys", "certificates"),
            "api_keys": GUARDED.api_keys,
            "grants": (*GUARDED.grants, grant),
            "certificate_proxies": (proxies,),
            "certificates": ({"value": "CN=labs,O=Example", "principal": "labs"},),
        }
    )


@pytest.fixture(scope="module", params=["protocol", "asgi", "uvicorn"])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture(scope="module")
def near(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that trusts the proxy at this address."""
    yield from _running(way, tmp_path_factory, "127.0.0.1/32")


@pytest.fixture(scope="module")
def far(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that trusts proxies at other addresses."""
    yield from _running(way, tmp_path_factory, "10.0.0.0/8")


def _running(way: Way, folders: pytest.TempPathFactory, proxies: str) -> Iterator[Served]:
    folder = folders.mktemp("schemas")
    gateway = Served(way=way, kafka=kafka(), registry=registry(folder), topics=TOPICS, auth=_auth(proxies))
    with contextlib.closing(gateway):
        yield gateway


def _certified(gateway: Served, *values: str, topic: str = "notes", **headers: Any) -> Any:
    given = [("content-type", JSON), *headers.items(), *(("X-Forwarded-Client-Cert", value) for value in values)]
    return gateway.client.post(f"/v1/topics/{topic}/events", content=b"{}", headers=given)


def test_the_word_of_a_trusted_proxy_says_who_calls(near: Served) -> None:
    for _ in range(3):
        assert _certified(near, LABS).status_code == 201
    for record in near.kafka.records("notes"):
        assert attribute(record, "ce_source") == "/principals/labs"
    assert len(near.kafka.records("notes")) == 3
    problem(_certified(near, LABS, topic="keyed"), 403, "forbidden")
    assert publish(near, "notes", {}, **bearer(CLINIC)).status_code == 201


def test_a_head_that_came_before_is_judged_by_the_connection_that_brings_it_again(near: Served, far: Served) -> None:
    block = post(b"{}", b"X-Forwarded-Client-Cert: " + LABS.encode(), target=b"/v1/topics/notes/events")
    for gateway, status in ((near, 201), (far, 401)):
        with calling(gateway) as caller:
            assert [caller.ask(block).status for _ in range(3)] == [status] * 3


def test_the_header_of_anybody_else_is_refused_even_beside_a_good_key(far: Served) -> None:
    for headers in ({}, bearer(CLINIC)):
        answer = _certified(far, LABS, **headers)
        problem(answer, 401, "unauthenticated")
    assert publish(far, "notes", {}, **bearer(CLINIC)).status_code == 201


def test_a_header_that_a_caller_has_put_before_that_of_the_proxy_leaves_nothing_to_guess(near: Served) -> None:
    other = 'Hash=00;Subject="CN=other"'
    for values in ((other, LABS), (LABS, other), (LABS, LABS)):
        problem(_certified(near, *values), 400, "invalid_header")
        problem(_certified(near, ",".join(values)), 401, "unauthenticated")


def test_a_certificate_and_a_key_are_one_credential_too_many(near: Served) -> None:
    answer = _certified(near, LABS, **bearer(CLINIC))
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="eventbus", error="invalid_request"'
    assert _certified(near).headers["www-authenticate"] == 'Bearer realm="eventbus"'
    assert publish(near, "notes", {}, **bearer("wrong")).headers["www-authenticate"].endswith('"invalid_token"')
