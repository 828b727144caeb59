"""How far a subscription is, as its owner is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.pulling import PATH, Desk, receive, settle, tokens
from tests.serving import Served, served

from eventbus_gateway.errors import KafkaUnavailable, PositionsUnavailable, TopicUnreadable, UnknownTopic
from eventbus_gateway.kafka.partitions import Position
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.resource import with_redrive

NOTHING = {"ready": 0, "leased": 0, "delayed": 0, "blocked": 0, "deadLetters": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[Desk]:
    desk = Desk()
    with served(further=desk.routes):
        yield desk


@pytest.fixture
def desk(running: Desk) -> Desk:
    """A subscription without events."""
    running.reset()
    return running


@pytest.fixture
def gateway(desk: Desk) -> Served:
    """What serves it."""
    return desk.gateway


def status(gateway: Served) -> dict[str, Any]:
    """The answer."""
    answer = gateway.client.get(PATH.format("s", "status"))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document.keys() == {"name", "paused", "lag", "shards"}
    return document


def partition(document: dict[str, Any], topic: str, number: int) -> dict[str, Any]:
    """One partition's part."""
    (found,) = (
        each
        for shard in document["shards"]
        for each in shard["partitions"]
        if (each["topic"], each["partition"]) == (topic, number)
    )
    assert isinstance(found, dict)
    return found


def test_a_new_subscription_has_nothing_before_it(desk: Desk, gateway: Served) -> None:
    document = status(gateway)
    assert (document["name"], document["paused"], document["lag"]) == ("s", False, 0)
    (shard,) = document["shards"]
    assert (shard["shard"], shard["counts"]) == (0, NOTHING)
    assert "trouble" not in shard
    assert len(shard["partitions"]) == 8
    assert shard["partitions"][0] == {
        "topic": "a",
        "partition": 0,
        "position": 0,
        "watermark": 0,
        "end": 0,
        "lag": 0,
        "unacked": 0,
        "oldestUnackedAt": None,
    }


def test_the_lag_is_what_is_not_acked_of_all_that_there_is(desk: Desk, gateway: Served) -> None:
    desk.put(*range(5))
    desk.put("x", topic="b", partition=3)
    desk.ends = {("a", 0): 12, ("b", 3): 1}
    first, second, *_ = tokens(receive(gateway, maxEvents=4))
    settle(gateway, "ack", [first])
    settle(gateway, "release", [second], delaySeconds=10)
    document = status(gateway)
    assert document["lag"] == 12
    (shard,) = document["shards"]
    assert sum(shard["counts"].values()) == 5
    assert shard["counts"]["delayed"] == 1
    found = partition(document, "a", 0)
    assert (found["position"], found["watermark"], found["end"], found["lag"], found["unacked"]) == (5, 1, 12, 11, 4)
    assert found["oldestUnackedAt"] == "2026-01-01T00:00:00.001Z"
    assert partition(document, "b", 3)["lag"] == 1


def test_an_end_that_was_looked_up_before_the_last_ack_makes_no_lag_below_zero(desk: Desk, gateway: Served) -> None:
    desk.put(1)
    settle(gateway, "ack", tokens(receive(gateway)))
    desk.ends = {("a", 0): 0}
    assert status(gateway)["lag"] == 0


def test_the_endpoint_of_a_webhook_is_told_by_each_shard_that_has_one(desk: Desk, gateway: Served) -> None:
    assert "endpoint" not in status(gateway)["shards"][0]
    desk.shard.endpoint = EndpointStatus("open", 3, 12.5, 1_767_225_660_000, 503, None, 1_767_225_600_000)
    assert status(gateway)["shards"][0]["endpoint"] == {
        "state": "open",
        "inFlight": 3,
        "limit": 12.5,
        "nextProbeAt": "2026-01-01T00:01:00.000Z",
        "lastStatus": 503,
        "lastError": None,
        "lastSuccessAt": "2026-01-01T00:00:00.000Z",
    }
    desk.shard.endpoint = EndpointStatus("closed", 0, 1.0)
    told = status(gateway)["shards"][0]["endpoint"]
    assert (told["nextProbeAt"], told["lastStatus"], told["lastSuccessAt"]) == (None, None, None)


def test_a_paused_subscription_says_so(desk: Desk, gateway: Served) -> None:
    gateway.call(desk.pause)
    assert status(gateway)["paused"] is True


