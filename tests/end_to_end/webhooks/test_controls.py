"""What owners do with their webhooks takes effect, on every process, and loses nothing."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed
from tests.end_to_end.webhooks.manners import Arrival, Manner, Reply, always
from tests.end_to_end.webhooks.pushing import SOON, caught_up, check_complete, places_of, pushed, to
from tests.end_to_end.webhooks.receivers import Hook, Receiver
from tests.kafka.support import LoggedRecord, read_log
from tests.leaks import marked

pytestmark = pytest.mark.broker

A_SECOND = 1.0
REFUSING = always(Reply(422))
TOKEN = marked("of-no-use-outside-of-this-test-4711", "the bearer token of a webhook")


async def beside(one: Subscribed, hook: Hook, name: str) -> str:
    """Subscribe another hook to the same topic; the path of the subscription."""
    path = f"{one.path}-{name}"
    about = await one.caller.ok("PUT", path, {"topics": [one.topic], "start": "earliest", "delivery": to(hook.url)})
    hook.trust("first", about["signingSecret"])
    return path


async def until_refused(hook: Hook, number: int) -> None:
    """Wait until so many further requests came."""
    enough = len(hook.arrivals) + number
    await hook.until(lambda: len(hook.arrivals) >= enough, f"{enough} requests")


async def until_shown(one: Subscribed, **fields: Any) -> None:
    """Wait until every process shows a subscription so."""
    deadline = time.monotonic() + PATIENCE
    for gateway in one.replicas.running:
        caller = one.caller_of(gateway)
        while not fields.items() <= (await caller.ok("GET", one.path)).items():
            assert time.monotonic() < deadline, fields
            await pause()


def test_a_pause_holds_back_what_waits_to_be_tried_again_and_a_resume_goes_on_with_it(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook, other = receiver.hook(REFUSING), receiver.hook(REFUSING)
        async with pushed(pair, hook) as one:
            await beside(one, other, "other")
            ids = await one.publish(30)
            await until_refused(hook, 90)
            await until_refused(other, 90)
            await one.caller.ok("POST", f"{one.path}/pause")
            paused = time.monotonic()
            # The other one shows that meanwhile each event would have come several times.
            await until_refused(other, 10 * len(ids))
            seen = len(hook.arrivals)
            assert hook.arrivals[-1].at < paused + A_SECOND
            assert other.arrivals[-1].at > hook.arrivals[-1].at + A_SECOND

            hook.manner = always(Reply())
            await until_refused(other, 30)
            assert len(hook.arrivals) == seen
            await one.caller.ok("POST", f"{one.path}/resume")
            await hook.until_taken(len(ids))
            check_complete(hook, ids)
            await caught_up(one)
            assert sorted(hook.ids()) == sorted(ids), "each was taken once"

    asyncio.run(scenario())


def taking(number: int, then: Reply) -> Manner:
    """A receiver that takes so many events and then says another thing."""
    left = iter(range(number))
    return lambda _: then if next(left, None) is None else Reply()


async def until_left(one: Subscribed, number: int) -> None:
    """Wait until all that is not taken is with the gateway, and nothing of it under way."""
    deadline = time.monotonic() + PATIENCE
    while True:
        counts = [shard["counts"] for shard in (await one.status())["shards"]]
        if not sum(each["leased"] for each in counts) and sum(sum(each.values()) for each in counts) == number:
            return
        assert time.monotonic() < deadline, counts
        await pause()


def test_a_receiver_that_says_gone_pauses_its_subscription_which_goes_on_where_it_was_once_resumed(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook(taking(10, Reply(410)))
        async with pushed(pair, hook) as one:
            ids = await one.publish(60)
            await until_shown(one, paused=True, pauseReason="gone")
            await until_left(one, len(ids) - 10)
            assert len(hook.taken()) == 10

            hook.manner = always(Reply())
            await one.caller.ok("POST", f"{one.path}/resume")
            await until_shown(one, paused=False, pauseReason=None)
            await hook.until_taken(len(ids))
            await caught_up(one)
            check_complete(hook, ids)
            assert sorted(hook.ids()) == sorted(ids), "each was taken once"

            hook.manner = always(Reply(410))
            await one.publish(1)
            await until_shown(one, paused=True, pauseReason="gone")

    asyncio.run(scenario())


async def publish_until_signed_by(one: Subscribed, hook: Hook, names: set[str]) -> None:
    """Publish until requests are signed by exactly these secrets, whoever delivers them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, [arrival.signed_by for arrival in hook.arrivals[-5:]]
        before = len(hook.arrivals)
        await one.publish(60)
        await hook.until_taken(len(one.published))
        if all(arrival.signed_by == names for arrival in hook.arrivals[before:]):
            return


def all_bytes(records: Sequence[LoggedRecord]) -> bytes:
    """Everything that a topic says."""
    parts = [(each.key or b"", each.value or b"", *[value for _, value in each.headers]) for each in records]
    return b"\n".join(part for each in parts for part in each)


