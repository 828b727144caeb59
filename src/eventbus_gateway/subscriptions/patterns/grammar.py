"""From the JSON of a pattern to its branches.

A pattern says what its fields may be; all of them have to agree. Each ``$or`` multiplies the branches by its
alternatives, and a pattern matches when one of its branches does.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from eventbus_gateway.subscriptions.patterns.conditions import Condition
from eventbus_gateway.subscriptions.patterns.limits import Limits
from eventbus_gateway.subscriptions.patterns.operators import alternative, kind_of, refuse
from eventbus_gateway.subscriptions.patterns.paths import Path

# What happens to a field that is given twice in one branch: the last one counts, as in EventBridge, or it is a fault.
Repeated = Literal["last", "refused"]
# The name to use for a name at the top of a pattern, given its value and where it stands; raises InvalidFilter.
TopName = Callable[[str, Any, str], str]

_OR = "$or"

# Names of operators, past, present and announced: as a field they would be a mistake in an alternative.
_RESERVED = frozenset(
    (
        *("exactly", "equals-ignore-case", "prefix", "suffix", "wildcard", "anything-but", "exists"),
        *("numeric", "cidr", "=", "<", "<=", ">", ">=", "html", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    )
)


class Term(NamedTuple):
    """One field and what it may be."""

    path: Path
    condition: Condition


# The terms of one branch by the name of their path.
Terms = dict[str, Term]


class _Place(NamedTuple):
    pointer: str
    steps: tuple[str, ...]
    depth: int
    in_alternative: bool

    def pointer_to(self, name: str) -> str:
        return f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}"

    def member(self, name: str, step: str) -> "_Place":
        return self._replace(pointer=self.pointer_to(name), steps=(*self.steps, step), depth=self.depth + 1)

    def alternative(self, number: int) -> "_Place":
        return self._replace(pointer=f"{self.pointer}/{_OR}/{number}", depth=self.depth + 1, in_alternative=True)


class Grammar:
    """Reads one pattern.

    Args:
        limits: bounds of the pattern.
        repeated: what happens to a field that is given twice.
        top_name: renames what stands at the top.
    """

    def __init__(self, limits: Limits, repeated: Repeated, top_name: TopName) -> None:
        self._limits = limits
        self._repeated = repeated
        self._top_name = top_name
        self._values = 0
        self._operators = 0

    def branches(self, pattern: object) -> list[Terms]:
        """The branches of a pattern, in its order.

        Raises:
            InvalidFilter: it is no pattern, or exceeds a limit.
        """
        found: list[Terms] = []
        if not isinstance(pattern, dict):
            refuse("", f"expected an object, got {kind_of(pattern)}")
        self._object(pattern, _Place("", (), 1, in_alternative=False), found)
        return found

    def _object(self, node: dict[str, Any], place: _Place, branches: list[Terms]) -> None:
        if place.depth > self._limits.depth:
            refuse(place.pointer, f"more than {self._limits.depth} objects inside each other")
        if not node:
            refuse(place.pointer, "an empty object matches nothing in particular")
        for name, value in node.items():
            if name == _OR:
                self._alternatives(value, place, branches)
                continue
            if len(name) > self._limits.text:
                refuse(place.pointer, f"a name has more than {self._limits.text} characters")
            step = name if place.steps else self._top_name(name, value, place.pointer_to(name))
            below = place.member(name, step)
            if place.in_alternative and name in _RESERVED:
                refuse(below.pointer, f"the name of an operator cannot be a field inside {_OR}")
            if isinstance(value, dict):
                self._object(value, below, branches)
            elif isinstance(value, list):
                self._field(value, below, branches)
            else:
                refuse(below.pointer, f"expected an array of values or an object of fields, got {kind_of(value)}")

    def _alternatives(self, node: Any, place: _Place, branches: list[Terms]) -> None:
        pointer = f"{place.pointer}/{_OR}"
        if not isinstance(node, list):
            refuse(pointer, f"expected an array of objects, got {kind_of(node)}")
        if len(node) < 2:
            refuse(pointer, "expected at least two alternatives")
        before = branches[:] or [{}]
        branches.clear()
        for number, member in enumerate(node):
            below = place.alternative(number)
            if not isinstance(member, dict):
                refuse(below.pointer, f"expected an object, got {kind_of(member)}")
            forked = [dict(terms) for terms in before]
            self._object(member, below, forked)
            branches.extend(forked)
            self._bound(branches, pointer)

    def _field(self, values: list[Any], place: _Place, branches: list[Terms]) -> None:
        if not values:
            refuse(place.pointer, "expected at least one value")
        self._count(values, place.pointer)
        path = Path(place.steps)
        condition = Condition([alternative(value, f"{place.pointer}/{at}") for at, value in enumerate(values)])
        self._operators += condition.cost
        if self._operators > self._limits.operators:
            refuse(place.pointer, f"the pattern has more than {self._limits.operators} operators")
        if not branches:
            branches.append({})
        for terms in branches:
            if self._repeated == "refused" and path.name in terms:
                refuse(place.pointer, "the same field is given before, here or outside the $or")
            terms[path.name] = Term(path, condition)
        self._bound(branches, place.pointer)

    def _bound(self, branches: list[Terms], pointer: str) -> None:
        if len(branches) > self._limits.branches:
            refuse(pointer, f"all $or together have more than {self._limits.branches} combinations")
        if sum(map(len, branches)) > self._limits.terms:
            refuse(pointer, f"the combinations of all $or have more than {self._limits.terms} fields together")

    def _count(self, node: Any, pointer: str) -> None:
        """Look at everything below one field before anything is made of it."""
        left = [(node, 0)]
        while left:
            value, depth = left.pop()
            self._values += 1
            if self._values > self._limits.values:
                refuse(pointer, f"the pattern has more than {self._limits.values} values")
            if isinstance(value, str) and len(value) > self._limits.text:
                refuse(pointer, f"a value has more than {self._limits.text} characters")
            if isinstance(value, dict | list):
                if depth > _DEEPEST_VALUE:
                    refuse(pointer, "values and operators are not nested this deep")
                left.extend((inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value))


# A list of values, an operator, an operator inside it, its list.
_DEEPEST_VALUE = 3
