"""Every row of the route tables says what it asks of its caller, and the gateway asks it."""

from collections.abc import Iterable

import httpx2
from tests.api.guarded import AUTH
from tests.peering import Shelves
from tests.serving import Served, served

from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.peers import PeerRoutes
from eventbus_gateway.api.routes import Access, Route
from eventbus_gateway.api.table import internal_routes
from eventbus_gateway.auth.policy import Action
from eventbus_gateway.telemetry import Metrics

# Where nobody is asked who calls, on purpose: the registry inside ``eventbus dev``, and the contract.
OPEN = ("/subjects", "/schemas/", "/openapi.json", "/docs")
# The internal port, which callers do not reach: probes, and replicas that prove themselves to the handler.
INTERNAL = ("/livez", "/readyz", "/metrics", "/internal/")


def open_ones(routes: Iterable[Route]) -> set[str]:
    """Templates that ask nothing, after a look at each row."""
    found = set()
    for route in routes:
        assert isinstance(route.access, Action) or route.access is Access.OPEN, route
        if route.access is Access.OPEN:
            found.add(route.template)
    return found


def routes_of(gateway: Served) -> tuple[Route, ...]:
    return gateway.edge.gateway.router.routes


def test_every_public_route_names_an_action_but_those_of_the_registry_for_development_and_the_contract() -> None:
    with served() as gateway:
        routes = routes_of(gateway)
        assert len(routes) > 30
        assert all(template.startswith(OPEN) for template in open_ones(routes))
        assert not {route.access for route in routes if not route.template.startswith(OPEN)} & {Access.OPEN}


def test_the_internal_port_is_open_for_probes_and_for_replicas_that_prove_themselves() -> None:
    peers = PeerRoutes(Shelves(), None, Drain(), max_wait_seconds=1, max_requests=1)
    routes = [*internal_routes(Internal(Metrics(), lambda: "ready")), *peers.routes()]
    assert all(template.startswith(INTERNAL) for template in open_ones(routes))


def test_without_a_credential_no_route_that_names_an_action_answers() -> None:
    with served(auth=AUTH) as gateway:
        for route in routes_of(gateway):
            if not route.template.startswith(OPEN):
                assert _asked(gateway.client, route).status_code == 401, route


def _asked(client: httpx2.Client, route: Route) -> httpx2.Response:
    return client.request(route.method, route.template.replace("{", "").replace("}", ""))
