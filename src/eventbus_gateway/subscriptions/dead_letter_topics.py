"""The topics for dead letters, one for each subscription."""

from collections.abc import Sequence
from typing import Protocol

from eventbus_gateway.errors import TopicUnavailable
from eventbus_gateway.kafka.internal_topics import Finding, WantedTopic
from eventbus_gateway.subscriptions.needed_topics import dead_letter_topic
from eventbus_gateway.subscriptions.settings import SubscriptionSettings

_RETRY_SECONDS = 10.0


class TopicKeeper(Protocol):
    """Looks at topics and creates them; ``InternalTopics`` is one."""

    async def examine(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """What is wrong with topics."""
        ...

    async def ensure(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """Create those that are missing, and say what is still wrong."""
        ...


class DeadLetterTopics:
    """Sees to it that dead letters have somewhere to go.

    Args:
        topics: looks at topics and creates them.
        settings: whether the gateway creates them, and what they are like.
    """

    def __init__(self, topics: TopicKeeper, settings: SubscriptionSettings) -> None:
        self._topics = topics
        self._settings = settings

    async def ensure(self, name: str) -> bool:
        """Make sure that there is such a topic; says whether it was there already.

        Args:
            name: name of the topic.

        Raises:
            TopicUnavailable: it is missing and cannot be created, or it is not as it must be.
            KafkaUnavailable: nobody can tell.
        """
        wanted = [dead_letter_topic(name, self._settings)]
        findings = await self._topics.examine(wanted)
        is_missing = any(finding.missing for finding in findings)
        if is_missing and self._settings.create_topics:
            findings = await self._topics.ensure(wanted)
        for finding in findings:
            raise TopicUnavailable(finding.sentence, retry_after=_RETRY_SECONDS)
        return not is_missing

    async def is_there(self, name: str) -> bool:
        """Whether there is such a topic.

        Raises:
            KafkaUnavailable: nobody can tell.
        """
        findings = await self._topics.examine([dead_letter_topic(name, self._settings)])
        return not any(finding.missing for finding in findings)
