"""The gateway at a Kafka that knows callers by IAM, as Amazon MSK does: its signatures, sessions and refusals."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from tests.broker.msk import Identity, MskFront, Verifier
from tests.broker.security import SecureBroker, secure_broker
from tests.end_to_end.bookkeeping import OverHttp, audit_of
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.kafka.ledger import Ledger
from tests.kafka.sts_server import StsServer
from tests.kafka.support import read_log

from eventbus_gateway.kafka.records import Stored

pytestmark = pytest.mark.broker

ROLE = "arn:aws-us-gov:iam::123456789012:role/gateway"
PRINCIPAL = "arn:aws-us-gov:sts::123456789012:assumed-role/gateway/eventbus-gateway"
SESSION_SECONDS = 3.0
CREDENTIAL_SECONDS = 67.0
"""A minute less is what their tokens are good for, so there are several in each test."""


def _identity(arn: str) -> Any:
    def known(key: str) -> Identity | None:
        return Identity(f"s3cret-{key}", f"s3cret-session-{key}", arn) if key.startswith("ASIAROLE") else None

    return known


class Site:
    """A broker that is reached through the front, an STS, and a gateway with subscriptions."""

    def __init__(self, secured: SecureBroker, stack: ExitStack) -> None:
        self.secured = secured
        self.sts = stack.enter_context(StsServer(CREDENTIAL_SECONDS))
        certificate = secured.certificates.server
        verifier = Verifier(_identity(PRINCIPAL))
        self.front = stack.enter_context(
            MskFront(certificate, secured.front, secured.behind, verifier, session_seconds=SESSION_SECONDS)
        )
        self.kafka = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "AWS_MSK_IAM",
            "ca_file": str(secured.certificates.ca),
            "iam_region": "us-gov-west-1",
            "iam_role_arn": ROLE,
            "unknown_topic_recheck_seconds": 0.1,
            "metadata_timeout_seconds": 1.0,
            "delivery_timeout_seconds": 10.0,
        }
        self.environ = {
            "AWS_ACCESS_KEY_ID": "AKIASTATIC",
            "AWS_SECRET_ACCESS_KEY": "s3cret-static",
            "AWS_ENDPOINT_URL_STS": self.sts.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        subscriptions = {"enabled": True, "slots": 1, "peer_secret": "s3cret-" + "p" * 32}
        self.gateway = stack.enter_context(self.another(subscriptions=subscriptions))

    def another(self, environ: dict[str, str] | None = None, **tables: Any) -> GatewayProcess:
        """A further gateway."""
        kafka = {name: value for name, value in {**self.kafka, **tables.pop("kafka", {})}.items() if value}
        environment = {**self.environ, **(environ or {})}
        http = {"access_log": False}
        return GatewayProcess(self.front.address, environ=environment, kafka=kafka, http=http, **tables)

    def topic(self) -> str:
        name = f"msk-{uuid4().hex[:8]}"
        self.secured.broker.create_topic(name, 3)
        self.gateway.until(lambda: self.gateway.client.get(f"/v1/topics/{name}").status_code == 200, "the topic")
        return name

    def published(self, topic: str) -> int:
        """Status of one publish."""
        return self.gateway.publish(topic, '{"n": 1}').status_code

    def no_secret_shows(self, gateway: GatewayProcess | None = None) -> None:
        shown = (gateway or self.gateway).err + (gateway or self.gateway).out
        assert "s3cret" not in shown
        assert "X-Amz" not in shown
        assert not [token for token in self.front.tokens if token in shown]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        secured = stack.enter_context(secure_broker(tmp_path_factory.mktemp("certificates")))
        yield Site(secured, stack)


def test_no_event_is_lost_and_no_connection_while_sessions_are_renewed_under_load(site: Site) -> None:
    topic, front = site.topic(), site.front
    before, http = front.seen(), OverHttp(site.gateway.port)

    async def load() -> Ledger:
        ledger = Ledger(http.publish, topic)
        ledger.start(sequential=6, batches=2)
        async with asyncio.timeout(PATIENCE):
            while front.again < before.again + 8 or len(front.tokens) < before.tokens + 2:
                await ledger.more_stored(500)
        await ledger.finish()
        http.close()
        return ledger

    ledger = asyncio.run(load())
    assert ledger.count(Stored) == len(ledger.entries), http.counts()
    audit_of(ledger.entries, site.secured.broker.bootstrap, topic)
    after = front.seen()
    assert after.refused == before.refused
    assert after.cut == before.cut
    site.no_secret_shows()


def test_a_subscription_goes_on_over_renewed_sessions(site: Site) -> None:
    topic, front, gateway = site.topic(), site.front, site.gateway
    path = f"/v1/subscriptions/{topic}"
    gateway.until(
        lambda: gateway.client.put(path, json={"topics": [topic]}).status_code in {200, 201},
        "subscriptions to be served",
    )
    before, received, deadline = front.seen(), 0, time.monotonic() + PATIENCE
    while front.again < before.again + 12:
        assert time.monotonic() < deadline
        assert site.published(topic) == 201
        answer = gateway.client.post(f"{path}/receive", json={"maxEvents": 10, "waitSeconds": 10})
        assert answer.status_code == 200, answer.text
        tokens = [event["ackToken"] for event in answer.json()["events"]]
        received += len(tokens)
        assert gateway.client.post(f"{path}/ack", json={"ackTokens": tokens}).status_code == 200
    stored = len(read_log(site.secured.broker.bootstrap, topic))
    assert received >= stored - 1
    read, place = 0, {"from": "earliest"}
    while read < stored:
        assert time.monotonic() < deadline
        page = gateway.client.get(f"/v1/topics/{topic}/events", params={**place, "limit": "1000", "wait": "5"})
        assert page.status_code == 200
        read, place = read + len(page.json()["events"]), {"cursor": page.json()["cursor"]}
    assert read == stored
    after = front.seen()
    assert after.refused == before.refused
    assert after.cut == before.cut


def test_a_token_that_is_refused_stops_publishing_and_a_good_one_heals_it(site: Site) -> None:
    topic, front, gateway = site.topic(), site.front, site.gateway
    assert site.published(topic) == 201
    before = front.seen()
    front.verifier.ahead = 3_600.0
    try:
        gateway.until(lambda: site.published(topic) == 503, "no connection to be left")
        gateway.until(lambda: gateway.metric("eventbus_kafka_up") == 0, "the gateway to know")
        assert gateway.probe("/readyz") == 200
    finally:
        front.verifier.ahead = 0.0
    gateway.until(lambda: site.published(topic) == 201, "publishing to go on")
    assert "expired" in front.seen().refused[len(before.refused) :]
    site.no_secret_shows()


def test_a_changed_principal_costs_a_connection_and_no_event(site: Site) -> None:
    topic, front = site.topic(), site.front
    before, http = front.seen(), OverHttp(site.gateway.port)

    async def load() -> Ledger:
        ledger = Ledger(http.publish, topic)
        ledger.start(sequential=6, batches=2)
        await ledger.more_stored(500)
        front.verifier.identity = _identity(PRINCIPAL + "-another")
        async with asyncio.timeout(PATIENCE):
            while "cannot change principals" not in front.refused[len(before.refused) :]:
                await ledger.more_stored(100)
        await ledger.more_stored(500)
        await ledger.finish()
        http.close()
        return ledger

    try:
        ledger = asyncio.run(load())
    finally:
        front.verifier.identity = _identity(PRINCIPAL)
    assert ledger.count(Stored) > 1_000
    audit_of(ledger.entries, site.secured.broker.bootstrap, topic)
    assert front.signed_in > before.signed_in


def test_a_wrong_secret_leaves_the_gateway_ready_and_refuses_publishes(site: Site) -> None:
    topic = site.topic()
    known = site.front.verifier.identity
    site.front.verifier.identity = lambda key: (
        Identity("s3cret-static", None, "arn:aws-us-gov:iam::123456789012:user/static")
        if key == "AKIASTATIC"
        else known(key)
    )
    before = site.front.seen()
    wrong = {"AWS_SECRET_ACCESS_KEY": "s3cret-but-wrong"}
    with site.another(wrong, kafka={"iam_role_arn": ""}) as gateway:
        gateway.until(lambda: gateway.metric("eventbus_kafka_up") == 0, "the gateway to know")
        answer = gateway.publish(topic, '{"n": 1}')
        assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
        assert gateway.probe("/readyz") == 200
        assert "grant it kafka-cluster:Connect on the cluster" in gateway.err
        site.no_secret_shows(gateway)
    assert "wrong signature" in site.front.seen().refused[len(before.refused) :]
    site.front.verifier.identity = known
    assert read_log(site.secured.broker.bootstrap, topic) == []


def test_while_sts_does_not_answer_the_gateway_starts_and_says_why_it_publishes_nothing(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silence = {"AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with site.another(silence) as gateway:
            assert gateway.publish("any", '{"n": 1}').status_code == 503
            gateway.until(lambda: "no AWS credentials to sign in to Kafka with" in gateway.err, "the reason")
            site.no_secret_shows(gateway)
