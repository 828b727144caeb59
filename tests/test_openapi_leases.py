"""What the contract says about leases is what is taken and given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.pulling import NOW, PATH, Desk, ask, receive, tokens
from tests.serving import served

from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "openapi" / "openapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
SETTINGS = SubscriptionSettings()
VERBS = {"ack": "AckRequest", "release": "ReleaseRequest", "extend": "ExtendRequest", "reject": "RejectRequest"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in place of a reference to it."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return SCHEMAS[name] if name else schema


def differences(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """Members that are missing or that the contract does not know."""
    schema = resolved(schema)
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from differences(schema["items"], each, f"{place}/{index}")
    elif isinstance(value, dict):
        known = schema["properties"]
        yield from (f"{place}/{name} is missing" for name in set(schema.get("required", ())) - set(value))
        yield from (f"{place}/{name} is not documented" for name in set(value) - set(known))
        for name in known.keys() & value.keys():
            yield from differences(known[name], value[name], f"{place}/{name}")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    desk = Desk()
    with served(further=desk.routes):
        yield desk


def operation(verb: str, method: str = "post") -> Any:
    return DOCUMENT["paths"][f"/v1/subscriptions/{{name}}/{verb}"][method]


def example(verb: str) -> Any:
    return operation(verb)["requestBody"]["content"]["application/json"]["example"]


def test_the_examples_of_requests_are_taken(desk: Desk) -> None:
    assert ask(desk.gateway, "receive", {**example("receive"), "waitSeconds": 0}).status_code == 200
    for verb in VERBS:
        desk.reset()
        desk.put(1)
        body = {**example(verb), "ackTokens": tokens(receive(desk.gateway))}
        assert ask(desk.gateway, verb, body).json() == {"succeeded": 1, "failed": []}
        # The token of the example is one, but nobody has it.
        assert ask(desk.gateway, verb, example(verb)).json()["code"] == "lease_lost"


def test_the_examples_of_answers_are_complete() -> None:
    settled = DOCUMENT["components"]["responses"]["Settled"]["content"]["application/json"]
    assert list(differences(settled["schema"], settled["example"])) == []
    status = operation("status", "get")["responses"]["200"]["content"]["application/json"]
    assert list(differences(status["schema"], status["example"])) == []


def test_answers_are_what_the_contract_says(desk: Desk) -> None:
    desk.reset(parallelism=2)
    desk.put(1, 2)
    desk.shards[0].endpoint = EndpointStatus("open", 3, 12.5, NOW, 503, None, NOW)
    desk.shards[0].told["a", 0] = {"lost_from": 1, "lost_until": 2, "trouble": "topic_unreadable"}
    (event,) = receive(desk.gateway, maxEvents=1)
    leased = SCHEMAS["LeasedEvent"]["allOf"][1]
    assert set(leased["required"]) <= set(event)
    handed_out = operation("receive")["responses"]["200"]["content"]["application/json"]["schema"]
    desk.put(3, 4)
    further = ask(desk.gateway, "receive", {"ackTokens": []}).json()
    assert set(handed_out["required"]) <= set(further) == set(handed_out["properties"])
    ask(desk.gateway, "release", {"ackTokens": tokens(further["events"])[:1]})
    partly = ask(desk.gateway, "release", {"ackTokens": further["ackTokens"]}).json()
    assert [set(each) for each in partly["failed"]] == [set(SCHEMAS["FailedTokens"]["items"]["properties"])]
    answers = {
        "Settled": ask(desk.gateway, "ack", {"ackTokens": [event["ackToken"], "x"]}).json(),
        "Problem": ask(desk.gateway, "ack", {"ackTokens": ["x", "y"]}).json(),
    }
    del desk.shards[1]
    answers["SubscriptionStatus"] = desk.gateway.client.get(PATH.format("s", "status")).json()
    for name, answer in answers.items():
        assert list(differences(SCHEMAS[name], answer)) == [], name
    desk.ends_refusal = KafkaUnavailable()
    answer = desk.gateway.client.get(PATH.format("s", "status")).json()
    assert list(differences(SCHEMAS["SubscriptionStatus"], answer)) == []


def test_the_bounds_are_those_of_the_settings() -> None:
    receive_body = SCHEMAS["Receive"]["properties"]
    assert receive_body["maxEvents"]["maximum"] == SETTINGS.max_receive_events
    assert receive_body["waitSeconds"]["maximum"] == SETTINGS.max_wait_seconds
    assert SCHEMAS["AckTokens"]["maxItems"] == SETTINGS.max_ack_tokens
    assert receive_body["ackTokens"]["maxItems"] == SETTINGS.max_receive_events
    bounds = (
        receive_body["leaseSeconds"],
        SCHEMAS["ExtendRequest"]["properties"]["leaseSeconds"],
        SCHEMAS["ReleaseRequest"]["properties"]["delaySeconds"],
    )
    assert {bound["maximum"] for bound in bounds} == {SETTINGS.max_lease_seconds}


def test_every_member_that_is_documented_is_taken_and_no_other(desk: Desk) -> None:
    desk.reset()
    values = {"ackTokens": ["x"], "delaySeconds": 1, "leaseSeconds": 1, "reason": "r"}
    for verb, name in VERBS.items():
        members = SCHEMAS[name]["properties"].keys()
        body = {member: values[member] for member in members}
        assert ask(desk.gateway, verb, body).json()["code"] == "invalid_ack_token"
        for other in values.keys() - members:
            answer = ask(desk.gateway, verb, {**body, other: values[other]})
            assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{other}"]
