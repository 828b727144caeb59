"""``GET /v1/subscriptions/{name}/status``: how far a subscription is."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import orjson

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.leasing import FindOwn, Shards
from eventbus_gateway.errors import GatewayError, KafkaUnavailable, UnknownTopic
from eventbus_gateway.kafka.partitions import Ends, Partition, Position
from eventbus_gateway.subscriptions.calls import PartitionStatus, ShardStatus
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.names import shard_of
from eventbus_gateway.subscriptions.resource import Subscription

LookUpEnds = Callable[[Collection[Partition]], Awaitable[Mapping[Partition, Ends | GatewayError]]]
LookUpCommitted = Callable[[str, Collection[Partition]], Awaitable[Mapping[Partition, Position | GatewayError]]]
CountPartitions = Callable[[str], Awaitable[int]]

Document = dict[str, Any]

_UNKNOWN = KafkaUnavailable()


class Status:
    """Says how far subscriptions are: what their shards know, joined with where the topics end.

    Args:
        own: finds the caller's subscription.
        shards: the shards, wherever they are.
        ends: looks up where partitions end; see ``Positions.ends``.
        committed: looks up what groups have committed; see ``Positions.committed``.
        partitions_of: how many partitions a topic has.
        group_prefix: name of all consumer groups before the first dot.
    """

    def __init__(
        self,
        own: FindOwn,
        shards: Shards,
        ends: LookUpEnds,
        committed: LookUpCommitted,
        partitions_of: CountPartitions,
        group_prefix: str,
    ) -> None:
        self._own = own
        self._shards = shards
        self._ends = ends
        self._committed = committed
        self._partitions_of = partitions_of
        self._group_prefix = group_prefix

    async def __call__(self, request: Request) -> Answer:
        """The answer to the question for a subscription's status.

        Raises:
            GatewayError: see ``FindOwn``. What cannot be found out otherwise is told in the answer.
        """
        subscription = await self._own(request)
        statuses = await self._shards.status(subscription)
        unserved = [number for number, status in enumerate(statuses) if isinstance(status, GatewayError)]
        without = await self._without_owner(subscription, unserved) if unserved else {}
        shards: list[Document] = []
        for number, status in enumerate(statuses):
            if isinstance(status, GatewayError):
                shards.append(_unserved(number, status, without.get(number)))
            else:
                shards.append(_served(number, status))
        is_complete = await self._measure(subscription, [each for shard in shards for each in shard["partitions"]])
        is_complete = is_complete and all(number in without for number in unserved)
        lags = [each["lag"] for shard in shards for each in shard["partitions"]]
        document = {
            "name": subscription.name,
            "paused": subscription.control.paused,
            "lag": sum(lags) if is_complete else None,
            "shards": shards,
        }
        return Answer(200, orjson.dumps(document))

    async def _without_owner(self, subscription: Subscription, shards: Collection[int]) -> dict[int, list[Document]]:
        """The partitions of shards as Kafka alone knows them; empty where it cannot be asked either."""
        found: dict[int, list[Document]] = {number: [] for number in shards}
        places: list[Partition] = []
        try:
            for topic in subscription.spec.topics:
                places += [(topic, partition) for partition in range(await self._count(topic))]
            parallelism = subscription.spec.parallelism
            places = [place for place in places if shard_of(place[1], parallelism) in found]
            committed = await self._committed(subscription.group(self._group_prefix), places)
        except GatewayError:
            return {}
        for place in places:
            position = committed.get(
                place, Position(0)
            )  # without a commit it appeared later: all of it is to be read
            if isinstance(position, GatewayError):
                return {}
            found[shard_of(place[1], parallelism)].append(_known(place, position.offset))
        return found

    async def _count(self, topic: str) -> int:
        try:
            return await self._partitions_of(topic)
        except UnknownTopic:
            return 0

    async def _measure(self, subscription: Subscription, partitions: Iterable[Document]) -> bool:
        """Fill in where partitions end, and say whether that is known of all."""
        by_place = {(each["topic"], each["partition"]): each for each in partitions}
        redrive = subscription.control.redrive
        letters = subscription.dead_letter_topic
        ends: dict[Partition, int | GatewayError] = {}
        if redrive is not None:
            ends = {(letters, int(partition)): until for partition, until in redrive.until.items()}
        asked = [place for place in by_place if place not in ends]
        try:
            found = await self._ends(asked) if asked else {}
            ends |= {place: end if isinstance(end, GatewayError) else end.high for place, end in found.items()}
        except GatewayError as error:
            ends |= dict.fromkeys(asked, error)
        for place, each in by_place.items():
            end = ends.get(place, _UNKNOWN)
            if isinstance(end, GatewayError):
                each.setdefault("trouble", end.code)
            else:
                each["end"], each["lag"] = end, max(0, end - each["watermark"])
        return all(each["lag"] is not None for each in by_place.values())


def _served(number: int, status: ShardStatus) -> Document:
    ready, leased, delayed, blocked, dead_letters = status.counts
    counts = {
        "ready": ready,
        "leased": leased,
        "delayed": delayed,
        "blocked": blocked,
        "deadLetters": dead_letters,
    }
    partitions = [_partition(each) for each in status.partitions]
    document: Document = {"shard": number, "counts": counts, "partitions": partitions}
    if status.trouble is not None:
        document["trouble"] = status.trouble
    if status.endpoint is not None:
        document["endpoint"] = _endpoint(status.endpoint)
    return document


def _endpoint(endpoint: EndpointStatus) -> Document:
    opens_at, succeeded_at = endpoint.opens_at, endpoint.last_success_at
    return {
        "state": endpoint.state,
        "inFlight": endpoint.in_flight,
        "limit": endpoint.limit,
        "nextProbeAt": None if opens_at is None else timestamp(opens_at),
        "lastStatus": endpoint.last_status,
        "lastError": endpoint.last_failure,
        "lastSuccessAt": None if succeeded_at is None else timestamp(succeeded_at),
    }


def _unserved(number: int, error: GatewayError, partitions: list[Document] | None) -> Document:
    return {"shard": number, "counts": None, "partitions": partitions or [], "trouble": error.code}


def _partition(status: PartitionStatus) -> Document:
    document = _known((status.topic, status.partition), status.watermark)
    document["position"] = status.position
    document["unacked"] = status.unacked
    if status.oldest_timestamp is not None:
        document["oldestUnackedAt"] = timestamp(status.oldest_timestamp)
    if status.lost_from is not None:
        document["lost"] = {"from": status.lost_from, "until": status.lost_until}
    if status.trouble is not None:
        document["trouble"] = status.trouble
    return document


def _known(place: Partition, watermark: int) -> Document:
    """A partition of which only the watermark is known."""
    topic, partition = place
    return {
        "topic": topic,
        "partition": partition,
        "position": None,
        "watermark": watermark,
        "end": None,
        "lag": None,
        "unacked": None,
        "oldestUnackedAt": None,
    }
