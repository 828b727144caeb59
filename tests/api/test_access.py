"""Who may publish where, as callers see it."""

import contextlib
import json
from collections.abc import Iterator

import pytest
from tests.api.guarded import ARCHIVE, CLINIC, CLINIC_NEXT, NOBODY, bearer, guarded
from tests.api.publishing import APPOINTMENT, JSON, NDJSON, attribute, lines, problem, publish, stored
from tests.serving import Served, Way, served

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.auth.settings import AuthSettings


@pytest.fixture(scope="module")
def running(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with contextlib.closing(guarded(way, tmp_path_factory.mktemp("schemas"))) as gateway:
        yield gateway


@pytest.mark.parametrize("key", [CLINIC, CLINIC_NEXT], ids=["first", "second"])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", None])
def test_every_key_of_a_principal_is_accepted_in_both_headers(gateway: Served, scheme: str | None, key: str) -> None:
    headers = {"x_api_key": key} if scheme is None else {"authorization": scheme + key}
    assert publish(gateway, "notes", {}, **headers).status_code == 201
    assert attribute(stored(gateway, "notes"), "ce_source") == "/principals/clinic"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {CLINIC}"},
        {"authorization": CLINIC},
        {"x-api-key": "wrong"},
        {"x-api-key": ""},
        {"x-api-key": CLINIC.upper()},
        {"x-api-key": CLINIC * 20},
        {"authorization": f"Bearer {CLINIC}", "x-api-key": CLINIC},
        {"authorization": f"Bearer {CLINIC}", "x-api-key": "wrong"},
        {"authorization": "Bearer wrong", "x-api-key": CLINIC},
    ],
)
def test_whoever_presents_no_accepted_key_is_not_let_in(gateway: Served, headers: dict[str, str]) -> None:
    answer = gateway.client.post("/v1/topics/notes/events", content=b"{}", headers={"content-type": JSON} | headers)
    assert problem(answer, 401, "unauthenticated")["outcome"] == "not_stored"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert CLINIC not in answer.text
    assert gateway.kafka.logs == {}


def test_who_is_not_let_in_learns_nothing_about_topics(gateway: Served) -> None:
    answers = [publish(gateway, topic, {}) for topic in ("notes", "nowhere")]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() | {"instance": ""} == answers[1].json() | {"instance": ""}


def test_a_topic_without_a_grant_is_refused_whether_it_exists_or_not(gateway: Served) -> None:
    answers = [publish(gateway, topic, {}, **bearer(CLINIC)) for topic in ("keyed", "nowhere")]
    documents = [problem(answer, 403, "forbidden") for answer in answers]
    assert documents[0] | {"instance": ""} == documents[1] | {"instance": ""}
    assert documents[0]["outcome"] == "not_stored"


def test_a_granted_topic_that_does_not_exist_is_unknown(gateway: Served) -> None:
    problem(publish(gateway, "ghost", {}, **bearer(CLINIC)), 404, "unknown_topic")
    problem(publish(gateway, "no-such-topics", {}, **bearer(CLINIC)), 404, "unknown_topic")


def test_a_grant_to_read_is_no_grant_to_publish(gateway: Served) -> None:
    problem(publish(gateway, "keyed", {}, **bearer(ARCHIVE)), 403, "forbidden")
    problem(publish(gateway, "notes", {}, **bearer(NOBODY)), 403, "forbidden")


def test_access_is_decided_before_the_body_is_looked_at(gateway: Served) -> None:
    problem(publish(gateway, "keyed", b"{", "text/plain", **bearer(CLINIC)), 403, "forbidden")
    problem(publish(gateway, "notes", b"{", "text/plain"), 401, "unauthenticated")


@pytest.mark.parametrize(
    "name", ["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Schema-Version", "Ce-Id", "ce-any"]
)
def test_a_header_that_comes_twice_leaves_nothing_to_guess(gateway: Served, name: str) -> None:
    headers = [("content-type", JSON), ("authorization", f"Bearer {CLINIC}"), (name, "1"), (name, "2")]
    answer = gateway.client.post("/v1/topics/notes/events", content=b"{}", headers=headers)
    assert name.lower() in problem(answer, 400, "invalid_header")["detail"]
    assert gateway.kafka.logs == {}


def test_one_key_under_two_principals_never_replays_the_others_receipt(gateway: Served) -> None:
    answers = [publish(gateway, "notes", {}, idempotency_key="shared", **bearer(key)) for key in (CLINIC, ARCHIVE)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    problem(publish(gateway, "notes", {}, idempotency_key="shared", **bearer(NOBODY)), 403, "forbidden")


def test_the_access_log_names_the_principal_and_never_the_key(gateway: Served) -> None:
    publish(gateway, "appointments", APPOINTMENT, **bearer(CLINIC))
    publish(gateway, "appointments", APPOINTMENT, x_api_key="wrong-key")
    entered, refused = (json.loads(line) for line in gateway.access.lines)
    assert (entered["principal"], entered["status"], entered["topic"]) == ("clinic", 201, "appointments")
    assert (refused["status"], refused["principal"]) == (401, None)
    log = b"".join(gateway.access.lines)
    assert CLINIC.encode() not in log
    assert b"wrong-key" not in log


# Rate limits


def test_beyond_its_limit_a_caller_is_told_when_to_come_back() -> None:
    now = [0.0]
    limited = AuthSettings(mode="anonymous", events_per_second=2.0, burst_events=4)
    topics = {"appointments": TopicSettings(format="json")}
    with served(auth=limited, topics=topics, clock=lambda: now[0]) as gateway:
        assert publish(gateway, "appointments", lines(1, 2, 3), NDJSON).status_code == 200
        answer = publish(gateway, "appointments", lines(1, 2, 3), NDJSON)
        document = problem(answer, 429, "rate_limited")
        assert document["outcome"] == "not_stored"
        assert "2 events a second" in document["detail"]
        assert answer.headers["retry-after"] == "1"
        assert publish(gateway, "appointments", {}).status_code == 201
        now[0] += 1.5
        assert publish(gateway, "appointments", lines(1, 2, 3), NDJSON).status_code == 200
        assert len(gateway.kafka.records("appointments")) == 7


def test_a_replayed_receipt_takes_nothing_from_the_limit() -> None:
    limited = AuthSettings(mode="anonymous", events_per_second=0.001, burst_events=1)
    with served(auth=limited, topics={"appointments": TopicSettings(format="json")}) as gateway:
        for _ in range(3):
            assert publish(gateway, "appointments", {}, idempotency_key="k").status_code == 201
        problem(publish(gateway, "appointments", {}, idempotency_key="l"), 429, "rate_limited")
