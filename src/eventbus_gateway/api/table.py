"""The route table: read it top to bottom to know what the gateway answers and to whom."""

from eventbus_gateway.api.describe import DescribeTopics
from eventbus_gateway.api.http import Handler
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.registry_facade import registry_routes
from eventbus_gateway.api.routes import Access, Route
from eventbus_gateway.api.settle import Settle
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.registry import Registry


def public_routes(
    publish: Handler, read: Handler, topics: Topics, schemas: Schemas, policy: Policy, registry: Registry | None
) -> list[Route]:
    """Routes of the port that callers reach.

    Args:
        publish: handles publishes.
        read: handles reads.
        topics: finds topics.
        schemas: finds schemas.
        policy: decides who sees which topic.
        registry: whose read side is served too, None for none.
    """
    describe = DescribeTopics(topics, schemas, policy)
    routes = [
        Route("POST", "/v1/topics/{topic}/events", Action.PUBLISH, publish, is_hot=True),
        Route("GET", "/v1/topics/{topic}/events", Action.READ, read),
        Route("GET", "/v1/topics", Access.CALLER, describe.all),
        Route("GET", "/v1/topics/{topic}", Access.CALLER, describe.one),
    ]
    if registry is not None:
        routes += [Route(method, path, Access.OPEN, handler) for method, path, handler in registry_routes(registry)]
    return routes


def lease_routes(receive: Handler, settle: Settle, status: Handler) -> list[Route]:
    """Routes of the public port for whoever consumes by a subscription.

    Args:
        receive: handles receives.
        settle: handles what comes back for events.
        status: says how far a subscription is.
    """
    return [
        Route("POST", "/v1/subscriptions/{name}/receive", Access.CALLER, receive),
        Route("POST", "/v1/subscriptions/{name}/ack", Access.CALLER, settle.ack),
        Route("POST", "/v1/subscriptions/{name}/release", Access.CALLER, settle.release),
        Route("POST", "/v1/subscriptions/{name}/extend", Access.CALLER, settle.extend),
        Route("POST", "/v1/subscriptions/{name}/reject", Access.CALLER, settle.reject),
        Route("GET", "/v1/subscriptions/{name}/status", Access.CALLER, status),
    ]


def internal_routes(internal: Internal) -> list[Route]:
    """Routes of the internal port."""
    return [
        Route("GET", "/livez", Access.OPEN, internal.livez),
        Route("GET", "/readyz", Access.OPEN, internal.readyz),
        Route("GET", "/metrics", Access.OPEN, internal.metrics),
    ]
