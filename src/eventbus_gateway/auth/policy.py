"""What a principal may do: a pure function of the principal, the action, the topic and the configured grants."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings, GrantSettings
from eventbus_gateway.errors import Forbidden
from eventbus_gateway.pieces import in_order

# Callers choose the topics that they ask for, so what was decided is not kept without end.
_MAX_DECISIONS = 20_000
_LONGEST_NAME = 249
"""No topic has a longer one (org.apache.kafka.common.internals.Topic), but whoever asks can send one."""

_Matcher = Callable[[str], bool]


class Action(StrEnum):
    """What a route does, to the topic in its path or to a subscription's topics."""

    PUBLISH = "publish"
    READ = "read"
    """Read a topic without a subscription."""
    SUBSCRIBE = "subscribe"
    """Consume by one's own subscriptions."""
    MANAGE = "manage"
    """Create, change and delete one's own subscriptions."""
    ADMIN = "admin"
    """See, pause, resume and delete everybody's subscriptions, without reading their events."""
    DESCRIBE = "describe"
    """See that a topic exists and what it takes. Nobody grants it: every other grant has it in it."""


_D = Action.DESCRIBE
# Whoever may read a topic gains nothing by a subscription to it, and whoever may say where a subscription's events
# are sent can have them: to grant the one without the other would only look like a border.
INCLUDED: Mapping[Action, frozenset[Action]] = MappingProxyType(
    {
        Action.PUBLISH: frozenset({Action.PUBLISH, _D}),
        Action.READ: frozenset({Action.READ, Action.MANAGE, Action.SUBSCRIBE, _D}),
        Action.SUBSCRIBE: frozenset({Action.SUBSCRIBE, _D}),
        Action.MANAGE: frozenset({Action.MANAGE, Action.SUBSCRIBE, _D}),
        Action.ADMIN: frozenset({Action.ADMIN, _D}),
    }
)
"""What each action allows when it is granted."""


class Policy:
    """Decides by grants; whatever no grant allows is refused.

    Args:
        grants: the grants, or None where everything is allowed.
        max_decisions: how many decisions are remembered.
    """

    def __init__(self, grants: Sequence[GrantSettings] | None, max_decisions: int = _MAX_DECISIONS) -> None:
        self._open = grants is None
        self._of_principals: dict[tuple[str, Action], list[_Matcher]] = {}
        self._of_roles: dict[tuple[str, Action], list[_Matcher]] = {}
        self._max_decisions = max_decisions
        self._decided: dict[tuple[str, frozenset[str], Action, str], bool] = {}
        for grant in grants or ():
            self._add(grant)

    def _add(self, grant: GrantSettings) -> None:
        rules = self._of_principals if grant.role is None else self._of_roles
        patterns = [_matcher(topic) for topic in grant.topics]
        for action in frozenset[Action]().union(*(INCLUDED[Action(name)] for name in grant.actions)):
            rules.setdefault((grant.role or grant.principal or "", action), []).extend(patterns)

    def may(self, principal: Principal, action: Action, topic: str) -> bool:
        """Whether a principal may do something to a topic."""
        if self._open:
            return True
        asked = (principal.name, principal.roles, action, topic)
        known = self._decided.get(asked)
        if known is None:
            known = self._decide(principal, action, topic)
            if len(topic) <= _LONGEST_NAME:
                if len(self._decided) >= self._max_decisions:
                    self._decided.clear()
                self._decided[asked] = known
        return known

    def may_all(self, principal: Principal, action: Action, topics: Iterable[str]) -> bool:
        """Whether a principal may do something to each of several topics."""
        return all(self.may(principal, action, topic) for topic in topics)

    def may_anywhere(self, principal: Principal, action: Action) -> bool:
        """Whether a principal may do something to any topic at all."""
        names = [(self._of_principals, principal.name), (self._of_principals, "*")]
        names += [(self._of_roles, role) for role in principal.roles]
        return self._open or any((name, action) in rules for rules, name in names)

    def may_give_up(self, principal: Principal, topic: str) -> bool:
        """Whether a principal may pause or delete its own subscription as far as one of its topics goes.

        A grant that was taken away keeps nobody from that. One that is there and says less than ``manage`` does.
        """
        return self.may(principal, Action.MANAGE, topic) or not self.may(principal, Action.SUBSCRIBE, topic)

    def require(self, principal: Principal, action: Action, topic: str) -> None:
        """Refuse what a principal may not do.

        Raises:
            Forbidden: no grant allows it; says the same for topics that do not exist.
        """
        if not self._open and not self.may(principal, action, topic):
            raise Forbidden(f"The principal has no grant to {action} on this topic.")

    def _decide(self, principal: Principal, action: Action, topic: str) -> bool:
        rules = [self._of_principals.get((name, action), ()) for name in (principal.name, "*")]
        rules += [self._of_roles.get((role, action), ()) for role in principal.roles]
        return any(matches(topic) for each in rules for matches in each)


def _matcher(pattern: str) -> _Matcher:
    """Whether a topic fits a pattern. A regular expression would go back for as long as whoever asks wants it to."""
    pieces = pattern.split("*")
    if len(pieces) == 1:
        return lambda topic: topic == pattern
    fits = in_order(pieces)
    return lambda topic: "\n" not in topic and fits(topic)


def policy(settings: AuthSettings) -> Policy:
    """The policy as configured: with anonymous callers there is nobody to tell apart, so all is allowed."""
    return Policy(None if settings.mode == "anonymous" else settings.grants)
