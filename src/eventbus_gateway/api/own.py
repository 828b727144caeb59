"""Subscriptions as their owners reach them: nobody else learns that they exist."""

from collections.abc import Sequence

from eventbus_gateway.api.http import Request
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import Forbidden, InvalidParameter, UnknownSubscription
from eventbus_gateway.subscriptions.names import is_name
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.store import Kept, SubscriptionStore

# A replica hears of what another one has stored within a few milliseconds.
_PATIENCE_SECONDS = 0.25


class Own:
    """Finds the subscription that a request names, among those of its caller.

    Args:
        store: all subscriptions.
        policy: who may do what to which topic.
    """

    def __init__(self, store: SubscriptionStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    async def find(self, request: Request) -> Kept:
        """The subscription, whatever its owner may read by now.

        Args:
            request: with its ``name`` in the path.

        Raises:
            UnknownSubscription: the caller has none of this name.
            KafkaUnavailable: the subscriptions have not been read yet.
            OwnerUnavailable: this replica does not understand it.
        """
        name = request.params["name"]
        found = None
        if is_name(name):
            found = await self._store.found(request.principal.name, name, _PATIENCE_SECONDS)
        if found is None:
            raise UnknownSubscription("You have no subscription of this name.")
        return found

    async def allowed(self, request: Request) -> Subscription:
        """The subscription, where the caller may do to all of its topics what the route does: grants can go.

        Args:
            request: with its ``name`` in the path.

        Raises:
            Forbidden: a grant is missing.
            GatewayError: as for :meth:`find`.
        """
        subscription = (await self.find(request)).subscription
        self.require(request, subscription.spec.topics)
        return subscription

    async def pulled(self, request: Request) -> Subscription:
        """The same, for what only clients that pull may do.

        Raises:
            InvalidParameter: its events are sent to a webhook.
            Forbidden: a grant is missing.
            GatewayError: as for :meth:`find`.
        """
        subscription = await self.allowed(request)
        if subscription.spec.delivery.type != "pull":
            raise InvalidParameter("The events of this subscription are sent to its webhook; nobody can pull them.")
        return subscription

    def require(self, request: Request, topics: Sequence[str]) -> None:
        """Refuse topics to which a caller may not do what the route does, whether they exist or not.

        Raises:
            Forbidden: a grant is missing.
        """
        action = request.action
        for index, topic in enumerate(topics):
            if action is None or not self._policy.may(request.principal, action, topic):
                raise Forbidden(
                    f"The principal has no grant to {action} the subscription's topic at /topics/{index}."
                )

    def require_may_give_up(self, request: Request) -> None:
        """Refuse what a caller may not pause or delete; says nothing where there is no such subscription.

        Raises:
            Forbidden: the caller may consume by it, and no more than that.
            GatewayError: as for :meth:`find`.
        """
        name = request.params["name"]
        kept = self._store.get(request.principal.name, name) if is_name(name) else None
        if kept is None:
            return
        for index, topic in enumerate(kept.subscription.spec.topics):
            if not self._policy.may_give_up(request.principal, topic):
                raise Forbidden(f"The principal has no grant to manage the subscription's topic at /topics/{index}.")

    def may_consume(self, principal: Principal, topic: str) -> bool:
        """Whether a caller may have events of a topic by a subscription."""
        return self._policy.may(principal, Action.SUBSCRIBE, topic)
