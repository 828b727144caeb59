"""Topics of the embedded Kafka of ``eventbus dev``, which has no administration."""

from collections.abc import Sequence

from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.internal_topics import Finding, WantedTopic


class EmbeddedTopics:
    """The same promises as ``InternalTopics``; settings of topics mean nothing here.

    Args:
        kafka: the embedded Kafka.
    """

    def __init__(self, kafka: EmbeddedKafka) -> None:
        self._kafka = kafka
        self._created: set[str] = set()

    async def examine(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """Which topics nobody has created here."""
        missing = [topic.name for topic in wanted if topic.name not in self._created]
        return [Finding(name, f"The topic {name} does not exist.", True) for name in missing]

    async def ensure(self, wanted: Sequence[WantedTopic]) -> list[Finding]:
        """Create those that are missing.

        Raises:
            InternalError: somebody else has created one, or the cluster refuses it.
        """
        for topic in wanted:
            if topic.name not in self._created:
                self._kafka.create_topic(topic.name, topic.partitions)
                self._created.add(topic.name)
        return []
