"""``/v1/subscriptions``: the subscriptions of a caller."""

import re
from collections.abc import Callable
from typing import Any

import orjson

from eventbus_gateway.api.http import JSON, Answer, Request
from eventbus_gateway.api.json_body import json_body
from eventbus_gateway.api.own import Own
from eventbus_gateway.api.preconditions import etag, precondition
from eventbus_gateway.api.query import parameters
from eventbus_gateway.errors import InvalidCursor, InvalidParameter, UnknownSubscription
from eventbus_gateway.subscriptions.control import parse_redrive, parse_seek
from eventbus_gateway.subscriptions.lifecycle import Lifecycle, Put
from eventbus_gateway.subscriptions.names import is_name
from eventbus_gateway.subscriptions.patterns import compile_filter
from eventbus_gateway.subscriptions.resource import Subscription, shown
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import parse_spec
from eventbus_gateway.subscriptions.spec_rules import SpecRules, no_url
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
_LIMIT = re.compile(r"[1-9]\d{0,3}", re.ASCII)
# As many positions as a seek can have, with room for long names.
_SEEK_BYTES = 524_288
# What the gateway says about a subscription and nobody else.
_READ_ONLY = frozenset(
    {
        "name",
        "id",
        "paused",
        "pauseReason",
        "lastSeek",
        "lastRedrive",
        "deadLetterTopic",
        "consumerGroup",
        "createdAt",
        "updatedAt",
    }
)


