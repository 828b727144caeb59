"""The subscription routes of one replica on a real broker, called without a socket between."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from tests.leaks import heard
from tests.serving import Lines
from tests.subscriptions.living import Living, living
from tests.subscriptions.serving import NoCodecs

from eventbus_gateway.api.audit import Audit
from eventbus_gateway.api.dead_letters import DeadLetters
from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.overseer import Overseer
from eventbus_gateway.api.own import Own
from eventbus_gateway.api.receive import Receive
from eventbus_gateway.api.routes import Router
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.api.settle import Settle
from eventbus_gateway.api.subscription_status import Status
from eventbus_gateway.api.subscriptions import Subscriptions
from eventbus_gateway.api.table import admin_routes, lease_routes, subscription_routes, webhook_routes
from eventbus_gateway.api.webhooks import Webhooks
from eventbus_gateway.auth.chain import authenticator
from eventbus_gateway.auth.policy import policy
from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings, GrantSettings
from eventbus_gateway.errors import GatewayError, InvalidSubscription
from eventbus_gateway.kafka.consumed import Consumed, Headers
from eventbus_gateway.kafka.reader import KafkaReader
from eventbus_gateway.kafka.records import Stored
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.subscriptions.codecs import Codecs
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.leased import Cause, DeadLetter, Leased, Origin
from eventbus_gateway.subscriptions.letters import letter
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.vault import Vault
from eventbus_gateway.subscriptions.window import Event
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.webhooks.outbound import Attempted

NOON = 1_700_000_000_000
"""Milliseconds since the epoch."""
PATH = "/v1/subscriptions"
_GRANTS = {"clinic": "test.*", "archive": "*"}


def reading(grants: Mapping[str, str]) -> list[GrantSettings]:
    """Grants that let principals read topics."""
    return [GrantSettings(principal=name, actions=("read",), topics=(topics,)) for name, topics in grants.items()]


def granted(grants: Sequence[GrantSettings]) -> AuthSettings:
    """Who may do what; a caller's key is the name of the principal, eight times."""
    return AuthSettings(
        api_keys=tuple(
            ApiKeySettings(principal=name, sha256=hashlib.sha256((name * 8).encode()).hexdigest())
            for name in ("clinic", "archive", "nobody")
        ),
        grants=tuple(grants),
    )


class Said(Answer):
    """An answer as tests look at it."""

    @property
    def document(self) -> Any:
        """The body's value."""
        return orjson.loads(self.body)

    @property
    def etag(self) -> str:
        """The entity tag."""
        return dict(self.headers)[b"etag"].decode()

    def problem(self, status: int, code: str) -> Any:
        """The problem document, after a look at what it must be."""
        assert (self.status, self.document["code"]) == (status, code), self.document
        return self.document

    def faults(self, status: int = 422, code: str = "invalid_subscription") -> dict[str, str]:
        """What is wrong, by place."""
        return {fault["pointer"]: fault["detail"] for fault in self.problem(status, code)["errors"]}


class Untouched:
    """Shards that nobody gets as far as."""

    def gathering(self, subscription: Subscription, ask: Any) -> Any:
        raise AssertionError(subscription.name)

    async def settle(self, subscription: Subscription, settling: Any) -> Any:
        raise AssertionError(subscription.name)

    async def status(self, subscription: Subscription) -> Any:
        raise AssertionError(subscription.name)

    async def asked(self, *_: Any) -> Any:
        raise AssertionError


