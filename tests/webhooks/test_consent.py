"""Receivers that are asked whether they want deliveries before they get any."""

import pytest
from tests.webhooks.dispatching import ORIGIN, Post, Receiver, changed, record, webhook
from tests.webhooks.jumping import after, clock, play, until

from eventbus_gateway.webhooks.handshake import Permission
from eventbus_gateway.webhooks.outbound import Attempted

YES = Permission(True, None, Attempted(200, None, None, 0.01))
SLOWLY = Permission(True, 60, Attempted(200, None, None, 0.01))
NO = Permission(False, None, Attempted(405, None, None, 0.01))


def test_nothing_is_sent_before_the_receiver_wants_it_and_everything_says_who_asked() -> None:
    async def scenario() -> None:
        receiver = Receiver(0.01)
        post = Post(webhook(handshake="cloudevents"), receiver, consent=[NO, NO, YES])
        began = clock()
        post.put(*(record(at, at) for at in range(3)))
        await after(1.0)
        assert (receiver.data, post.dispatcher.trouble) == ([], "no_consent")
        await until(lambda: not post.unacked(), 200)
        assert post.dispatcher.trouble is None
        assert [at - began for at in post.asked] == pytest.approx([0, 60, 120], abs=0.5)
        assert sorted(receiver.data) == [0, 1, 2]
        assert {request.headers["webhook-request-origin"] for request in receiver.requests} == {ORIGIN}
        post.dispatcher.drop()

    play(scenario)


def test_the_rate_that_the_receiver_allows_is_kept_where_it_is_lower() -> None:
    async def scenario() -> None:
        receiver = Receiver(0.01)
        post = Post(webhook(handshake="cloudevents", ratePerSecond=100), receiver, consent=[SLOWLY])
        post.put(*(record(at, at) for at in range(10)))
        await until(lambda: not post.unacked(), 60)
        assert receiver.times[-1] - receiver.times[0] == pytest.approx(9, abs=0.5)
        # What its owner changes beside does not undo what the receiver has said.
        post.update(changed(post.subscription, maxInFlight=7))
        post.put(*(record(at, at) for at in range(10, 20)))
        await until(lambda: not post.unacked(), 60)
        assert receiver.times[-1] - receiver.times[10] == pytest.approx(9, abs=0.5)
        assert len(post.asked) == 1
        post.dispatcher.drop()

    play(scenario)


def test_another_url_is_asked_anew_and_a_receiver_that_was_not_to_be_asked_is_not() -> None:
    async def scenario() -> None:
        receiver = Receiver(0.01)
        post = Post(webhook(handshake="cloudevents"), receiver, consent=[YES, YES])
        post.put(record(0))
        await until(lambda: not post.unacked())
        post.update(changed(post.subscription, url="https://team.example/other"))
        post.put(record(1))
        await until(lambda: not post.unacked())
        assert len(post.asked) == 2
        post.update(changed(post.subscription, url="https://team.example/third", handshake="none"))
        post.put(record(2))
        await until(lambda: not post.unacked())
        assert len(post.asked) == 2
        assert "webhook-request-origin" not in receiver.requests[-1].headers
        post.dispatcher.drop()

    play(scenario)
