"""The route table: read it top to bottom to know what the gateway answers and to whom."""

from typing import NamedTuple

from eventbus_gateway.api.contract import Contract
from eventbus_gateway.api.describe import DescribeTopics
from eventbus_gateway.api.http import Handler
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.not_enabled import NotEnabled
from eventbus_gateway.api.overseer import Overseer
from eventbus_gateway.api.registry_facade import registry_routes
from eventbus_gateway.api.routes import Access, Route
from eventbus_gateway.api.settings import HttpSettings
from eventbus_gateway.api.settle import Settle
from eventbus_gateway.api.subscriptions import Subscriptions
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.api.webhooks import Webhooks
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.registry import Registry


class SubscriptionHandlers(NamedTuple):
    """What answers about subscriptions; where they are not enabled, all that says so.

    Args:
        resource: handles the subscriptions themselves.
        dead_letters: shows dead letters.
        receive: handles receives.
        settle: handles what comes back for events.
        status: says how far a subscription is.
        webhooks: handles what owners of webhooks do beside the resource.
        overseer: handles what operators do to subscriptions of others.
    """

    resource: Subscriptions | NotEnabled = NotEnabled()
    dead_letters: Handler = NotEnabled()
    receive: Handler = NotEnabled()
    settle: Settle | NotEnabled = NotEnabled()
    status: Handler = NotEnabled()
    webhooks: Webhooks | NotEnabled = NotEnabled()
    overseer: Overseer | NotEnabled = NotEnabled()


_NO_SUBSCRIPTIONS = SubscriptionHandlers()


def public_routes(
    publish: Handler,
    read: Handler,
    topics: Topics,
    schemas: Schemas,
    policy: Policy,
    registry: Registry | None,
    subscriptions: SubscriptionHandlers = _NO_SUBSCRIPTIONS,
) -> list[Route]:
    """Routes of the port that callers reach.

    Args:
        publish: handles publishes.
        read: handles reads.
        topics: finds topics.
        schemas: finds schemas.
        policy: decides who sees which topic.
        registry: whose read side is served too, None for none.
        subscriptions: what answers about subscriptions.
    """
    describe = DescribeTopics(topics, schemas, policy)
    routes = [
        Route("POST", "/v1/topics/{topic}/events", Action.PUBLISH, publish, is_hot=True),
        Route("GET", "/v1/topics/{topic}/events", Action.READ, read),
        Route("GET", "/v1/topics", Action.DESCRIBE, describe.all),
        Route("GET", "/v1/topics/{topic}", Action.DESCRIBE, describe.one),
        *subscription_routes(subscriptions.resource, subscriptions.dead_letters),
        *lease_routes(subscriptions.receive, subscriptions.settle, subscriptions.status),
        *webhook_routes(subscriptions.webhooks),
        *admin_routes(subscriptions.overseer),
    ]
    if registry is not None:
        routes += [Route(method, path, Access.OPEN, handler) for method, path, handler in registry_routes(registry)]
    return routes


def contract_routes(settings: HttpSettings) -> list[Route]:
    """Routes of the public port that say what all the others take and give.

    Args:
        settings: whether they are wanted.
    """
    if not settings.contract:
        return []
    contract = Contract()
    return [
        Route("GET", "/openapi.json", Access.OPEN, contract.document),
        Route("GET", "/docs", Access.OPEN, contract.page),
    ]


def subscription_routes(resource: Subscriptions | NotEnabled, dead_letters: Handler) -> list[Route]:
    """Routes of the public port for whoever has subscriptions.

    Args:
        resource: handles the subscriptions themselves.
        dead_letters: shows dead letters.
    """
    return [
        Route("GET", "/v1/subscriptions", Action.SUBSCRIBE, resource.all),
        Route("GET", "/v1/subscriptions/{name}", Action.SUBSCRIBE, resource.one),
        Route("PUT", "/v1/subscriptions/{name}", Action.MANAGE, resource.put, audit="change"),
        Route("DELETE", "/v1/subscriptions/{name}", Action.MANAGE, resource.delete, audit="delete"),
        Route("POST", "/v1/subscriptions/{name}/pause", Action.MANAGE, resource.pause, audit="pause"),
        Route("POST", "/v1/subscriptions/{name}/resume", Action.MANAGE, resource.resume, audit="resume"),
        Route("POST", "/v1/subscriptions/{name}/seek", Action.MANAGE, resource.seek, audit="seek"),
        Route("POST", "/v1/subscriptions/{name}/redrive", Action.MANAGE, resource.redrive, audit="redrive"),
        Route("GET", "/v1/subscriptions/{name}/dead-letters", Action.SUBSCRIBE, dead_letters),
    ]


def lease_routes(receive: Handler, settle: Settle | NotEnabled, status: Handler) -> list[Route]:
    """Routes of the public port for whoever consumes by a subscription.

    Args:
        receive: handles receives.
        settle: handles what comes back for events.
        status: says how far a subscription is.
    """
    return [
        Route("POST", "/v1/subscriptions/{name}/receive", Action.SUBSCRIBE, receive, is_hot=True, waits=True),
        Route("POST", "/v1/subscriptions/{name}/ack", Action.SUBSCRIBE, settle.ack, is_hot=True),
        Route("POST", "/v1/subscriptions/{name}/release", Action.SUBSCRIBE, settle.release, is_hot=True),
        Route("POST", "/v1/subscriptions/{name}/extend", Action.SUBSCRIBE, settle.extend, is_hot=True),
        Route("POST", "/v1/subscriptions/{name}/reject", Action.SUBSCRIBE, settle.reject, is_hot=True),
        Route("GET", "/v1/subscriptions/{name}/status", Action.SUBSCRIBE, status),
    ]


def webhook_routes(webhooks: Webhooks | NotEnabled) -> list[Route]:
    """Routes of the public port for owners of webhooks.

    Args:
        webhooks: handles them.
    """
    return [
        Route("POST", "/v1/subscriptions/{name}/test", Action.MANAGE, webhooks.test, audit="test"),
        Route("POST", "/v1/subscriptions/{name}/rotate-secret", Action.MANAGE, webhooks.rotate, audit="rotate"),
        Route("GET", "/v1/subscriptions/{name}/attempts", Action.SUBSCRIBE, webhooks.attempts),
    ]


def admin_routes(overseer: Overseer | NotEnabled) -> list[Route]:
    """Routes of the public port for operators: what belongs to others.

    Args:
        overseer: handles them.
    """
    one = "/v1/admin/subscriptions/{owner}/{name}"
    return [
        Route("GET", "/v1/admin/subscriptions", Action.ADMIN, overseer.all),
        Route("GET", one, Action.ADMIN, overseer.one),
        Route("DELETE", one, Action.ADMIN, overseer.delete, audit="delete"),
        Route("POST", one + "/pause", Action.ADMIN, overseer.pause, audit="pause"),
        Route("POST", one + "/resume", Action.ADMIN, overseer.resume, audit="resume"),
    ]


def internal_routes(internal: Internal) -> list[Route]:
    """Routes of the internal port."""
    return [
        Route("GET", "/livez", Access.OPEN, internal.livez),
        Route("GET", "/readyz", Access.OPEN, internal.readyz),
        Route("GET", "/metrics", Access.OPEN, internal.metrics),
    ]