class Office:
    """Where callers go with what they want of their subscriptions."""

    def __init__(self, parts: Living, reader: KafkaReader, read: ReadSettings, codecs: Codecs) -> None:
        self.parts = parts
        self._reader = reader
        self._read = read
        self._codecs = codecs
        self._ids = itertools.count()
        self._outgoings: dict[str, Outgoing] = {}
        self.answer = Attempted(204, None, None, 0.0123)
        """What receivers say to tests."""
        self.pinged: list[tuple[Subscription, str]] = []
        self.tried: list[list[bytes] | GatewayError] = [[]]
        """The attempts of each shard."""
        self.audited = Lines()
        self.grant(_GRANTS)

    def grant(self, grants: Mapping[str, str]) -> None:
        """From now on these are the topics that callers may read."""
        self.allow(*reading(grants))

    def allow(self, *grants: GrantSettings) -> None:
        """From now on these are the grants."""
        auth = granted(grants)
        allowed = policy(auth)
        store, settings = self.parts.store, self.parts.settings
        own = Own(store, allowed)
        resource = Subscriptions(store, own, self.parts.lifecycle, settings, self._check_url)
        dead_letters = DeadLetters(own, self.parts.places, self._reader, self._outgoing_of, self._read)
        webhooks = Webhooks(own, self.parts.lifecycle, self, self._ping, lambda: f"event-{next(self._ids)}")
        overseer = Overseer(store, allowed, self.parts.lifecycle, settings.group_prefix)
        untouched = Untouched()
        receive = Receive(own.pulled, untouched, settings, Drain())
        status = Status(own.allowed, untouched, untouched.asked, untouched.asked, untouched.asked, "test")
        routes = [
            *subscription_routes(resource, dead_letters),
            *lease_routes(receive, Settle(own.pulled, untouched, settings), status),
            *webhook_routes(webhooks),
            *admin_routes(overseer),
        ]
        router = Router(routes)
        self.routes = routes
        audit = Audit(self.audited, lambda: NOON / 1_000)
        self._gateway = Gateway(router, authenticator(auth), allowed, Metrics(), audit=audit)

    async def call(
        self, method: str, path: str = "", body: Any = None, *, by: str = "clinic", query: str = "", **headers: str
    ) -> Said:
        """What a request is answered; a body that is no bytes is sent as JSON."""
        sent = {b"authorization": f"Bearer {by * 8}".encode()}
        content = b""
        if body is not None:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            sent[b"content-type"] = b"application/json"
        sent |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        whole = path if path.startswith("/v1/") else PATH + path
        request = Request(method, whole, query.encode(), sent, content, f"r{next(self._ids)}")
        said = Said(*await self._gateway.handle(request))
        if said.status >= 400:
            heard(f"the answer {said.status}", said.body)
        return said

    async def put(self, name: str, *topics: str, by: str = "clinic", **fields: Any) -> Said:
        """Create or replace a subscription, which must work."""
        said = await self.call("PUT", f"/{name}", {"topics": topics, **fields}, by=by)
        assert said.status in {200, 201}, said.body
        return said

    def subscription(self, name: str, by: str = "clinic") -> Subscription:
        """A subscription as it is stored."""
        kept = self.parts.store.get(by, name)
        assert kept is not None
        return kept.subscription

    async def attempts(self, subscription: Subscription, limit: int) -> list[list[bytes] | GatewayError]:
        """See ``Routing.attempts``."""
        return [each if isinstance(each, GatewayError) else each[:limit] for each in self.tried]

    async def bury(
        self, subscription: Subscription, *values: bytes, topic: str = "test.buried", reason: str = "no bed"
    ) -> None:
        """Store dead letters as the gateway does: events of partition 3, from offset 100 on."""
        records = []
        for index, value in enumerate(values):
            payload = Consumed.of(topic, 3, 100 + index, NOON, b"ward", value, Headers.of([("ce_type", b"bed")]))
            event = Event(100 + index, NOON, b"ward", len(value), payload)
            origin = Origin.of(0, 1, 0, topic, 3)
            leased = Leased(origin, event, 4)
            cause = Cause.REJECTED if reason else Cause.MAX_DELIVERIES
            records.append(letter(DeadLetter(leased, cause, reason), subscription.full_name, NOON + 1_000))
        await self.parts.cluster.refresh()
        outcomes = await self.parts.sink.send(subscription.dead_letter_topic, records)
        assert all(isinstance(outcome, Stored) for outcome in outcomes), outcomes

    async def _ping(self, subscription: Subscription, event_id: str) -> Attempted:
        self.pinged.append((subscription, event_id))
        return self.answer

    def _check_url(self, url: str) -> None:
        if "inside" in url:
            raise InvalidSubscription("expected a URL outside")

    def _outgoing_of(self, topic: str) -> Outgoing:
        is_avro = topic.endswith(".avro")
        form = Form(topic, is_avro, False, "/test", "test", self._codecs)
        return self._outgoings.setdefault(topic, Outgoing(form))


@asynccontextmanager
async def office(
    bootstrap: str,
    table: str,
    *,
    settings: SubscriptionSettings | None = None,
    read: ReadSettings | None = None,
    codecs: Codecs | None = None,
    vault: Vault | None = None,
) -> AsyncIterator[Office]:
    """The routes of a replica without shards, for the length of a block."""
    async with living(bootstrap, table, settings=settings, vault=vault) as parts:
        kafka = KafkaSettings(bootstrap_servers=bootstrap)
        reader = KafkaReader(kafka, parts.positions, lambda: True, max_readers=4, idle_seconds=60)
        try:
            yield Office(parts, reader, read or ReadSettings(), codecs or NoCodecs())
        finally:
            await reader.close()


Scenario = Callable[[Office], Awaitable[None]]
Play = Callable[[Scenario], None]
