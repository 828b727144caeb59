"""The route table's rows and the search through them."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from eventbus_gateway.api.http import Handler
from eventbus_gateway.auth.policy import Action
from eventbus_gateway.errors import MethodNotAllowed, RouteNotFound

_SEGMENT = re.compile(r"\{([a-z]+)\}")


class Access(Enum):
    """What a route asks of its caller where that is no action."""

    OPEN = "open"
    """Nothing: nobody is asked who calls."""


class Route(NamedTuple):
    """One row of the route table.

    Args:
        method: upper-case HTTP method.
        template: path with ``{name}`` for variable segments.
        access: the action that the caller must be allowed. The gateway sees to it for ``{topic}``; for the topics of
            a subscription it is whoever finds that (``Own``, ``Overseer``).
        handler: what answers.
        is_hot: answered straight from the protocol, past ASGI.
        waits: its handler may wait long, and asks whether the caller is still there.
        audit: what the audit calls that which is done to a subscription; None where nothing is changed.
    """

    method: str
    template: str
    access: Action | Access
    handler: Handler
    is_hot: bool = False
    waits: bool = False
    audit: str | None = None


class Match(NamedTuple):
    """A route and the variable segments of the path that led to it."""

    route: Route
    params: dict[str, str]


class Router:
    """Finds the route of a request.

    Args:
        routes: the table, read top to bottom.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in self.routes:
            _, methods = self._patterns.setdefault(route.template, (_pattern(route.template), {}))
            methods[route.method] = route

    def match(self, method: str, path: str) -> Match:
        """The route for a method and a decoded path.

        Raises:
            RouteNotFound: no template fits.
            MethodNotAllowed: one fits, for other methods.
        """
        for pattern, methods in self._patterns.values():
            found = pattern.fullmatch(path)
            if found is None:
                continue
            # RFC 9110 section 9.3.2: HEAD is GET whose answer the server sends without its body.
            route = methods.get("GET" if method == "HEAD" else method)
            if route is None:
                allowed = (*methods, "HEAD") if "GET" in methods else tuple(methods)
                raise MethodNotAllowed(f"This path takes {', '.join(allowed)}.", allowed)
            return Match(route, found.groupdict())
        raise RouteNotFound("There is nothing at this path.")


def _pattern(template: str) -> re.Pattern[str]:
    parts = _SEGMENT.split(template)
    literal = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+)" for index, part in enumerate(parts)]
    return re.compile("".join(literal))
