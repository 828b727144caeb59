"""Looks, as soon as Kafka can be reached, whether the gateway may do what it must and whether topics keep events."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._cluster import DescribeClusterResult
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription

from eventbus_gateway.errors import GatewayError, KafkaUnavailable, TopicUnavailable
from eventbus_gateway.kafka.access import Finding, Operations, cluster_findings, configs_finding, topic_findings
from eventbus_gateway.kafka.admin_session import Answer
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.durability import Required, Setup, weaknesses
from eventbus_gateway.kafka.events import ProducerStatus
from eventbus_gateway.kafka.records import Outcome, Record, RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings

logger = logging.getLogger("eventbus_gateway.kafka.checks")

_CHUNK = 200
_IN_SYNC, _UNCLEAN = "min.insync.replicas", "unclean.leader.election.enable"
_NOT_THERE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})
_DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})


class Seen(NamedTuple):
    """What one look has shown.

    Args:
        findings: everything that somebody should mend.
        weak: topics that can lose acknowledged events.
    """

    findings: tuple[Finding, ...]
    weak: frozenset[str]


class Reachable(Protocol):
    """Who knows whether Kafka can be reached; ``KafkaProducer`` is one."""

    def status(self) -> ProducerStatus:
        """Whether Kafka can be reached."""
        ...


class Checks:
    """Looks again every now and then, so that what was mended counts without a restart. Never delays anything.

    Args:
        settings: what is asked of topics, and what follows where they are not so.
        administration: the client.
        kafka: says whether Kafka can be reached.
        topics: the configured ones; those that are weak may be refused.
        internal: the gateway's own, about which it is only told.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        administration: Administration,
        kafka: Reachable,
        topics: Collection[str],
        internal: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._look = _Look(settings, administration)
        self._kafka = kafka
        self._topics = [*topics]
        self._internal = frozenset(internal)
        self._task: asyncio.Task[None] | None = None
        self._told: frozenset[Finding] = frozenset()
        self.refused: frozenset[str] = frozenset()
        """Topics to which nothing may be published."""

    def start(self) -> None:
        """Begin to look, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def guard(self, sink: RecordSink) -> RecordSink:
        """The sink, which takes nothing for refused topics where the settings want that."""
        return _GuardedSink(sink, self) if self._settings.durability_checks == "refuse" else sink

    async def _run(self) -> None:
        settings = self._settings
        while True:
            seconds = settings.probe_seconds
            if self._kafka.status().up:
                try:
                    self._tell(await self._look.at([*self._topics, *self._internal], self._internal))
                    seconds = settings.check_seconds
                except GatewayError:
                    pass  # Kafka went away meanwhile
                except Exception as error:  # noqa: BLE001  the rim of the task: a look that fails harms nobody
                    logger.warning("the look at Kafka's permissions and topics failed: %s", type(error).__name__)
                    seconds = settings.check_seconds
            await asyncio.sleep(seconds)

    def _tell(self, seen: Seen) -> None:
        findings = frozenset(seen.findings)
        for finding in seen.findings:
            if finding not in self._told:
                logger.warning("%s", finding.sentence)
        if self._told - findings:
            logger.info("%d of the faults told before are mended", len(self._told - findings))
        self._told = findings
        if self._settings.durability_checks == "refuse":
            self.refused = seen.weak - self._internal


class _GuardedSink:
    """A sink that takes nothing for topics that can lose it."""

    def __init__(self, sink: RecordSink, checks: Checks) -> None:
        self._sink = sink
        self._checks = checks

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        """See ``RecordSink.send``.

        Raises:
            TopicUnavailable: the topic can lose events that it has acknowledged.
        """
        if topic in self._checks.refused:
            raise TopicUnavailable("The topic is not set up to keep what it acknowledges", retry_after=60.0)
        return self._sink.send(topic, records)


class _Look:
    """One look at permissions and topics.

    Args:
        settings: what is asked of topics.
        administration: the client.
    """

    def __init__(self, settings: KafkaSettings, administration: Administration) -> None:
        self._administration = administration
        self._seconds = settings.metadata_timeout_seconds
        self._iam = settings.sasl_mechanism == "AWS_MSK_IAM"
        self._required: Required | None = None
        if settings.durability_checks != "off":
            self._required = Required(settings.required_replicas, settings.required_insync_replicas)

    async def at(self, topics: Sequence[str], internal: Collection[str]) -> Seen:
        """Look at the cluster and at topics.

        Args:
            topics: all of them.
            internal: those of them that come to be at this very moment; others tell where they are missing.

        Raises:
            GatewayError: Kafka does not answer.
        """
        names, found = iter(topics), _Found()
        while chunk := list(islice(names, _CHUNK)):
            described = await self._described(chunk)
            for name, answer in described.items():
                self._access(name, answer, found, told_elsewhere=name in internal)
            await self._durability({n: a for n, a in described.items() if isinstance(a, TopicDescription)}, found)
        if found.unknown:
            found.findings.append(configs_finding(found.unknown, iam=self._iam))
        found.findings += cluster_findings(await self._cluster(), writes=found.writes, iam=self._iam)
        return Seen(tuple(found.findings), frozenset(found.weak))

    def _access(
        self, name: str, answer: TopicDescription | KafkaException, found: "_Found", *, told_elsewhere: bool
    ) -> None:
        if isinstance(answer, TopicDescription):
            operations = _operations(answer)
            found.findings += topic_findings(name, operations, iam=self._iam)
            found.writes = found.writes or operations is None or AclOperation.WRITE in operations
            return
        code = answer.args[0].code()
        if code in _DENIED:
            found.findings += topic_findings(name, frozenset(), iam=self._iam)
        elif code not in _NOT_THERE:
            raise KafkaUnavailable(retry_after=1.0)
        elif not told_elsewhere:
            found.findings.append(Finding(name, f"the topic {name} does not exist"))

    async def _durability(self, present: Mapping[str, TopicDescription], found: "_Found") -> None:
        if self._required is None or not present:
            return
        for name, setup in (await self._setups(present)).items():
            if setup.in_sync is None:
                found.unknown.append(name)
            for why in weaknesses(setup, self._required):
                found.findings.append(Finding(name, f"the topic {name} can lose acknowledged events: {why}"))
                found.weak.add(name)

    async def _described(self, names: Sequence[str]) -> Mapping[str, TopicDescription | KafkaException]:
        def describe(admin: AdminClient, seconds: float) -> Mapping[str, Answer[TopicDescription]]:
            return admin.describe_topics(
                TopicCollection([*names]), include_authorized_operations=True, request_timeout=seconds
            )

        return await self._administration.call(describe, self._seconds)

    async def _setups(self, present: Mapping[str, TopicDescription]) -> dict[str, Setup]:
        """How topics are set up, as far as we may see it."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in present]

        def describe(admin: AdminClient, seconds: float) -> Mapping[ConfigResource, Answer[dict[str, ConfigEntry]]]:
            return admin.describe_configs(resources, request_timeout=seconds)

        answers = await self._administration.call(describe, self._seconds)
        found = {}
        for resource, answer in answers.items():
            entries = _entries(answer)
            replicas = min((len(each.replicas) for each in present[resource.name].partitions), default=0)
            found[resource.name] = Setup(replicas, _number(entries.get(_IN_SYNC)), _flag(entries.get(_UNCLEAN)))
        return found

    async def _cluster(self) -> Operations | None:
        def describe(admin: AdminClient, seconds: float) -> Mapping[str, Answer[DescribeClusterResult]]:
            return {"": admin.describe_cluster(include_authorized_operations=True, request_timeout=seconds)}

        answer = (await self._administration.call(describe, self._seconds))[""]
        if isinstance(answer, KafkaException):
            raise KafkaUnavailable(retry_after=1.0)
        return _operations(answer)


@dataclass(slots=True)
class _Found:
    """What a look has found so far.

    Args:
        findings: faults.
        weak: topics that can lose acknowledged events.
        unknown: topics whose settings we may not see.
        writes: whether any topic may be written.
    """

    findings: list[Finding] = field(default_factory=list)
    weak: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    writes: bool = False


def _entries(answer: dict[str, ConfigEntry] | KafkaException) -> dict[str, ConfigEntry]:
    """The settings of a topic, none where we may not see them.

    Raises:
        KafkaUnavailable: there is no answer.
    """
    if not isinstance(answer, KafkaException):
        return answer
    if answer.args[0].code() in _DENIED:
        return {}
    raise KafkaUnavailable(retry_after=1.0)


def _operations(described: TopicDescription | DescribeClusterResult) -> Operations | None:
    told: Any = described.authorized_operations
    return None if told is None else frozenset(told)


def _number(entry: ConfigEntry | None) -> int | None:
    return int(entry.value) if entry is not None and entry.value is not None else None


def _flag(entry: ConfigEntry | None) -> bool | None:
    return entry.value == "true" if entry is not None and entry.value is not None else None