class Subscriptions:
    """Answers for the resource itself; every caller has names of its own.

    Args:
        store: all subscriptions.
        own: finds the caller's subscription.
        lifecycle: carries out changes.
        settings: bounds.
        check_url: refuses URLs that webhooks may not have.
        asks_receivers: whether receivers of webhooks can be asked for their consent.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        own: Own,
        lifecycle: Lifecycle,
        settings: SubscriptionSettings,
        check_url: Callable[[str], object] = no_url,
        asks_receivers: bool = False,
    ) -> None:
        self._store = store
        self._own = own
        self._lifecycle = lifecycle
        self._settings = settings
        self._rules = SpecRules(settings, compile_filter, check_url, asks_receivers)

    async def all(self, request: Request) -> Answer:
        """The caller's subscriptions by name, page by page.

        Raises:
            InvalidParameter, InvalidCursor: the query cannot be used.
            KafkaUnavailable: the subscriptions have not been read yet.
        """
        given = parameters(request.query, frozenset({"cursor", "limit"}))
        after, limit = given.get("cursor", ""), limit_in(given, DEFAULT_LIMIT, MAX_LIMIT)
        if after and not is_name(after):
            raise InvalidCursor("The cursor is not one of this gateway.")
        mine = [kept for kept in self._store.of_owner(request.principal.name) if kept.subscription.name > after]
        page = [kept.subscription for kept in mine[:limit]]
        cursor = page[-1].name if len(mine) > limit else None
        return Answer(200, orjson.dumps({"subscriptions": [self._shown(one) for one in page], "cursor": cursor}))

    async def one(self, request: Request) -> Answer:
        """One subscription.

        Raises:
            GatewayError: see ``Own.find``.
        """
        no_parameters(request)
        return self._answer(await self._own.find(request))

    async def put(self, request: Request) -> Answer:
        """Create a subscription, or replace what its owner says about it.

        Raises:
            InvalidParameter: nothing can be called so.
            Forbidden: the caller may not read all of its topics.
            GatewayError: see ``json_body``, ``parse_spec`` and ``Lifecycle.put``.
        """
        no_parameters(request)
        condition = precondition(request)
        name, owner = request.params["name"], request.principal.name
        if not is_name(name):
            sentence = "The name of a subscription has 1 to 100 letters, digits, '.', '_' and '-'"
            raise InvalidParameter(f"{sentence}, and begins with a letter or digit.")
        body = json_body(request, self._settings.max_subscription_bytes)
        spec = parse_spec(self._writable(owner, name, body), self._rules)
        self._own.require_may_give_up(request)
        self._own.require(request, spec.topics)
        done = await self._lifecycle.put(owner, name, spec, condition)
        if done.is_new:
            return self._answered(done, 201, (b"location", b"/v1/subscriptions/" + name.encode()))
        return self._answered(done)

    async def delete(self, request: Request) -> Answer:
        """Delete a subscription; its dead letters stay in their topic.

        Raises:
            GatewayError: see ``Lifecycle.delete``.
        """
        no_parameters(request)
        self._own.require_may_give_up(request)
        await self._lifecycle.delete(request.principal.name, _named(request), precondition(request))
        return Answer(204, b"")

    async def pause(self, request: Request) -> Answer:
        """Have nothing handed out.

        Raises:
            GatewayError: see ``Lifecycle.pause``.
        """
        return await self._pause(request, True)

    async def resume(self, request: Request) -> Answer:
        """Have events handed out again.

        Raises:
            GatewayError: see ``Lifecycle.pause``.
        """
        return await self._pause(request, False)

    async def seek(self, request: Request) -> Answer:
        """Go on somewhere else.

        Raises:
            Forbidden: the caller may not read all of the topics any more.
            GatewayError: see ``json_body``, ``parse_seek`` and ``Lifecycle.seek``.
        """
        no_parameters(request)
        condition = precondition(request)
        subscription = await self._own.allowed(request)
        target = parse_seek(json_body(request, _SEEK_BYTES), frozenset(subscription.spec.topics))
        return self._answer(await self._lifecycle.seek(subscription.owner, subscription.name, target, condition))

    async def redrive(self, request: Request) -> Answer:
        """Make dead letters events of the subscription again.

        Raises:
            Forbidden: the caller may not read all of the topics any more.
            GatewayError: see ``Lifecycle.redrive``.
        """
        no_parameters(request)
        condition = precondition(request)
        subscription = await self._own.allowed(request)
        body = json_body(request, self._settings.max_subscription_bytes) if request.body else {}
        wanted = parse_redrive(body, compile_filter)
        done = await self._lifecycle.redrive(subscription.owner, subscription.name, condition, wanted)
        told = orjson.dumps({"deadLetters": done.dead_letters})
        return Answer(202, told, JSON, ((b"etag", etag(done.kept.version)),))

    async def _pause(self, request: Request, paused: bool) -> Answer:
        no_parameters(request)
        owner, condition = request.principal.name, precondition(request)
        if paused:
            self._own.require_may_give_up(request)
        else:
            await self._own.allowed(request)
        return self._answer(await self._lifecycle.pause(owner, _named(request), paused, condition))

    def _writable(self, owner: str, name: str, body: Any) -> Any:
        """A body without what the gateway itself says, as long as that is true: what was read can be sent back."""
        kept = self._store.get(owner, name)
        if kept is None or not isinstance(body, dict):
            return body
        now = self._shown(kept.subscription)
        return {key: value for key, value in body.items() if key not in _READ_ONLY or value != now[key]}

    def _answered(self, put: Put, status: int = 200, *headers: tuple[bytes, bytes]) -> Answer:
        """The answer to a put, which alone tells a signing secret, and only when it was made for it."""
        if put.new_secret is None:
            return self._answer(put.kept, status, *headers)
        document = {**self._shown(put.kept.subscription), "signingSecret": put.new_secret}
        extra = ((b"etag", etag(put.kept.version)), (b"cache-control", b"no-store"), *headers)
        return Answer(status, orjson.dumps(document), JSON, extra)

    def _answer(self, kept: Kept, status: int = 200, *headers: tuple[bytes, bytes]) -> Answer:
        body = orjson.dumps(self._shown(kept.subscription))
        return Answer(status, body, JSON, ((b"etag", etag(kept.version)), *headers))

    def _shown(self, subscription: Subscription) -> dict[str, Any]:
        return shown(subscription, self._settings.group_prefix)


def no_parameters(request: Request) -> None:
    """Refuse what a route would not look at.

    Raises:
        InvalidParameter: there is a query.
    """
    if request.query:
        raise InvalidParameter("There are no query parameters here.")


def limit_in(given: dict[str, str], default: int, most: int) -> int:
    """How many entries a page may have.

    Args:
        given: query parameters.
        default: where the caller does not say.
        most: bound.

    Raises:
        InvalidParameter: it is no such number.
    """
    text = given.get("limit")
    if text is None:
        return default
    if _LIMIT.fullmatch(text) is None or int(text) > most:
        raise InvalidParameter(f"limit is a whole number from 1 to {most}.")
    return int(text)


def _named(request: Request) -> str:
    name = request.params["name"]
    if not is_name(name):
        raise UnknownSubscription("You have no subscription of this name.")
    return name
