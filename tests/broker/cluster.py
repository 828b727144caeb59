"""Several real brokers that replicate to each other."""

import atexit
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import PartitionMetadata
from confluent_kafka.cimpl import NewTopic
from tests.broker.process import READY_SECONDS, Broker, admin_client, create_topic, new_node

_SETTINGS = {
    # A dead broker is taken out of the replica sets after this time; the default of 9 s would only make tests longer.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "replica.lag.time.max.ms": "5000",
}


class BrokerCluster:
    """Brokers that are controllers as well, so that any minority of them may die at once.

    Topics are replicated to all of them, and a write needs a majority (``min.insync.replicas``).

    Args:
        size: number of brokers, odd.
        config: broker properties that replace the defaults, for all of them.
        jvm: further JVM options.
    """

    def __init__(self, size: int = 3, config: Mapping[str, str] | None = None, *, jvm: Sequence[str] = ()) -> None:
        nodes = [new_node(number) for number in range(size)]
        self.brokers: list[Broker] = []
        self._admin: AdminClient | None = None
        atexit.register(self.close)
        try:
            for node in nodes:
                merged = {**_SETTINGS, **(config or {})}
                self.brokers.append(Broker(merged, node=node, voters=nodes, jvm=jvm, wait=False))
            self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """All brokers, so that any of them may be away when a client starts."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def admin(self) -> AdminClient:
        """An admin client of the whole cluster, kept until ``close()``."""
        if self._admin is None:
            self._admin = admin_client(self.bootstrap)
        return self._admin

    def create_topic(self, name: str, partitions: int = 1, *, config: Mapping[str, str] | None = None) -> None:
        """Create a topic with a replica on every broker and wait until every partition has a leader."""
        create_topic(self.admin, NewTopic(name, partitions, len(self.brokers), config=dict(config or {})))

    def leader(self, topic: str, partition: int = 0) -> Broker:
        """The broker that leads a partition now."""
        found = self._until(topic, lambda partitions: partitions[partition].leader >= 0)[partition].leader
        return next(broker for broker in self.brokers if broker.node.id == found)

    def wait_moved(self, topic: str, former: Broker) -> None:
        """Block until every partition of the topic has a leader, and another one than this."""
        self._until(topic, lambda partitions: all(p.leader not in {former.node.id, -1} for p in partitions.values()))

    def wait_ready(self) -> None:
        """Block until every running broker answers."""
        for broker in self.brokers:
            if broker.running:
                broker.wait_ready()

    def wait_in_sync(self, topic: str) -> None:
        """Block until every replica of the topic has caught up."""
        size = len(self.brokers)
        self._until(topic, lambda partitions: all(len(p.isrs) == size and p.leader >= 0 for p in partitions.values()))

    def _until(self, topic: str, condition: Callable[[Mapping[int, PartitionMetadata]], bool]) -> dict[int, Any]:
        """Read a topic's partitions until they are as they should be.

        Raises:
            RuntimeError: they are not in time.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            # The broker that is asked may be the one that hangs.
            with contextlib.suppress(KafkaException):
                partitions = self.admin.list_topics(topic=topic, timeout=5).topics[topic].partitions
                if partitions and condition(partitions):
                    return dict(partitions)
        raise RuntimeError("the partitions do not get where they should be")

    def close(self) -> None:
        """Kill all brokers and remove their data; safe to call again."""
        for broker in self.brokers:
            broker.close()
        self._admin = None
        atexit.unregister(self.close)
