"""What is looked at once Kafka can be reached: permissions, and whether topics keep what they acknowledge."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from hypothesis import given
from hypothesis import strategies as st
from tests.broker import Broker
from tests.broker.security import PASSWORD, SecureBroker, secure_broker
from tests.conftest import TopicFactory
from tests.end_to_end.process import GatewayProcess
from tests.kafka.support import producing, until

from eventbus_gateway.errors import TopicUnavailable
from eventbus_gateway.kafka.access import cluster_findings, configs_finding, topic_findings
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.checks import Checks
from eventbus_gateway.kafka.durability import Required, Setup, weaknesses
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.records import Record, RecordSink, Stored
from eventbus_gateway.kafka.settings import KafkaSettings

_numbers = count()
_ALL = frozenset(AclOperation)
_RECORD = [Record(b"key", b"value", [])]


def _sentences(findings: Any) -> list[str]:
    return [finding.sentence for finding in findings]


@pytest.mark.parametrize(
    ("missing", "iam", "words"),
    [
        (AclOperation.WRITE, True, ["publishes to it are refused", "kafka-cluster:WriteData on the topic visits"]),
        (AclOperation.READ, True, ["cannot be read", "kafka-cluster:ReadData on the topic visits"]),
        (AclOperation.DESCRIBE, True, ["kafka-cluster:DescribeTopic on the topic visits"]),
        (AclOperation.WRITE, False, ["WRITE on the topic visits by an ACL"]),
        (AclOperation.READ, False, ["READ on the topic visits by an ACL"]),
    ],
)
def test_a_missing_permission_on_a_topic_is_named_as_whoever_grants_it_calls_it(
    missing: AclOperation, iam: bool, words: list[str]
) -> None:
    [sentence] = _sentences(topic_findings("visits", _ALL - {missing}, iam=iam))
    assert all(word in sentence for word in words)
    assert topic_findings("visits", _ALL, iam=iam) == []
    assert topic_findings("visits", None, iam=iam) == []


def test_who_may_not_write_idempotently_is_told_what_to_grant() -> None:
    some = frozenset({AclOperation.DESCRIBE})
    [sentence] = _sentences(cluster_findings(some, writes=True, iam=True))
    assert "kafka-cluster:WriteDataIdempotently on the cluster" in sentence
    [sentence] = _sentences(cluster_findings(None, writes=True, iam=True))
    assert "kafka-cluster:DescribeCluster on the cluster" in sentence
    [sentence] = _sentences(cluster_findings(some, writes=False, iam=False))
    assert "IDEMPOTENT_WRITE on the cluster by an ACL" in sentence
    assert cluster_findings(some, writes=True, iam=False) == [], (
        "whoever may write a topic may do so idempotently (KIP-679)"
    )
    assert cluster_findings(None, writes=False, iam=False) == []
    assert cluster_findings(_ALL, writes=False, iam=True) == []
    assert "kafka-cluster:DescribeTopicDynamicConfiguration" in configs_finding(["visits"], iam=True).sentence


@given(
    st.integers(1, 5), st.none() | st.integers(1, 5), st.none() | st.booleans(), st.integers(1, 5), st.integers(1, 5)
)
def test_a_topic_is_weak_exactly_where_one_of_three_things_is_wrong(
    replicas: int, in_sync: int | None, unclean: bool | None, wants: int, wants_in_sync: int
) -> None:
    found = weaknesses(Setup(replicas, in_sync, unclean), Required(wants, wants_in_sync))
    few = in_sync is not None and in_sync < wants_in_sync
    assert len(found) == (replicas < wants) + few + bool(unclean)


class Everywhere:
    """Kafka, as far as anybody knows."""

    def __init__(self, up: bool = True) -> None:
        self.up = up
        self.asked = 0

    def status(self) -> ProducerStatus:
        self.asked += 1
        return ProducerStatus(self.up, 0, 0, 0.0, 0)


@asynccontextmanager
async def checking(
    bootstrap: str,
    topics: list[str],
    internal: tuple[str, ...] = (),
    kafka: Everywhere | None = None,
    **settings: Any,
) -> AsyncIterator[Checks]:
    """Checks that run until the end of the block."""
    chosen = {"probe_seconds": 0.1, "check_seconds": 1.0, "metadata_timeout_seconds": 20.0, **settings}
    found = KafkaSettings(bootstrap_servers=bootstrap, **chosen)
    administration = Administration(found)
    await administration.start()
    checks = Checks(found, administration, kafka or Everywhere(), topics, internal)
    checks.start()
    try:
        yield checks
    finally:
        await checks.close()
        await administration.close()


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "eventbus_gateway.kafka.checks"]


def _alter(broker: Broker, topic: str, **config: str) -> None:
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    broker.admin.incremental_alter_configs([resource])[resource].result(30)


async def _publish(sink: RecordSink, topic: str) -> None:
    [outcome] = await sink.send(topic, _RECORD)
    assert isinstance(outcome, Stored)


_SOUND = {"required_replicas": 1, "required_insync_replicas": 1}


def test_a_weak_topic_is_told_once_and_refused_until_it_is_mended(
    broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    weak, sound = topic(unclean_leader_election_enable="true"), topic()
    internal = topic(unclean_leader_election_enable="true")
    caplog.set_level(logging.INFO)

    async def run() -> None:
        settings: dict[str, Any] = {**_SOUND, "durability_checks": "refuse"}
        async with (
            producing(broker.bootstrap) as producer,
            checking(broker.bootstrap, [weak, sound], (internal,), **settings) as checks,
        ):
            sink = checks.guard(producer)
            await until(lambda: checks.refused == {weak}, "the weak topic to be refused")
            with pytest.raises(TopicUnavailable):
                sink.send(weak, _RECORD)
            await _publish(sink, sound)
            await _publish(sink, internal)
            _alter(broker, weak, unclean_leader_election_enable="false")
            await until(lambda: not checks.refused, "the topic to be taken again")
            await _publish(sink, weak)

    asyncio.run(run())
    told = _told(caplog)
    assert len([line for line in told if f"the topic {weak} can lose acknowledged events" in line]) == 1
    assert len([line for line in told if f"the topic {internal} can lose acknowledged events" in line]) == 1
    assert not [line for line in told if sound in line]
    assert "unclean.leader.election.enable=false" in " ".join(told)
    assert "1 of the faults told before are mended" in told


@pytest.mark.parametrize(("mode", "lines"), [("warn", 2), ("off", 0)])
def test_where_nobody_asks_for_refusals_nothing_is_refused(
    mode: str, lines: int, broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    weak, gone = topic(), f"gone-{next(_numbers)}"

    async def run() -> None:
        async with (
            producing(broker.bootstrap) as producer,
            checking(broker.bootstrap, [weak, gone], durability_checks=mode) as checks,
        ):
            await until(lambda: f"the topic {gone} does not exist" in _told(caplog), "the look")
            assert checks.guard(producer) is producer
            assert not checks.refused

    asyncio.run(run())
    found = [line for line in _told(caplog) if f"the topic {weak} can lose" in line]
    assert len(found) == lines
    if lines:
        assert "1 of 3 replicas" in found[0]
        assert "min.insync.replicas=2" in found[1]


def test_a_gateway_that_is_told_to_refuse_answers_503_for_a_weak_topic_and_publishes_to_others(
    broker: Broker, topic: TopicFactory
) -> None:
    weak, other = topic(unclean_leader_election_enable="true"), topic()
    kafka = {**_SOUND, "durability_checks": "refuse", "check_seconds": 1}
    with GatewayProcess(broker.bootstrap, kafka=kafka, topics={weak: {}, other: {}}) as gateway:
        gateway.until(lambda: gateway.publish(weak, "{}").status_code == 503, "the weak topic to be refused")
        answer = gateway.publish(weak, "{}")
        assert answer.json()["code"] == "topic_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert gateway.publish(other, "{}").status_code == 201
        assert gateway.probe("/readyz") == 200
        assert f"the topic {weak} can lose acknowledged events" in gateway.err


def test_nothing_is_asked_while_kafka_is_away_and_everything_once_it_is_there(
    broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    weak, kafka = topic(), Everywhere(up=False)

    async def run() -> None:
        async with checking(broker.bootstrap, [weak], kafka=kafka):
            await until(lambda: kafka.asked >= 5, "the checks to look whether Kafka is there")
            assert _told(caplog) == []
            kafka.up = True
            await until(lambda: len(_told(caplog)) == 2, "the look")

    asyncio.run(run())


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:gateway",
    }
    with secure_broker(tmp_path_factory.mktemp("certificates"), config) as one:
        yield one


def _limited(secured: SecureBroker) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "limited",
        "sasl_password": PASSWORD,
        "ca_file": str(secured.certificates.ca),
    }


def _allow(
    secured: SecureBroker,
    topic: str,
    *operations: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> None:
    kind, allow = ResourceType.TOPIC, AclPermissionType.ALLOW
    bindings = [AclBinding(kind, topic, pattern, "User:limited", "*", each, allow) for each in operations]
    for answer in secured.broker.admin.create_acls(bindings).values():
        answer.result(30)


@pytest.mark.broker
def test_a_user_of_limited_rights_is_told_each_of_them_that_is_missing(
    secured: SecureBroker, caplog: pytest.LogCaptureFixture
) -> None:
    names = {name: f"{name}-{next(_numbers)}" for name in ("hidden", "readable", "writable", "whole")}
    for name in names.values():
        secured.broker.create_topic(name)
    _allow(secured, names["readable"], AclOperation.READ)
    _allow(secured, names["writable"], AclOperation.WRITE)
    _allow(secured, names["whole"], AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
    settings = {**_limited(secured), **_SOUND}

    async def run() -> None:
        async with checking(secured.sasl, [*names.values()], **settings):
            await until(lambda: len(_told(caplog)) >= 4, "the look")

    asyncio.run(run())
    told = _told(caplog)
    assert len(told) == 4
    expected = [("hidden", "DESCRIBE"), ("readable", "WRITE"), ("writable", "READ")]
    for name, operation in expected:
        assert [line for line in told if f"{operation} on the topic {names[name]} by an ACL" in line], told
    assert [line for line in told if "DESCRIBE_CONFIGS" in line]
    assert not [line for line in told if names["whole"] in line]


@pytest.mark.broker
def test_who_may_not_use_the_groups_of_subscriptions_is_told_what_to_grant(secured: SecureBroker) -> None:
    operations = (AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE)
    _allow(secured, "_limited", *operations, pattern=ResourcePatternType.PREFIXED)
    subscriptions = {"enabled": True, "internal_topic_prefix": "_limited", "slots": 1, "peer_secret": "p" * 32}
    with GatewayProcess(secured.sasl, kafka=_limited(secured), subscriptions=subscriptions) as gateway:
        gateway.until(lambda: "grant it READ and DESCRIBE on its groups" in gateway.err, "the reason")
        assert "kafka-cluster:AlterGroup" in gateway.err
        assert PASSWORD not in gateway.err + gateway.out
