"""A dispatcher with real leases and a receiver in memory, in time that jumps."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from tests.subscriptions.serving import NoCodecs
from tests.webhooks.jumping import after, clock, epoch

from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.subscriptions.codecs import Codecs
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.hand import Hand
from eventbus_gateway.subscriptions.leased import DeadLetter
from eventbus_gateway.subscriptions.leases import Leases
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import Subscription, created
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.supply import Supply
from eventbus_gateway.subscriptions.timer import Timer
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.subscriptions.windows import Bounds
from eventbus_gateway.webhooks.cloudevents import NotUnderstood, events_of
from eventbus_gateway.webhooks.credentials import Credentials
from eventbus_gateway.webhooks.dispatcher import Dispatcher, Services
from eventbus_gateway.webhooks.handshake import Permission
from eventbus_gateway.webhooks.oauth import ClientCredentials, NoToken, Token
from eventbus_gateway.webhooks.outbound import Attempted, Outbound
from eventbus_gateway.webhooks.rotating import signer_of

ORIGIN = "events.example"
URL = "https://team.example/hook"
NOON = 1_700_000_000_000
"""Milliseconds since the epoch."""

Answer = int | Attempted
"""A status, or all that becomes of an attempt."""


def webhook(*topics: str, **delivery: Any) -> Subscription:
    """A new subscription with a webhook."""
    spec = {"topics": topics or ("notes",), "delivery": {"type": "webhook", "url": URL, **delivery}}
    return created("clinic", "board", Spec.model_validate(spec), NOON)


def changed(subscription: Subscription, **delivery: Any) -> Subscription:
    """The same subscription with something else in its delivery."""
    before = subscription.spec.model_dump(mode="json", by_alias=True)
    spec = Spec.model_validate({**before, "delivery": {**before["delivery"], **delivery}})
    return subscription.model_copy(update={"spec": spec})


def outgoing_of(topic: str, codecs: Codecs | None = None) -> Outgoing:
    """Makes events of a topic with JSON in it."""
    return Outgoing(Form(topic, codecs is not None, False, "/test", "test", codecs or NoCodecs()))


def record(
    offset: int,
    data: Any = None,
    *,
    key: str | None = None,
    topic: str = "notes",
    partition: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Consumed:
    """A record of a topic; without data it is named after its place."""
    value = orjson.dumps(f"{topic}/{partition}/{offset}" if data is None else data)
    pairs: list[tuple[str, bytes | None]] = [(name, text.encode()) for name, text in (headers or {}).items()]
    return Consumed.of(
        topic, partition, offset, NOON + offset, key.encode() if key else None, value, Headers.of(pairs)
    )


class Receiver:
    """Answers requests as it is told, each after some seconds.

    Args:
        seconds: how long an answer takes.
    """

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.answers: list[Answer] = []
        """The next ones; afterwards ``otherwise``."""
        self.otherwise: Answer | Callable[[Outbound], Answer] = 204
        self.requests: list[Outbound] = []
        self.times: list[float] = []
        self.under_way = 0
        self.most_under_way = 0

    async def send(self, request: Outbound) -> Attempted:
        """See ``Sender.send``."""
        self.requests.append(request)
        self.times.append(clock())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await after(self.seconds)
        finally:
            self.under_way -= 1
        chosen = self.answers.pop(0) if self.answers else self.otherwise
        answer = chosen(request) if callable(chosen) else chosen
        return Attempted(answer, None, None, self.seconds) if isinstance(answer, int) else answer

    def events(self, at: int) -> list[dict[str, Any]]:
        """The events of a request."""
        request = self.requests[at]
        found = events_of(request.headers.items(), request.body)
        assert not isinstance(found, NotUnderstood), found
        return found

    @property
    def data(self) -> list[Any]:
        """The data of all events of all requests."""
        return [event["data"] for at in range(len(self.requests)) for event in self.events(at)]


class Issuer:
    """Issues tokens; see ``oauth.Tokens``."""

    def __init__(self) -> None:
        self.number = 1
        self.result: NoToken | None = None

    async def token(self, credentials: ClientCredentials) -> Token | NoToken:
        """See ``Tokens.token``."""
        return self.result or Token(f"Bearer {credentials.client_id}-{self.number}")

    def refused(self, credentials: ClientCredentials, token: Token) -> None:
        """See ``Tokens.refused``."""
        self.number += 1


class Post:
    """One shard that sends; to be made on a loop of ``jumping``.

    Args:
        subscription: with a webhook.
        receiver: gets the events.
        send: what sends in place of the receiver.
        outgoing: makes events of a topic's records.
        consent: what the receiver says when it is asked whether it wants deliveries, one answer after the other.
    """

    def __init__(
        self,
        subscription: Subscription,
        receiver: Receiver,
        *,
        send: Callable[[Outbound], Awaitable[Attempted]] | None = None,
        outgoing: Callable[[str], Outgoing] = outgoing_of,
        consent: Sequence[Permission] = (),
    ) -> None:
        self.consent = list(consent)
        self.asked: list[float] = []
        self.subscription = subscription
        self.receiver = receiver
        self.is_owned = True
        self.counts: dict[str, int] = {}
        self.outcomes: dict[str, int] = {}
        self.disabled: list[Subscription] = []
        self.turns = 0
        """How often the dispatcher has looked for events to send."""
        self.issuer = Issuer()
        order = subscription.spec.delivery.order
        self.supply: Supply[Consumed] = Supply(0, 7, subscription.spec.topics, Bounds(10_000, 10**8), order)
        self.leases = Leases(self.supply)
        self._timer = Timer(clock, self._due)
        hand = Hand(self.leases, self._may, self._changed, self._count)
        services = Services(
            send or receiver.send,
            outgoing,
            lambda one: signer_of(one.signing),
            self._credentials,
            self._ask,
            ORIGIN,
            self.disabled.append,
            self._attempted,
            lambda seconds: None,
            clock=clock,
            now=epoch,
            random=lambda: 0.5,
        )
        self.dispatcher = Dispatcher(subscription, hand, services)

    async def _ask(self, _: Subscription, __: WebhookDelivery) -> Permission:
        self.asked.append(clock())
        return self.consent.pop(0)

    def put(self, *records: Consumed) -> None:
        """Have records read, in the order of their offsets."""
        for each in records:
            place = (each.topic, each.partition)
            if not self.supply.has(*place):
                self.supply.add(*place, each.offset, "")
            start = self.supply.position(*place)
            event = Event(each.offset, each.timestamp, each.key, len(each.value or b""), each)
            self.supply.offer(*place, [event], start, each.offset + 1)
        self._changed()

    def update(self, subscription: Subscription) -> None:
        """Have the dispatcher hear of a change."""
        self.subscription = subscription
        self.dispatcher.update(subscription)

    def unacked(self) -> int:
        """How many events are not done with."""
        return sum(progress.unacked for progress in self.supply.progress())

    def given_up(self) -> list[DeadLetter[Consumed]]:
        """Events that are to be stored as dead letters."""
        return self.leases.due_dead_letters(clock(), 1_000)

    def attempts(self) -> list[Any]:
        """What is told of the latest attempts, the latest first."""
        return [orjson.loads(each) for each in self.dispatcher.attempts(1_000)]

    def _may(self) -> bool:
        self.turns += 1
        return self.is_owned

    def _credentials(self, subscription: Subscription) -> Credentials:
        return Credentials(subscription.spec.delivery.auth, self.issuer)  # type: ignore[union-attr]  # a webhook

    def _count(self, what: str, number: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def _attempted(self, _: str, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _changed(self) -> None:
        self._timer.set(self.leases.next_deadline())
        self.dispatcher.look()

    def _due(self) -> None:
        self.leases.advance(clock())
        self._changed()