def test_while_a_secret_is_rotated_receivers_with_the_old_and_with_the_new_one_both_verify(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook()
        auth = {"type": "bearer", "token": TOKEN}
        async with pushed(pair, hook, delivery={"auth": auth}) as one:
            await publish_until_signed_by(one, hook, {"first"})
            answer = await one.caller.ok("POST", f"{one.path}/rotate-secret", {"overlapSeconds": 600})
            hook.trust("second", answer["signingSecret"])
            await publish_until_signed_by(one, hook, {"first", "second"})
            assert all("first" in arrival.signed_by for arrival in hook.arrivals), "the old one always counted"

            last = await one.caller.ok("POST", f"{one.path}/rotate-secret", {"overlapSeconds": 1})
            hook.trust("third", last["signingSecret"])
            await publish_until_signed_by(one, hook, {"third"})
            hook.check_order()
            hook.check_messages()
            assert {arrival.headers["authorization"] for arrival in hook.arrivals} == {f"Bearer {TOKEN}"}

            secrets = [one.about["signingSecret"], answer["signingSecret"], last["signingSecret"], TOKEN]
            await check_kept(one, secrets)

    asyncio.run(scenario())


async def check_kept(one: Subscribed, secrets: Sequence[str]) -> None:
    """Secrets are neither in the internal topic, nor in a log, nor shown again."""
    topic = f"{one.replicas.prefix}.subscriptions"
    stored = all_bytes(await asyncio.to_thread(read_log, one.replicas.broker.bootstrap, topic))
    assert one.id.encode() in stored
    told = [stored]
    for gateway in one.replicas.running:
        shown = [await one.caller_of(gateway).call("GET", f"{one.path}{of}") for of in ("", "/status", "/attempts")]
        assert [answer.status for answer in shown] == [200, 200, 200]
        told += [gateway.out.encode(), gateway.err.encode(), gateway.exposition().encode()]
        told += [answer.body for answer in shown]
    for secret in secrets:
        # Without the prefix of the form and the end, which base64 inside of JSON or of base64 may write otherwise.
        core = secret.removeprefix("whsec_")[:40].rstrip("=").encode()
        assert not any(core in each for each in told), "a secret can be read"


def letters(one: Subscribed) -> list[LoggedRecord]:
    """What is in the dead letter topic."""
    return read_log(one.replicas.broker.bootstrap, one.about["deadLetterTopic"])


async def given_up(one: Subscribed, hook: Hook, refused: set[str]) -> None:
    """Wait until refused events are committed as done, which may be only when they are dead letters."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, hook.counts()
        done = places_of(await asyncio.to_thread(one.replicas.done, one.group, one.topic))
        stored = {dict(each.headers)["ce_id"].decode() for each in await asyncio.to_thread(letters, one)}
        places = {arrival.event: arrival.place for arrival in list(hook.arrivals)}
        assert {event for event in refused if places.get(event) in done} <= stored
        if len(done) == len(one.published):
            return


def test_after_the_last_attempt_an_event_is_a_dead_letter_and_only_then_done_and_a_redrive_brings_it_back(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook()
        retry = {**SOON, "maxAttempts": 3}
        async with pushed(pair, hook, delivery={"retry": retry}) as one:
            refused = {f"{one.name}#{number}" for number in (7, 8, 40)}
            hook.manner = lambda arrival: Reply(422 if arrival.event in refused else 200)
            ids = await one.publish(100, keys=10)
            await given_up(one, hook, refused)
            assert {event for event, each in hook.deliveries().items() if len(each) != 1} == refused
            assert {len(hook.deliveries()[event]) for event in refused} == {3}
            assert set(hook.ids()) == set(ids) - refused
            check_lanes(one, hook, refused)
            attempts = (await one.caller.ok("GET", f"{one.path}/attempts?limit=200"))["attempts"]
            decisions = [each["decision"] for each in attempts if each["eventId"] in refused]
            assert sorted(decisions) == ["max_attempts"] * 3 + ["retry"] * 6

            hook.manner = always(Reply())
            redriven = await one.caller.call("POST", f"{one.path}/redrive")
            assert (redriven.status, redriven.json()) == (202, {"deadLetters": 3})
            await hook.until_taken(len(ids))
            assert sorted(hook.ids()) == sorted(ids), "each was taken once"

    asyncio.run(scenario())


def check_lanes(one: Subscribed, hook: Hook, refused: set[str]) -> None:
    """An event behind a refused one came after its last attempt."""
    deliveries = hook.deliveries()
    for event in refused:
        last: Arrival = deliveries[event][-1]
        behind = [
            each
            for arrivals in deliveries.values()
            for each in arrivals
            if each.key == last.key and each.place > last.place
        ]
        assert behind, one.name
        assert all(each.moment > last.moment for each in behind)


def test_a_replay_from_a_time_disturbs_no_other_subscription(pair: Replicas, receiver: Receiver) -> None:
    async def scenario() -> None:
        hook, other = receiver.hook(), receiver.hook()
        async with pushed(pair, hook) as one:
            path = await beside(one, other, "other")
            await one.publish(60)
            await hook.until_taken(60)
            logged = await asyncio.to_thread(read_log, pair.broker.bootstrap, one.topic)
            moment = max(record.timestamp for record in logged) + 1
            while time.time() * 1_000 <= moment:
                await pause()
            await one.publish(40)
            await hook.until_taken(100)
            await other.until_taken(100)
            await caught_up(one)
            group = (await one.caller.ok("GET", path))["consumerGroup"]

            target = datetime.fromtimestamp(moment / 1_000, UTC).isoformat(timespec="milliseconds")
            await one.caller.ok("POST", f"{one.path}/seek", {"to": target})
            await hook.until(lambda: len(hook.answers) >= 140, "the replay")
            await one.publish(10)
            await other.until_taken(110)
            await hook.until_taken(110)
            await caught_up(one)

            again = [event for event, each in hook.deliveries().items() if len(each) > 1]
            assert sorted(again) == sorted(one.published[60:100])
            assert len(hook.answers) == 150
            check_complete(other, one.published)
            assert sorted(other.ids()) == sorted(one.published), "each was taken once"
            assert (await one.caller.ok("GET", path))["consumerGroup"] == group

    asyncio.run(scenario())
