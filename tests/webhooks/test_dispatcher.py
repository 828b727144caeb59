"""What a dispatcher sends when, and what becomes of the events; in time that jumps."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.webhooks.dispatching import NOON, Answer, Post, Receiver, changed, outgoing_of, record, webhook
from tests.webhooks.jumping import EPOCH, after, clock, play, until

from eventbus_gateway.errors import RegistryUnavailable
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.codecs import Codec
from eventbus_gateway.subscriptions.leases import Counts
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import Subscription, with_pause
from eventbus_gateway.subscriptions.signing_secrets import SigningSecret
from eventbus_gateway.webhooks.oauth import NoToken
from eventbus_gateway.webhooks.outbound import Attempted, Outbound

OAUTH2 = {"type": "oauth2", "tokenUrl": "https://login.example/t", "clientId": "gateway", "clientSecret": "s"}
BUSY = Attempted(None, "busy", None, 0.0)

Scenario = Callable[[Post, Receiver], Awaitable[None]]


def played(scenario: Scenario, *topics: str, seconds: float = 0.01, **delivery: Any) -> None:
    """Run a scenario with a dispatcher of a new subscription."""

    async def whole() -> None:
        receiver = Receiver(seconds)
        post = Post(webhook(*topics, **delivery), receiver)
        try:
            await scenario(post, receiver)
        finally:
            post.dispatcher.drop()

    play(whole)


def paused(subscription: Subscription, is_paused: bool = True) -> Subscription:
    return with_pause(subscription, is_paused, NOON)


def ids(requests: Sequence[Outbound]) -> list[str]:
    return [request.headers["webhook-id"] for request in requests]


def test_events_are_sent_acked_and_told() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        post.put(record(4, "a", headers={"ce_id": "e-4"}), record(5, "b"))
        await until(lambda: not post.unacked())
        assert sorted(receiver.data) == ["a", "b"]
        assert post.counts == {"handed_out": 2, "ack": 2}
        assert post.outcomes == {"success": 2}
        assert post.attempts()[-1] == {
            "at": "2027-01-15T08:16:40.000Z",
            "topic": "notes",
            "partition": 0,
            "offset": 4,
            "eventId": "e-4",
            "attempt": 1,
            "status": 204,
            "error": None,
            "latencyMs": 10.0,
            "decision": "done",
        }
        status = post.dispatcher.status()
        assert (status.state, status.in_flight, status.last_status, status.last_failure) == ("closed", 0, 204, None)
        assert status.last_success_at == int((EPOCH + 1_000.02) * 1_000)
        assert post.dispatcher.trouble is None

    played(scenario)


def test_events_of_a_key_go_one_after_the_other_and_other_keys_beside_them() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.seconds = 1.0
        post.put(*(record(at, at, key="ABC"[at % 3]) for at in range(60)))
        await until(lambda: not post.unacked())
        for key in range(3):
            assert [data for data in receiver.data if data % 3 == key] == list(range(key, 60, 3))
        assert receiver.most_under_way == 3

    played(scenario, order="key")


def test_events_of_a_partition_go_one_after_the_other_and_other_partitions_beside_them() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        post.put(*(record(at, at, key=str(at)) for at in range(20)))
        post.put(*(record(at, 100 + at, partition=1) for at in range(20)))
        await until(lambda: not post.unacked())
        assert [data for data in receiver.data if data < 100] == list(range(20))
        assert [data for data in receiver.data if data >= 100] == list(range(100, 120))
        assert receiver.most_under_way == 2

    played(scenario, order="partition")


def test_without_order_as_many_as_the_receiver_bears_go_at_once_and_never_more_than_were_allowed() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        post.put(*(record(at, at, key="same") for at in range(200)))
        await until(lambda: not post.unacked())
        assert sorted(receiver.data) == list(range(200))
        assert receiver.most_under_way == 5
        assert receiver.times[1] > receiver.times[0]  # the first one alone finds out whether anybody is there

    played(scenario, order="none", maxInFlight=5)


def test_a_fixed_rate_is_kept() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        began = clock()
        post.put(*(record(at, at) for at in range(21)))
        await until(lambda: not post.unacked())
        assert receiver.times[-1] - began == pytest.approx(5.0, abs=0.3)

    played(scenario, order="none", ratePerSecond=4)


def test_a_full_batch_goes_at_once_and_a_smaller_one_when_its_time_has_come() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        began = clock()
        post.put(*(record(at, at, key="same") for at in range(7)))
        await until(lambda: not post.unacked())
        assert [[event["data"] for event in receiver.events(at)] for at in range(3)] == [[0, 1, 2], [3, 4, 5], [6]]
        assert receiver.times[0] == began
        assert receiver.times[1] < began + 1
        assert receiver.times[2] == pytest.approx(receiver.times[1] + 0.01 + 30, abs=0.1)

    played(scenario, format="batch", batch={"maxEvents": 3, "waitSeconds": 30})


def test_a_full_batch_that_waits_for_an_answer_to_the_one_before_costs_nothing() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        post.put(*(record(at, at) for at in range(4)))
        await until(lambda: receiver.under_way)
        turns = post.turns
        await after(10)
        assert receiver.under_way == 1
        assert post.turns - turns < 5
        await until(lambda: not post.unacked())

    played(scenario, seconds=20.0, format="batch", batch={"maxEvents": 2}, maxInFlight=1)


def test_a_batch_that_fails_comes_again_whole_and_in_its_order() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [503]
        post.put(*(record(at, at, key="same") for at in range(4)))
        await until(lambda: not post.unacked())
        assert receiver.data == [0, 1, 2, 3] * 2
        assert len(set(ids(receiver.requests))) == 1
        assert receiver.times[1] == pytest.approx(receiver.times[0] + 0.01 + 2.5, abs=0.02)
        assert [each["attempt"] for each in post.attempts()] == [2] * 4 + [1] * 4

    played(scenario, format="batch", batch={"maxEvents": 4})


def test_what_failed_is_tried_again_under_the_same_name_and_only_its_key_waits() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        failures = [503, 503]

        def answer(request: Outbound) -> Answer:
            return failures.pop() if failures and b"a0" in request.body else 204

        receiver.otherwise = answer
        post.put(record(0, "a0", key="A"), record(1, "a1", key="A"))
        await until(lambda: len(receiver.requests) == 1)
        post.put(record(2, "b0", key="B"))
        await until(lambda: not post.unacked())
        assert [data for data in receiver.data if data[0] == "a"] == ["a0"] * 2 + ["a0", "a1"]
        first, *_ = receiver.requests
        again = [
            request for request in receiver.requests if request.headers["webhook-id"] == first.headers["webhook-id"]
        ]
        assert len(again) == 3
        stamps = [int(request.headers["webhook-timestamp"]) for request in again]
        assert stamps == sorted(set(stamps))
        # Half of 5 seconds, then half of 10: chance is always a half here.
        assert stamps[1] - stamps[0] in {2, 3}
        assert stamps[2] - stamps[1] in {5, 6}

    played(scenario)


def test_a_receiver_that_says_how_long_to_wait_gets_nothing_before() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [Attempted(429, None, "120", 0.01)]
        post.put(record(0, key="A"), record(1, key="B"))
        await until(lambda: not post.unacked())
        assert receiver.times[1] >= receiver.times[0] + 120
        assert len(receiver.requests) == 3

    played(scenario)


def test_the_last_attempt_makes_a_dead_letter_and_the_next_event_of_its_key_goes_on() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [500, 500]
        post.put(record(0, "bad", key="A"), record(1, "good", key="A"))
        await until(lambda: len(receiver.requests) == 2)
        await until(lambda: post.leases.counts().dead_letters)
        (dead,) = post.given_up()
        assert dead.reason == "max_attempts: 500"
        assert post.attempts()[0]["decision"] == "max_attempts"
        assert receiver.data == ["bad", "bad"]  # the key waits until the dead letter is stored
        post.leases.dead_lettered([dead.leased.reference])
        post.dispatcher.look()
        await until(lambda: not post.unacked())
        assert receiver.data == ["bad", "bad", "good"]

    played(scenario, retry={"maxAttempts": 2})


@pytest.mark.parametrize(("status", "dead"), [(400, 1), (422, 1), (401, 0), (408, 0), (429, 0), (500, 0), (301, 0)])
def test_a_refusal_of_the_event_makes_a_dead_letter_at_once_where_that_is_wanted(status: int, dead: int) -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [status]
        post.put(record(0))
        await until(post.attempts)
        await after(0.1)
        assert post.leases.counts().dead_letters == dead

    played(scenario, retry={"onClientError": "dead_letter"})


def test_an_event_that_is_too_old_is_given_up() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.otherwise = Attempted(None, "timeout", None, 1.0)
        began = clock()
        post.put(record(0))
        await until(lambda: post.leases.counts().dead_letters)
        assert [dead.reason for dead in post.given_up()] == ["max_age: timeout"]
        assert receiver.times[-1] <= began + 60.1

    played(scenario, retry={"maxAgeSeconds": 60, "maxAttempts": None})


def test_a_receiver_that_is_gone_gets_nothing_more_until_its_owner_resumes() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.otherwise = 410
        post.put(*(record(at, at, key=str(at)) for at in range(3)))
        await until(lambda: post.disabled)
        await after(1_000)
        assert (len(post.disabled), len(receiver.requests), post.unacked()) == (1, 1, 3)
        assert post.dispatcher.status().state == "disabled"
        post.update(paused(post.subscription))
        await after(1_000)
        assert len(receiver.requests) == 1
        receiver.otherwise = 204
        post.update(paused(post.subscription, False))
        await until(lambda: not post.unacked())
        assert post.dispatcher.status().state == "closed"

    played(scenario)


@pytest.mark.parametrize("change", [{"url": "https://team.example/new"}, {"maxInFlight": 2}])
def test_a_receiver_that_was_gone_is_asked_again_when_its_owner_has_changed_anything(change: dict[str, Any]) -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [410]
        post.put(record(0))
        await until(lambda: post.disabled)
        post.update(changed(post.subscription, **change))
        await until(lambda: not post.unacked())

    played(scenario)


class Registry:
    """Codecs that cannot be had for a while."""

    def __init__(self) -> None:
        self.asked = 0
        self.down_for = 2

    def ready(self, schema_id: SchemaId) -> Codec | None:
        return None

    async def load(self, schema_id: SchemaId) -> Codec:
        self.asked += 1
        if self.asked <= self.down_for:
            raise RegistryUnavailable
        return Decoded()


class Decoded:
    """A codec for which everything says the same."""

    name = "test.Note"

    def decode(self, data: bytes, start: int) -> Any:
        return data[start:].decode()


def test_a_schema_that_cannot_be_fetched_costs_no_attempt() -> None:
    async def scenario() -> None:
        registry, receiver = Registry(), Receiver()
        outgoing: Outgoing = outgoing_of("notes", registry)
        post = Post(webhook(), receiver, outgoing=lambda topic: outgoing)
        post.put(record(0)._replace(value=b"\0\0\0\0\7text"))
        await until(lambda: post.dispatcher.trouble)
        assert post.dispatcher.trouble == RegistryUnavailable.code
        assert (receiver.requests, post.attempts()) == ([], [])
        began = clock()
        await until(lambda: not post.unacked())
        assert clock() > began + 1.9
        assert receiver.data == ["text"]
        assert post.attempts()[0]["attempt"] == 1
        assert post.dispatcher.trouble is None

    play(scenario)


def test_a_gateway_without_room_costs_no_attempt() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [BUSY, BUSY]
        post.put(record(0))
        await until(lambda: receiver.requests)
        await after(0.1)
        assert post.dispatcher.trouble == "overloaded"
        await until(lambda: not post.unacked())
        assert [each["attempt"] for each in post.attempts()] == [1]
        assert post.outcomes == {"success": 1}
        assert receiver.times[2] - receiver.times[0] > 2

    played(scenario)


def test_a_mistake_of_the_gateway_holds_up_neither_its_place_nor_other_events_and_ends_as_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        receiver = Receiver()

        async def send(request: Outbound) -> Attempted:
            if b"poison" in request.body:
                raise ArithmeticError
            return await receiver.send(request)

        post = Post(webhook(maxInFlight=1, order="none", retry={"maxAttempts": 3}), receiver, send=send)
        post.put(record(0, "poison"), *(record(at, at) for at in range(1, 10)))
        await until(lambda: post.unacked() == 1)
        assert receiver.data == list(range(1, 10))
        await until(lambda: post.leases.counts().dead_letters)
        assert post.dispatcher.status().in_flight == 0
        assert post.dispatcher.trouble == "internal_error"

    play(scenario)
    assert {each.levelname for each in caplog.records} == {"ERROR"}
    assert "poison" not in caplog.text


def test_events_that_did_not_fit_are_none_of_what_becomes_of_their_first_request() -> None:
    async def scenario() -> None:
        receiver = Receiver()

        async def send(request: Outbound) -> Attempted:
            if b"first" in request.body:
                post.put(record(12, "third"))
                await until(lambda: receiver.under_way)
                raise ArithmeticError
            return await receiver.send(request)

        batches = {"maxEvents": 2, "maxBytes": 1_024, "waitSeconds": 0}
        delivery = webhook(format="batch", order="none", batch=batches, retry={"maxAttempts": 1})
        post = Post(delivery, receiver, send=send)
        # Some successes, so that more than one request may be under way.
        post.put(*(record(at) for at in range(10)))
        await until(lambda: not post.unacked())
        receiver.seconds = 5.0
        post.put(record(10, "first" + "." * 600), record(11, "second" + "." * 600))
        await until(lambda: post.leases.counts().dead_letters)
        assert (receiver.under_way, post.leases.counts()) == (1, Counts(0, 2, 0, 0, 1))
        await until(lambda: post.unacked() == 1)
        assert [event["offset"] for event in receiver.events(len(receiver.requests) - 1)] == [11, 12]

    play(scenario)


def test_a_paused_subscription_begins_nothing_and_what_is_under_way_counts() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.seconds = 5.0
        post.put(record(0, 0, key="A"), record(1, 1, key="A"))
        await until(lambda: receiver.under_way)
        post.update(paused(post.subscription))
        await after(1_000)
        assert (receiver.data, post.unacked()) == ([0], 1)
        post.put(record(2, 2, key="B"))
        await after(1_000)
        assert receiver.data == [0]
        post.update(paused(post.subscription, False))
        await until(lambda: not post.unacked())
        assert sorted(receiver.data) == [0, 1, 2]

    played(scenario)


def test_a_paused_batch_is_not_sent_when_its_time_comes() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        post.put(record(0))
        await after(1)
        post.update(paused(post.subscription))
        await after(1_000)
        assert not receiver.requests
        post.update(paused(post.subscription, False))
        await until(lambda: not post.unacked())

    played(scenario, format="batch", batch={"waitSeconds": 10})


def test_a_receiver_that_is_down_gets_ever_fewer_probes_and_everything_once_it_is_well() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.otherwise = Attempted(None, "connect", None, 0.0)
        post.put(*(record(at, at, key=str(at)) for at in range(30)))
        await until(lambda: post.dispatcher.status().state == "open")
        status = post.dispatcher.status()
        assert status.opens_at is not None
        assert (status.last_status, status.last_failure) == (None, "connect")
        probe = status.opens_at / 1_000 - EPOCH
        before = len(receiver.requests)
        await until(lambda: len(receiver.requests) > before)
        assert clock() >= probe - 0.001
        began, before = clock(), len(receiver.requests)
        await until(lambda: clock() > began + 3_600)
        assert len(receiver.requests) - before < 60
        receiver.otherwise = 200
        await until(lambda: not post.unacked())
        assert post.dispatcher.status().state == "closed"
        assert post.leases.counts().dead_letters == 0

    played(scenario)


def test_a_new_url_gets_the_next_request_at_once_whatever_the_old_one_did() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        def answer(request: Outbound) -> Answer:
            return 204 if "new" in request.url else 500

        receiver.otherwise = answer
        post.put(*(record(at, at, key=str(at)) for at in range(20)))
        await until(lambda: post.dispatcher.status().state == "open")
        post.put(record(20, "fresh"))
        moved = clock()
        post.update(changed(post.subscription, url="https://team.example/new"))
        before = len(receiver.requests)
        await until(lambda: len(receiver.requests) > before)
        assert clock() < moved + 0.1
        await until(lambda: not post.unacked())

    played(scenario)


def test_a_refused_access_token_is_replaced_and_none_at_all_is_a_failed_attempt() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.answers = [401]
        post.put(record(0))
        await until(lambda: not post.unacked())
        proofs = [request.headers["authorization"] for request in receiver.requests]
        assert proofs == ["Bearer gateway-1", "Bearer gateway-2"]
        post.issuer.result = NoToken("unreachable")
        post.put(record(1))
        await until(lambda: post.attempts()[0]["offset"] == 1)
        assert (post.attempts()[0]["error"], len(receiver.requests)) == ("authorization", 2)
        post.issuer.result = None
        await until(lambda: not post.unacked())

    played(scenario, auth=OAUTH2)


@pytest.mark.parametrize("signing", ["v1", "none"])
def test_nothing_is_sent_while_a_secret_cannot_be_had(signing: str) -> None:
    async def scenario() -> None:
        receiver = Receiver()
        sound = webhook(signing=signing, auth={"type": "bearer", "token": "t"})
        broken = changed(sound, auth={"type": "bearer", "token": None})
        if sound.signing:
            broken = sound.model_copy(update={"signing": (SigningSecret(),)})
        post = Post(broken, receiver)
        post.put(record(0))
        await after(100_000)
        assert (receiver.requests, post.attempts(), post.unacked()) == ([], [], 1)
        assert post.dispatcher.trouble == "secrets_unusable"
        post.update(sound)
        await until(lambda: not post.unacked())
        assert post.dispatcher.trouble is None

    play(scenario)


def test_whoever_is_not_the_owner_any_more_sends_nothing_and_decides_nothing() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.seconds = 5.0
        post.put(record(0, key="A"), record(1, key="A"))
        await until(lambda: receiver.under_way)
        post.is_owned = False
        await after(1_000)
        assert (len(receiver.requests), post.unacked()) == (1, 2)
        assert post.counts == {"handed_out": 1}

    played(scenario)


def test_the_end_waits_a_moment_for_what_is_under_way_and_begins_nothing() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.seconds = 2.0
        post.put(record(0, key="A"), record(1, key="A"))
        await until(lambda: receiver.under_way)
        await post.dispatcher.close()
        assert (len(receiver.requests), post.unacked()) == (1, 1)

    played(scenario)


def test_the_end_does_not_wait_for_a_receiver_that_hangs() -> None:
    async def scenario(post: Post, receiver: Receiver) -> None:
        receiver.seconds = 1_000.0
        post.put(record(0))
        await until(lambda: receiver.under_way)
        began = clock()
        await post.dispatcher.close()
        assert clock() - began < 5
        await until(lambda: not receiver.under_way, 1)
        assert post.unacked() == 1

    played(scenario)
