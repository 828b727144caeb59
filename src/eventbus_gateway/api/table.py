"""The route table: read it top to bottom to know what the gateway answers and to whom."""

from eventbus_gateway.api.describe import DescribeTopics
from eventbus_gateway.api.http import Handler
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.registry_facade import registry_routes
from eventbus_gateway.api.routes import Access, Route
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


def internal_routes(internal: Internal) -> list[Route]:
    """Routes of the internal port."""
    return [
        Route("GET", "/livez", Access.OPEN, internal.livez),
        Route("GET", "/readyz", Access.OPEN, internal.readyz),
        Route("GET", "/metrics", Access.OPEN, internal.metrics),
    ]