def test_what_was_lost_and_what_cannot_be_read_is_told(desk: Desk, gateway: Served) -> None:
    desk.shard.told["a", 1] = {"lost_from": 3, "lost_until": 9}
    desk.shard.told["a", 2] = {"trouble": "topic_unreadable"}
    document = status(gateway)
    assert partition(document, "a", 1)["lost"] == {"from": 3, "until": 9}
    assert partition(document, "a", 2)["trouble"] == "topic_unreadable"
    assert {"lost", "trouble"}.isdisjoint(partition(document, "a", 0))


def test_an_end_that_cannot_be_told_leaves_the_lag_open(desk: Desk, gateway: Served) -> None:
    desk.ends = {("a", 0): TopicUnreadable(), ("a", 1): 4}
    document = status(gateway)
    found = partition(document, "a", 0)
    assert (found["end"], found["lag"], found["trouble"]) == (None, None, "topic_unreadable")
    assert partition(document, "a", 1)["lag"] == 4
    assert document["lag"] is None


def test_without_kafka_the_shards_say_what_they_know(desk: Desk, gateway: Served) -> None:
    desk.put(1, 2)
    desk.ends_refusal = KafkaUnavailable()
    document = status(gateway)
    found = partition(document, "a", 0)
    assert (found["position"], found["unacked"], found["lag"], found["trouble"]) == (2, 2, None, "kafka_unavailable")
    assert document["lag"] is None


def test_a_shard_without_an_owner_is_where_its_group_is(desk: Desk, gateway: Served) -> None:
    desk.reset(parallelism=2)
    desk.put(1, partition=0)
    del desk.shards[1]
    desk.ends = {("a", 0): 1, ("a", 1): 30, ("b", 3): 5}
    desk.committed = {("a", 1): Position(20, "acked"), ("a", 0): Position(99)}
    document = status(gateway)
    served_shard, other = document["shards"]
    assert (served_shard["shard"], "trouble" in served_shard) == (0, False)
    assert (other["shard"], other["counts"], other["trouble"]) == (1, None, "owner_unavailable")
    assert [(each["topic"], each["partition"]) for each in other["partitions"]] == [
        ("a", 1),
        ("a", 3),
        ("b", 1),
        ("b", 3),
    ]
    assert partition(document, "a", 1) == {
        "topic": "a",
        "partition": 1,
        "position": None,
        "watermark": 20,
        "end": 30,
        "lag": 10,
        "unacked": None,
        "oldestUnackedAt": None,
    }
    assert partition(document, "b", 3)["lag"] == 5
    assert document["lag"] == 1 + 10 + 5
    assert desk.groups == [desk.subscription.group("eventbus")]


@pytest.mark.parametrize("where", ["committed", "one", "partitions"])
def test_a_shard_of_which_nobody_knows_anything_leaves_the_lag_open(desk: Desk, gateway: Served, where: str) -> None:
    del desk.shards[0]
    if where == "committed":
        desk.committed_refusal = KafkaUnavailable()
    elif where == "one":
        desk.committed = {("b", 2): PositionsUnavailable()}
    else:
        desk.partitions["b"] = KafkaUnavailable()
    document = status(gateway)
    assert document["lag"] is None
    assert document["shards"] == [{"shard": 0, "counts": None, "partitions": [], "trouble": "owner_unavailable"}]


def test_a_topic_that_is_gone_is_left_out_where_nobody_serves_the_shard(desk: Desk, gateway: Served) -> None:
    del desk.shards[0]
    desk.partitions["b"] = UnknownTopic()
    document = status(gateway)
    assert [each["topic"] for each in document["shards"][0]["partitions"]] == ["a"] * 4
    assert document["lag"] == 0


def test_dead_letters_lag_as_far_as_they_are_asked_back(desk: Desk, gateway: Served) -> None:
    letters = desk.subscription.dead_letter_topic
    desk.subscription = with_redrive(desk.subscription, {0: 7}, 0)
    shard = desk.shard

    def with_letters() -> None:
        shard.supply.windows.add(letters, 0, 3, "")

    gateway.call(with_letters)
    document = status(gateway)
    found = partition(document, letters, 0)
    assert (found["watermark"], found["end"], found["lag"]) == (3, 7, 4)
    assert document["lag"] == 4
