"""The topics that the gateway itself needs: what they must be like, whether they are, and how they come to be."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from eventbus_gateway.errors import GatewayError, KafkaUnavailable
from eventbus_gateway.kafka.admin_session import Answer, Answers
from eventbus_gateway.kafka.administration import Administration

_logger = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0

_NO_CONFIG: Mapping[str, str] = MappingProxyType({})
_POLICY = "cleanup.policy"
_BROKER_DEFAULT = -1
"""As replication factor of a new topic (KIP-464)."""
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)

COMPACTED: Mapping[str, str] = MappingProxyType(
    {
        _POLICY: "compact",
        # Small segments that end daily, so that compaction gets at them and a start reads little.
        "segment.bytes": "16777216",
        "segment.ms": "86400000",
        # Whoever follows the topic is never that late (see Pace.stale_seconds).
        "min.compaction.lag.ms": "7200000",
        "delete.retention.ms": "172800000",
    }
)


class WantedTopic(NamedTuple):
    """What a topic must be like.

    Args:
        name: its name.
        partitions: exactly so many.
        replication_factor: for creating it; None takes the brokers' default.
        config: for creating it; of an existing one only ``cleanup.policy`` is compared.
    """

    name: str
    partitions: int
    replication_factor: int | None = None
    config: Mapping[str, str] = _NO_CONFIG


class PresentTopic(NamedTuple):
    """What an existing topic is like.

    Args:
        partitions: how many it has.
        cleanup_policy: its policy, None where we may not see it.
    """

    partitions: int
    cleanup_policy: str | None


class Finding(NamedTuple):
    """Why a topic cannot be used as it is.

    Args:
        topic: its name.
        sentence: what is wrong, for people.
        missing: whether it is not there, or not to be seen.
    """

    topic: str
    sentence: str
    missing: bool


async def until_usable(
    check: Callable[[Sequence[WantedTopic]], Awaitable[Sequence[Finding]]], wanted: Sequence[WantedTopic], waits: str
) -> None:
    """Look at topics until nothing is wrong with them; whoever uses them waits for them anyway.

    Args:
        check: looks once.
        wanted: the topics.
        waits: who waits for them, as the beginning of a sentence in the log.
    """
    told = ""
    while True:
        try:
            findings = await check(wanted)
        except GatewayError as error:
            sentence = error.detail
        else:
            if not findings:
                return
            sentence = " ".join(finding.sentence for finding in findings)
        if sentence != told:
            _logger.warning("%s for their topics: %s", waits, sentence)
            told = sentence
        await asyncio.sleep(_RETRY_SECONDS)


def compared(wanted: WantedTopic, present: PresentTopic | None) -> Finding | None:
    """What is wrong with a topic, None where nothing is."""
    name = wanted.name
    if present is None:
        return Finding(name, f"The topic {name} does not exist, or the gateway may not see it.", True)
    if present.partitions != wanted.partitions:
        sentence = f"The topic {name} has {present.partitions} partitions and must have {wanted.partitions}."
        return Finding(name, sentence, False)
    policy = wanted.config.get(_POLICY)
    if policy is not None and present.cleanup_policy not in {None, policy}:
        sentence = f"The topic {name} has {_POLICY} {present.cleanup_policy} and must have {policy}."
        return Finding(name, sentence, False)
    return None


def create_commands(wanted: Iterable[WantedTopic], bootstrap_servers: str) -> list[str]:
    """The commands with which an administrator creates topics, one a line."""
    return [_create_command(topic, bootstrap_servers) for topic in wanted]


def _create_command(topic: WantedTopic, bootstrap_servers: str) -> str:
    parts = [
        f"kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --if-not-exists",
        f"--topic {topic.name} --partitions {topic.partitions}",
    ]
    if topic.replication_factor is not None:
        parts.append(f"--replication-factor {topic.replication_factor}")
    parts += [f"--config {name}={value}" for name, value in topic.config.items()]
    return " ".join(parts)


class InternalTopics:
    """Looks at topics and creates them where we may.

    Args:
        administration: the client.
        seconds: how long each request may take.
    """

    def __init__(self, administration: Administration, seconds: float) -> None:
        self._administration = administration
        self._seconds = seconds

    async def examine(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """What is wrong with topics, in the order given; nothing where all can be used.

        Raises:
            KafkaUnavailable: Kafka did not answer in time.
        """
        present = await self._present([topic.name for topic in wanted])
        findings = (compared(topic, present.get(topic.name)) for topic in wanted)
        return [finding for finding in findings if finding is not None]

    async def ensure(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """Create those topics that are missing, and say what is still wrong.

        Raises:
            KafkaUnavailable: Kafka did not answer in time.
        """
        findings = {finding.topic: finding for finding in await self.examine(wanted)}
        missing = [topic for topic in wanted if topic.name in findings and findings[topic.name].missing]
        for name, error in (await self._create(missing)).items():
            if error is None:
                del findings[name]
            else:
                findings[name] = Finding(name, f"{findings[name].sentence} {_why_not_created(error)}", True)
        return list(findings.values())

    async def _create(self, topics: Sequence[WantedTopic]) -> dict[str, KafkaError | None]:
        if not topics:
            return {}
        new = [_new_topic(topic) for topic in topics]

        def begin(admin: AdminClient, seconds: float) -> Mapping[str, Answer[None]]:
            return admin.create_topics(new, operation_timeout=seconds, request_timeout=seconds)

        answers = await self._administration.call(begin, self._seconds)
        return {name: _failure(answer, {KafkaError.TOPIC_ALREADY_EXISTS}) for name, answer in answers.items()}

    async def _present(self, names: Sequence[str]) -> dict[str, PresentTopic]:
        if not names:
            return {}

        def describe(admin: AdminClient, seconds: float) -> Mapping[str, Answer[TopicDescription]]:
            return admin.describe_topics(TopicCollection([*names]), request_timeout=seconds)

        described = await self._administration.call(describe, self._seconds)
        partitions = {}
        for name, answer in described.items():
            if isinstance(answer, KafkaException):
                _failure(answer, _DENIED)
            else:
                partitions[name] = len(answer.partitions)
        policies = await self._policies([*partitions])
        return {name: PresentTopic(number, policies.get(name)) for name, number in partitions.items()}

    async def _policies(self, names: Sequence[str]) -> dict[str, str]:
        """Cleanup policies, as far as we may see them: not being allowed to is no reason to stop."""
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]

        def describe(admin: AdminClient, seconds: float) -> Mapping[ConfigResource, Answer[dict[str, ConfigEntry]]]:
            return admin.describe_configs(resources, request_timeout=seconds)

        answers: Answers[ConfigResource, dict[str, ConfigEntry]] = await self._administration.call(
            describe, self._seconds
        )
        found = {
            resource.name: answer[_POLICY].value
            for resource, answer in answers.items()
            if not isinstance(answer, KafkaException) and _POLICY in answer
        }
        return {name: policy for name, policy in found.items() if policy is not None}


def _new_topic(topic: WantedTopic) -> NewTopic:
    factor = _BROKER_DEFAULT if topic.replication_factor is None else topic.replication_factor
    return NewTopic(topic.name, topic.partitions, factor, config=dict(topic.config))


def _failure(answer: object, harmless: Iterable[int]) -> KafkaError | None:
    """The error in an answer, None where there is none that matters.

    Raises:
        GatewayError: Kafka cannot be reached.
    """
    if not isinstance(answer, KafkaException):
        return None
    error: KafkaError = answer.args[0]
    if error.code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT}:
        raise _unavailable()
    return None if error.code() in harmless else error


def _unavailable() -> GatewayError:
    return KafkaUnavailable("Kafka did not say in time which topics there are", retry_after=1.0)


def _why_not_created(error: KafkaError) -> str:
    if error.code() in _DENIED:
        return "The gateway may not create it."
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        return "There are too few brokers for its replication factor."
    return f"It cannot be created: {error.name()}."
