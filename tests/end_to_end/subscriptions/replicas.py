"""Several gateway processes that serve subscriptions together, and what Kafka knows of them."""

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from tests.broker import Broker
from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.kafka.support import read_log
from tests.leaks import marked

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.entries import decode as entry_of
from eventbus_gateway.kafka.view import View
from eventbus_gateway.subscriptions.commit_metadata import decode
from eventbus_gateway.subscriptions.names import slot_of

SLOTS = 3
"""As few as there are processes: three of them have one slot each, and a subscription of three shards is in all."""
SESSION = 4.0
"""Seconds after which the others take over from a process that is gone or hangs."""
COMMIT_INTERVAL = 0.2

KEYS = {"care": "ebk_test_key-of-the-care-team", "billing": "ebk_test_key-of-the-billing-team"}
"""API keys by principal; ``care`` may do everything, ``billing`` only what topics that begin so allow."""

_AUTH = {
    "mode": "api_keys",
    "api_keys": [
        {"principal": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in KEYS.items()
    ],
    "grants": [
        {"principal": "care", "actions": ["publish", "read"], "topics": ["*"]},
        {"principal": "billing", "actions": ["publish", "read"], "topics": ["billing*"]},
    ],
}
_PEER_SECRET = marked("tests-prove-to-each-other-that-they-belong-together", "the peer secret")
for _key in KEYS.values():
    marked(_key, "an API key")


class Done(NamedTuple):
    """What a group says is done of a partition.

    Args:
        below: all offsets below it.
        runs: further ones, from the first up to the second.
    """

    below: int
    runs: Collection[tuple[int, int]]

    def has(self, offset: int) -> bool:
        return offset < self.below or any(start <= offset < end for start, end in self.runs)


class Replicas:
    """Gateway processes with internal topics of their own; killed at the end of the block.

    Args:
        broker: where they meet.
        count: how many there are at first.
        session: after so many seconds of silence a process loses what it serves.
        tables: tables of the configuration that say more than the defaults.
    """

    def __init__(
        self, broker: Broker, count: int = 3, *, session: float = SESSION, **tables: Mapping[str, Any]
    ) -> None:
        mark = uuid4().hex[:8]
        self.broker = broker
        self.prefix = f"_test-{mark}"
        subscriptions = {
            "enabled": True,
            "internal_topic_prefix": self.prefix,
            "group_prefix": f"test-{mark}",
            "slots": SLOTS,
            "session_timeout_seconds": session,
            "commit_interval_seconds": COMMIT_INTERVAL,
            "peer_secret": _PEER_SECRET,
            "peer_timeout_seconds": 2,
            **tables.get("subscriptions", {}),
        }
        self._tables: dict[str, Mapping[str, Any]] = {
            "auth": _AUTH,
            "http": {"access_log": False},
            "kafka": {"unknown_topic_recheck_seconds": 0.1},
            **tables,
            "subscriptions": subscriptions,
        }
        self._stack = ExitStack()
        self.members: list[GatewayProcess] = []
        with self._stack:
            self.add(count)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def running(self) -> list[GatewayProcess]:
        """Those that were not ended."""
        return [member for member in self.members if member.running]

    def add(self, count: int = 1) -> list[GatewayProcess]:
        """Start further processes and wait until all that run share the slots."""
        fresh = [self.start() for _ in range(count)]
        for member in fresh:
            member.wait_ready()
        self.wait_shared()
        return fresh

    def start(self) -> GatewayProcess:
        """Start a further process and wait for nothing."""
        bootstrap = self.broker.bootstrap
        fresh = GatewayProcess(bootstrap, None, environ=None, wait=False, arguments=(), **self._tables)
        self.members.append(self._stack.enter_context(fresh))
        return fresh

    def restore(self, count: int) -> None:
        """Have so many processes run, whatever a test did to them."""
        for member in self.running[count:]:
            member.sigterm()
            member.ended()
        self.members = self.running
        missing = count - len(self.members)
        if missing > 0:
            self.add(missing)
        else:
            self.wait_shared()

    def end_all(self) -> None:
        """SIGTERM for all, and wait until they have ended well."""
        ended = self.running
        for member in ended:
            member.sigterm()
        assert [member.ended() for member in ended] == [0] * len(ended)

    def wait_shared(self, *members: GatewayProcess) -> None:
        """Wait until processes share the slots evenly; all that run, when none are named."""
        wanted = {_address(member): member for member in members or self.running}
        first = next(iter(wanted.values()))

        def shared() -> bool:
            owned = list(self.owners().values())
            counts = [owned.count(address) for address in wanted]
            return sum(counts) == SLOTS and max(counts) - min(counts) <= 1

        first.until(shared, f"{len(wanted)} processes to share the slots")

    def owners(self) -> dict[int, str]:
        """The address of each slot's owner, as the processes tell each other."""
        topic, view = f"{self.prefix}.owners", View()
        for record in read_log(self.broker.bootstrap, topic):
            written = entry_of(Consumed.of(topic, *record[:5], Headers.of(record.headers)))
            if written is not None:
                view.apply(written)
        return {int(entry.key): json.loads(entry.value)["address"] for entry in view.entries()}

    def owner(self, subscription_id: str, shard: int = 0) -> GatewayProcess:
        """The process that serves a shard."""
        address = self.owners()[slot_of(subscription_id, shard, SLOTS)]
        return next(member for member in self.members if _address(member) == address)

    def shards_of(self, member: GatewayProcess, subscription_id: str, parallelism: int) -> set[int]:
        """The shards of a subscription that a process serves."""
        owners, address = self.owners(), _address(member)
        return {shard for shard in range(parallelism) if owners[slot_of(subscription_id, shard, SLOTS)] == address}

    def done(self, group: str, topic: str) -> dict[int, Done]:
        """What is committed of each partition of a topic."""
        config: dict[str, Any] = {"bootstrap.servers": self.broker.bootstrap, "group.id": group, "log_level": 0}
        consumer = Consumer(config)
        try:
            partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
            places = consumer.committed([TopicPartition(topic, number) for number in partitions], PATIENCE)
        finally:
            consumer.close()
        return {place.partition: Done(max(place.offset, 0), decode(place.offset, place.metadata)) for place in places}


def _address(member: GatewayProcess) -> str:
    return f"127.0.0.1:{member.internal_port}"
