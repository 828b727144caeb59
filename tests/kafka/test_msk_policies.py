"""The policies on docs/msk.md allow what a gateway asks a broker for, and nothing that none asks for."""

import fnmatch
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.broker import Broker
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.kafka.authorizations import Asked, Register, registering_broker
from tests.leaks import marked

PAGE = (Path(__file__).parents[2] / "docs" / "msk.md").read_text()
TOPIC = "clinic.visits"
TOPICS = {TOPIC: {"format": "json"}}
NOT_ASKED = {
    "Connect",  # Kafka has no such thing
    "DeleteGroup",  # asked a minute after the subscription is gone
}
_SECRET = marked("the-replicas-of-the-policies-tests", "the peer secret")

pytestmark = pytest.mark.broker


def statements(heading: str) -> list[tuple[set[str], list[tuple[str, str]]]]:
    """Actions, and kinds and patterns of names, of each statement of the policy under a heading."""
    (text,) = re.findall(rf"^#### {heading}\n.*?^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found = []
    for statement in json.loads(text)["Statement"]:
        resources = statement["Resource"]
        arns = [resources] if isinstance(resources, str) else resources
        names = [re.fullmatch(r"arn:[^/]+:(\w+)/events/\*(?:/(.+))?", arn) for arn in arns]
        assert all(names)
        actions = {action.removeprefix("kafka-cluster:") for action in statement["Action"]}
        found.append((actions, [(name[1], name[2] or "*") for name in names if name]))
    return found


def allows(statement: tuple[set[str], list[tuple[str, str]]], asked: Asked) -> bool:
    actions, resources = statement
    return asked.action in actions and any(
        asked.kind == kind and fnmatch.fnmatchcase(asked.name, pattern) for kind, pattern in resources
    )


def agree(heading: str, asked: set[Asked]) -> None:
    """What was asked for is allowed by a policy, and every action of each of its statements was asked for."""
    policy = statements(heading)
    assert {one for one in asked if not any(allows(statement, one) for statement in policy)} == set()
    for statement in policy:
        assert statement[0] - {one.action for one in asked if allows(statement, one)} <= NOT_ASKED


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Register]]:
    with registering_broker(tmp_path_factory.mktemp("asked")) as (broker, register):
        broker.create_topic(TOPIC, 2)
        yield broker, register


@pytest.fixture(scope="module")
def produced(watched: tuple[Broker, Register]) -> set[Asked]:
    """What a gateway asks for that only producers call."""
    broker, register = watched
    register.forget()
    with GatewayProcess(broker.bootstrap, topics=TOPICS) as gateway:
        assert gateway.publish(TOPIC, '{"visit": 1}').status_code == 201
        _wait_for_a_look(gateway, register)
    return register.asked()


@pytest.fixture(scope="module")
def consumed(watched: tuple[Broker, Register], produced: set[Asked]) -> set[Asked]:
    """What a gateway asks for that only consumers call, once there is something to consume."""
    assert produced
    broker, register = watched
    register.forget()
    subscriptions = {"enabled": True, "peer_secret": _SECRET, "slots": 2}
    with GatewayProcess(broker.bootstrap, topics=TOPICS, subscriptions=subscriptions) as gateway:
        _consume(gateway)
        _wait_for_a_look(gateway, register)
    return register.asked()


def test_a_gateway_for_producers_asks_for_what_its_policy_allows(produced: set[Asked]) -> None:
    agree("Producers only", produced)


def test_a_gateway_for_consumers_asks_for_what_its_policy_allows(consumed: set[Asked]) -> None:
    agree("Consumers only", consumed)


def test_a_gateway_for_everybody_asks_for_what_its_policy_allows(produced: set[Asked], consumed: set[Asked]) -> None:
    agree("Everything", produced | consumed)


def _wait_for_a_look(gateway: GatewayProcess, register: Register) -> None:
    """Wait until permissions and settings of topics were looked at."""

    def seen() -> bool:
        return {"DescribeTopicDynamicConfiguration", "DescribeCluster"} <= {one.action for one in register.asked()}

    gateway.until(seen, "the look at permissions and topics")


def _consume(gateway: GatewayProcess) -> None:
    """Everything that consumers can do."""
    path = "/v1/subscriptions/board"
    assert gateway.client.get(f"/v1/topics/{TOPIC}/events?wait=20").json()["events"]
    _told(gateway, "PUT", path, {"topics": [TOPIC], "start": "earliest"})
    event = _received(gateway, path)
    _told(gateway, "POST", f"{path}/reject", {"ackTokens": [event["ackToken"]], "reason": "no such patient"})
    gateway.until(lambda: _letters(gateway, path) == 1, "the dead letter")
    _told(gateway, "POST", f"{path}/redrive", {})
    _told(gateway, "POST", f"{path}/ack", {"ackTokens": [_received(gateway, path)["ackToken"]]})
    _told(gateway, "POST", f"{path}/seek", {"to": "earliest"})
    _told(gateway, "POST", f"{path}/ack", {"ackTokens": [_received(gateway, path)["ackToken"]]})
    _told(gateway, "DELETE", path, None)


def _letters(gateway: GatewayProcess, path: str) -> int:
    return len(gateway.client.get(f"{path}/dead-letters").json().get("deadLetters", []))


def _received(gateway: GatewayProcess, path: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if events := _told(gateway, "POST", f"{path}/receive", {"waitSeconds": 5, "maxEvents": 1}).json()["events"]:
            event: dict[str, Any] = events[0]
            return event
    raise AssertionError("waited in vain for an event")


def _told(gateway: GatewayProcess, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
    """An answer that is no refusal for now: slots may not be taken over yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = gateway.client.request(method, path, json=body)
        if answer.status_code not in {409, 410, 412, 503} or time.monotonic() > deadline:
            assert answer.is_success, answer.text
            return answer
