"""The registry is away, slow or wrong; the gateway says so, keeps what it knows and heals by itself."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import GatewayProcess
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import Canned

pytestmark = pytest.mark.broker

SCHEMA = '{"type": "record", "name": "Visit", "fields": [{"name": "n", "type": "int"}]}'
WIDER = (
    '{"type": "record", "name": "Visit", "fields": [{"name": "n", "type": "int"},'
    ' {"name": "note", "type": ["null", "string"], "default": null}]}'
)
AT_ONCE = 2.0
QUICK = {"retry_seconds": 0.2, "missing_ttl_seconds": 0.2, "timeout_seconds": 1.0}


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def gateway_on(
    broker: Broker, registry: RegistryServer, topics: dict[str, Any] | None = None, **settings: float
) -> GatewayProcess:
    return GatewayProcess(broker.bootstrap, registry.url, registry={**QUICK, **settings}, topics=topics or {})


def refused(gateway: GatewayProcess, topic: str, code: str) -> None:
    answer = gateway.publish(topic, '{"n": 1}')
    assert answer.status_code == 503
    problem = answer.json()
    assert (problem["code"], problem["outcome"]) == (code, "not_stored")
    assert int(answer.headers["retry-after"]) >= 1


def heals(gateway: GatewayProcess, topic: str, data: str = '{"n": 1}') -> dict[str, Any]:
    """Publish until it is stored, which it must be soon."""
    answers: list[httpx2.Response] = []

    def stored() -> bool:
        answers.append(gateway.publish(topic, data))
        assert answers[-1].status_code in {201, 503}
        return answers[-1].status_code == 201

    gateway.until(stored, "the gateway to heal", 10)
    receipt: dict[str, Any] = answers[-1].json()
    return receipt


def test_a_registry_that_is_down_at_the_start_stops_nothing_else_and_heals(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    avro, plain = topic(), topic()
    number = registry.register(f"{avro}-value", SCHEMA)
    registry.down()
    with gateway_on(broker, registry, {avro: {}, plain: {"format": "json"}}) as gateway:
        refused(gateway, avro, "registry_unavailable")
        assert gateway.publish(plain, '{"n": 1}').status_code == 201
        assert gateway.probe("/readyz") == 200
        registry.up()
        assert heals(gateway, avro)["schemaId"] == number


def test_a_schema_that_is_known_stays_in_use_while_the_registry_is_down(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    known, unknown = topic(), topic()
    number = registry.register(f"{known}-value", SCHEMA)
    registry.register(f"{unknown}-value", SCHEMA)
    with gateway_on(broker, registry, {known: {}}, latest_ttl_seconds=1) as gateway:
        assert gateway.publish(known, '{"n": 1}').status_code == 201
        before = len(registry.seen)
        gateway.until(
            lambda: gateway.publish(known, '{"n": 1}').status_code == 201 and len(registry.seen) > before,
            "the schema to be asked for again",
        )
        registry.down()
        # Long enough for several failed refreshes.
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            answer = gateway.publish(known, '{"n": 1}')
            assert (answer.status_code, answer.json()["schemaId"]) == (201, number)
        refused(gateway, unknown, "registry_unavailable")
        assert gateway.publish(known, '{"n": "1"}').status_code == 422
        registry.up()
        heals(gateway, unknown)


def test_a_registry_that_hangs_holds_up_only_those_who_need_it_and_not_for_long(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    known, waiting, plain = topic(), topic(), topic()
    registry.register(f"{known}-value", SCHEMA)
    registry.register(f"{waiting}-value", SCHEMA)
    with gateway_on(broker, registry, {known: {}, plain: {"format": "json"}}) as gateway:
        assert gateway.publish(known, '{"n": 1}').status_code == 201
        with registry.hold():
            took: list[float] = []

            def wait() -> None:
                started = time.monotonic()
                refused(gateway, waiting, "registry_unavailable")
                took.append(time.monotonic() - started)

            before = len(registry.seen)
            waiters = [threading.Thread(target=wait) for _ in range(4)]
            for waiter in waiters:
                waiter.start()
            registry.wait_for_requests(before + 1)
            for free in (known, plain):
                started = time.monotonic()
                assert gateway.publish(free, '{"n": 1}').status_code == 201
                assert time.monotonic() - started < 0.5
            for waiter in waiters:
                waiter.join(10)
            assert len(took) == 4
            assert max(took) < QUICK["timeout_seconds"] + AT_ONCE
            started = time.monotonic()
            assert gateway.publish(plain, '{"n": 1}').status_code == 201
            assert time.monotonic() - started < 0.5
        heals(gateway, waiting)


@pytest.mark.parametrize(
    "nonsense",
    [
        Canned(200, b"<html>log in</html>", {"content-type": "text/html"}),
        Canned(500, b"<html>oh no</html>", {"content-type": "text/html"}),
        Canned(200, b'{"id": "seven"}', {"content-type": "application/json"}),
        Canned(404, b"<html>not here</html>", {"content-type": "text/html"}),
    ],
    ids=["HTML", "500", "wrong JSON", "404 of something else"],
)
def test_a_registry_that_answers_nonsense_is_unavailable_and_heals(
    broker: Broker, topic: TopicFactory, registry: RegistryServer, nonsense: Canned
) -> None:
    name = topic()
    registry.register(f"{name}-value", SCHEMA)
    registry.answer = lambda seen: nonsense
    with gateway_on(broker, registry) as gateway:
        refused(gateway, name, "registry_unavailable")
        registry.answer = lambda seen: None
        heals(gateway, name)


def test_a_subject_that_is_missing_is_named_and_found_once_it_is_registered(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    name = topic()
    with gateway_on(broker, registry) as gateway:
        refused(gateway, name, "schema_missing")
        assert f"{name}-value" in gateway.publish(name, '{"n": 1}').json()["detail"]
        registry.register(f"{name}-value", SCHEMA)
        heals(gateway, name)


def test_a_schema_that_cannot_be_used_is_said_to_be_so(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    name = topic()
    registry.register(f"{name}-value", '{"type": "record", "name": "Visit"}')
    with gateway_on(broker, registry) as gateway:
        refused(gateway, name, "schema_unusable")


def test_an_event_that_only_a_new_version_fits_is_stored_with_that_version(
    broker: Broker, topic: TopicFactory, registry: RegistryServer
) -> None:
    name = topic()
    first = registry.register(f"{name}-value", SCHEMA)
    with gateway_on(broker, registry) as gateway:
        assert gateway.publish(name, '{"n": 1}').json()["schemaId"] == first
        noted = json.dumps({"n": 1, "note": "new"})
        assert gateway.publish(name, noted).status_code == 422
        second = registry.register(f"{name}-value", WIDER)
        answers: list[httpx2.Response] = []

        def stored() -> bool:
            answers.append(gateway.publish(name, noted))
            return answers[-1].status_code == 201

        gateway.until(stored, "the new version", 5)
        assert answers[-1].json()["schemaId"] == second
        assert {answer.status_code for answer in answers[:-1]} <= {422}
        assert gateway.publish(name, '{"n": 2}').json()["schemaId"] == second
