"""A gateway takes the examples of requests and answers as the contract says, headers included."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest
from openapi.build import document
from tests.contract.conformance import Operation, differences, given_examples, operations
from tests.contract.running import KEY, LIMITED, PULLED, PUSHED, STRANGER, TOPIC, Running, running

# What the state of the gateway, and not the form of the request, decides.
ELSEWHERE: Mapping[str, set[int]] = {
    # Nobody has the lease of these tokens.
    **{name: {410} for name in ("ack", "release", "extend", "reject")},
    # The registry is there to be read.
    **{name: {405} for name in ("deleteSubject", "registerSchema", "deleteVersion")},
    # Neither schema nor id of the examples is the one that there is.
    **{name: {404} for name in ("findSchema", "describeSchema", "describeSchemaText", "listSchemaVersions")},
}
OF_WEBHOOKS = {"testWebhook", "rotateSecret", "listAttempts"}
PATIENCE = 30.0
"""Seconds for a shard to be served again, after a seek of an earlier example."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def path_of(operation: Operation) -> str:
    """The path with the examples of its segments."""
    given = {each["name"]: str(each["example"]) for each in operation.parameters if each["in"] == "path"}
    if operation.name in OF_WEBHOOKS:
        given["name"] = PUSHED
    return operation.path.format(**given)


def requests(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of an operation: name, and what a client needs to send it."""
    if not operation.bodies:
        yield "", {}
    for media, content in operation.bodies.items():
        for name, value in given_examples(content).items():
            headers = {"content-type": media}
            body = {"json": value} if not isinstance(value, str) else {"content": value}
            yield f"{media} {name}", {"headers": headers, **body}


def asked(gateway: Running, method: str, path: str, request: Mapping[str, Any]) -> httpx2.Response:
    """The answer; asked again while a shard is on its way."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = gateway.client.request(method, path, **request)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_an_example_is_taken_and_answered_as_the_contract_says(gateway: Running, operation: Operation) -> None:
    for name, request in requests(operation):
        path = path_of(operation)
        # What the example would wait for does not come.
        if operation.name == "receive":
            request["json"] = {**request["json"], "waitSeconds": 0}
        if path.endswith(f"/{PULLED}") or f"/{PULLED}/" in path:
            # An earlier example may have deleted it.
            gateway.client.put(
                f"/v1/subscriptions/{PULLED}", json={"topics": [TOPIC]}, headers={"if-none-match": "*"}
            )
        if name.endswith("webhook"):
            path = f"/v1/subscriptions/{PUSHED}"
        answer = asked(gateway, operation.method, path, request)
        wanted = ELSEWHERE.get(operation.name, set())
        assert answer.status_code in wanted or (not wanted and answer.is_success), (name, answer.text)
        assert list(differences(operation, answer)) == [], name


def one(name: str) -> Operation:
    (found,) = [each for each in operations() if each.name == name]
    return found


@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson", "text/event-stream"])
def test_events_come_in_every_form_as_the_contract_says(gateway: Running, media: str) -> None:
    operation = one("read")
    (example,) = given_examples(one("publish").bodies["application/json"]).values()
    assert gateway.client.post(f"/v1/topics/{TOPIC}/events", json=example).status_code == 201
    answer = gateway.client.get(f"/v1/topics/{TOPIC}/events", headers={"accept": media})
    assert answer.headers["content-type"].partition(";")[0] == media
    assert list(differences(operation, answer)) == []
    assert "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11" in answer.text


def test_a_leased_event_and_what_becomes_of_it_is_as_the_contract_says(gateway: Running) -> None:
    (example,) = given_examples(one("publish").bodies["application/json"]).values()
    gateway.client.put("/v1/subscriptions/leased", json={"topics": [TOPIC], "start": "earliest"})
    gateway.client.post(f"/v1/topics/{TOPIC}/events", json=example)
    answer = gateway.client.post("/v1/subscriptions/leased/receive", json={"maxEvents": 1, "waitSeconds": 20})
    assert list(differences(one("receive"), answer)) == []
    (event,) = answer.json()["events"]
    rejected = gateway.client.post("/v1/subscriptions/leased/reject", json={"ackTokens": [event["ackToken"]]})
    assert rejected.json()["succeeded"] == 1
    assert list(differences(one("reject"), rejected)) == []
    status = gateway.client.get("/v1/subscriptions/leased/status")
    assert list(differences(one("subscriptionStatus"), status)) == []


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_without_a_credential_and_without_a_grant_the_answers_are_those_of_the_contract(
    gateway: Running, operation: Operation
) -> None:
    if operation.said.get("security") == []:
        return
    for headers, status in (({"x-api-key": ""}, 401), ({"x-api-key": STRANGER}, None)):
        for _, request in requests(operation):
            given = {**request, "headers": {**request.get("headers", {}), **headers}}
            answer = gateway.client.request(operation.method, path_of(operation), **given)
            assert list(differences(operation, answer)) == []
            assert answer.status_code == status or (status is None and answer.status_code in {200, 403, 404})


def test_a_caller_beyond_its_limit_is_told_as_the_contract_says(gateway: Running) -> None:
    answers = [gateway.client.get("/v1/topics", headers={"x-api-key": LIMITED}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    for answer in answers:
        assert list(differences(one("listTopics"), answer)) == []
    for name in ("retry-after", "ratelimit", "ratelimit-policy"):
        assert answers[-1].headers[name]


def test_a_key_is_a_bearer_token_too(gateway: Running) -> None:
    answer = httpx2.get(f"{gateway.url}/v1/topics", headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    assert answer.status_code == 200


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_query_parameters_are_those_of_the_contract(gateway: Running, operation: Operation) -> None:
    """What takes none of them says so; what refuses an unknown one names those that there are."""
    documented = sorted(each["name"] for each in operation.parameters if each["in"] == "query")
    _, request = next(requests(operation))
    answer = gateway.client.request(operation.method, f"{path_of(operation)}?nonsense=1", **request)
    if answer.status_code != 400:
        assert documented == []
        return
    assert answer.json()["code"] == "invalid_parameter"
    said = answer.json()["detail"]
    assert said in {
        "There are no query parameters here." if not documented else "",
        f"The query parameters here are {', '.join(documented)}.",
        f"The only query parameter here is {''.join(documented)}.",
    }


def test_the_contract_that_is_served_is_this_one(gateway: Running) -> None:
    assert gateway.client.get("/openapi.json").json() == document()
