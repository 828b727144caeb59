"""``/v1/admin/subscriptions``: what operators do to subscriptions of others."""

from typing import Any

import orjson

from eventbus_gateway.api.http import JSON, Answer, Request
from eventbus_gateway.api.preconditions import etag, precondition
from eventbus_gateway.api.query import parameters
from eventbus_gateway.api.subscriptions import DEFAULT_LIMIT, MAX_LIMIT, limit_in, no_parameters
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.errors import Forbidden, UnknownSubscription
from eventbus_gateway.subscriptions.lifecycle import Lifecycle
from eventbus_gateway.subscriptions.names import is_name
from eventbus_gateway.subscriptions.resource import Subscription, shown
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore

_ADMIN = Action.ADMIN


class Overseer:
    """Shows, pauses, resumes and deletes subscriptions, whoever has them; no event passes through here.

    An operator deals with those subscriptions all of whose topics the grant to ``admin`` covers. What it does not
    cover is as good as not there. Callers without any such grant are refused, whatever they ask for.

    Args:
        store: all subscriptions.
        policy: who may do what to which topic.
        lifecycle: carries out changes.
        group_prefix: name of all consumer groups before the first dot.
    """

    def __init__(self, store: SubscriptionStore, policy: Policy, lifecycle: Lifecycle, group_prefix: str) -> None:
        self._store = store
        self._policy = policy
        self._lifecycle = lifecycle
        self._group_prefix = group_prefix

    async def all(self, request: Request) -> Answer:
        """Subscriptions by owner and name, page by page; ``owner`` narrows them down to those of one.

        Raises:
            Forbidden: the caller has no grant to ``admin``.
            InvalidParameter: the query cannot be used.
            KafkaUnavailable: the subscriptions have not been read yet.
        """
        self._require_operator(request)
        given = parameters(request.query, frozenset({"cursor", "limit", "owner"}))
        after, owner, limit = given.get("cursor", ""), given.get("owner"), limit_in(given, DEFAULT_LIMIT, MAX_LIMIT)
        self._store.require_ready()
        found = [
            one
            for one in self._store.all()
            if (owner is None or one.owner == owner) and _place(one) > after and self._is_seen(request, one)
        ]
        found.sort(key=_place)
        cursor = _place(found[limit - 1]) if len(found) > limit else None
        page = [self._shown(one) for one in found[:limit]]
        return Answer(200, orjson.dumps({"subscriptions": page, "cursor": cursor}))

    async def one(self, request: Request) -> Answer:
        """One subscription.

        Raises:
            GatewayError: see :meth:`pause`.
        """
        return self._answer(self._found(request))

    async def pause(self, request: Request) -> Answer:
        """Have nothing handed out or sent.

        Raises:
            Forbidden: the caller has no grant to ``admin``.
            UnknownSubscription: there is none that the grant covers.
            GatewayError: see ``Lifecycle.pause``.
        """
        return await self._pause(request, True)

    async def resume(self, request: Request) -> Answer:
        """Have events handed out again.

        Raises:
            GatewayError: see :meth:`pause`.
        """
        return await self._pause(request, False)

    async def delete(self, request: Request) -> Answer:
        """Delete a subscription; its dead letters stay in their topic.

        Raises:
            GatewayError: see :meth:`pause`.
        """
        found = self._found(request).subscription
        await self._lifecycle.delete(found.owner, found.name, precondition(request))
        return Answer(204, b"")

    async def _pause(self, request: Request, paused: bool) -> Answer:
        found = self._found(request).subscription
        return self._answer(await self._lifecycle.pause(found.owner, found.name, paused, precondition(request)))

    def _found(self, request: Request) -> Kept:
        self._require_operator(request)
        no_parameters(request)
        owner, name = request.params["owner"], request.params["name"]
        found = self._store.get(owner, name) if is_name(name) else None
        if found is None or not self._is_seen(request, found.subscription):
            raise UnknownSubscription("There is no subscription of this owner and name.")
        return found

    def _require_operator(self, request: Request) -> None:
        if not self._policy.may_anywhere(request.principal, _ADMIN):
            raise Forbidden("The principal has no grant to admin.")

    def _is_seen(self, request: Request, subscription: Subscription) -> bool:
        return self._policy.may_all(request.principal, _ADMIN, subscription.spec.topics)

    def _answer(self, kept: Kept) -> Answer:
        return Answer(200, orjson.dumps(self._shown(kept.subscription)), JSON, ((b"etag", etag(kept.version)),))

    def _shown(self, subscription: Subscription) -> dict[str, Any]:
        return {"owner": subscription.owner, **shown(subscription, self._group_prefix)}


def _place(subscription: Subscription) -> str:
    return f"{subscription.owner}/{subscription.name}"
