"""What a principal may do."""

import re
from collections.abc import Sequence
from enum import Enum

from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings, GrantSettings
from eventbus_gateway.errors import Forbidden


class Action(Enum):
    """What a route does to a topic."""

    PUBLISH = "publish"
    READ = "read"


class Policy:
    """Decides by grants; whatever no grant allows is refused.

    Args:
        grants: the grants, or None where everything is allowed.
    """

    def __init__(self, grants: Sequence[GrantSettings] | None) -> None:
        self._open = grants is None
        self._rules: dict[tuple[str, Action], list[re.Pattern[str]]] = {}
        for grant in grants or ():
            for action in grant.actions:
                rules = self._rules.setdefault((grant.principal, Action(action)), [])
                rules.extend(_pattern(topic) for topic in grant.topics)

    def may(self, principal: Principal, action: Action, topic: str) -> bool:
        """Whether a principal may do something to a topic."""
        if self._open:
            return True
        rules = (*self._rules.get((principal.name, action), ()), *self._rules.get(("*", action), ()))
        return any(rule.fullmatch(topic) is not None for rule in rules)

    def require(self, principal: Principal, action: Action, topic: str) -> None:
        """Refuse what a principal may not do.

        Raises:
            Forbidden: no grant allows it; says the same for topics that do not exist.
        """
        if not self._open and not self.may(principal, action, topic):
            raise Forbidden(f"The principal has no grant to {action.value} on this topic.")


def _pattern(topic: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in topic.split("*")))


def policy(settings: AuthSettings) -> Policy:
    """The policy as configured: with anonymous callers there is nobody to tell apart, so all is allowed."""
    return Policy(None if settings.mode == "anonymous" else settings.grants)
