"""Matching where arrays stand on the way.

A path through an array has a value in each of its elements. A branch matches when its terms find values that agree:
where two of them come from the same array, they come from the same element of it. Elements of an array that are
scalars are values of the array's own path and belong to no element.

A term without a value (``exists: false``) is decided with the elements that the terms before it, in the order of
their paths, have settled on: a field is missing when those elements do not have it. (These are the rules of the
reference implementation, order included.)

How the cost stays bounded: terms are taken in the order of their paths, so those that share an array follow each
other, and all that has to be remembered between two terms is in which elements of the arrays that both share one
may be. That is a set of places in the event, each named by the deepest element; two places agree when one is inside
the other (or the same). Going from one term to the next touches each place of the event a fixed number of times,
whatever the combinations: terms times values, never a product of arrays.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from eventbus_gateway.subscriptions.patterns.conditions import Condition, key_of
from eventbus_gateway.subscriptions.patterns.grammar import Term
from eventbus_gateway.subscriptions.patterns.paths import Event, Path

# A place is a number; this one is the whole event.
_WHOLE = 0

# A value of the event and the place it is in.
_Found = tuple[Any, int]


class Elements:
    """The elements of one event's arrays, as far as patterns look into them.

    What was looked up once is kept, for further branches and patterns that look at the same event.

    Args:
        event: a parsed JSON object, which must not change.
    """

    def __init__(self, event: Event) -> None:
        self._event = event
        self._parent = [_WHOLE]
        self._depth = [0]
        self._known: dict[tuple[int, int, int], int] = {}
        self._fields: dict[tuple[str, ...], _Field] = {}

    def satisfy(self, terms: Sequence[Term]) -> bool:
        """Whether the event has values that satisfy all terms and agree on the elements they come from.

        Args:
            terms: sorted by the names of their paths.
        """
        possible = {_WHOLE}
        before: Path | None = None
        for path, condition in terms:
            if before is not None:
                shared = _shared(before, path)
                possible = {self._up_to(place, shared) for place in possible}
            before = path
            field = self._field(path)
            hits = field.places_of(condition)
            after = self._inside(hits, possible) | self._inside(possible, hits)
            if condition.absent:
                after |= self._apart(possible, field.places)
            if not after:
                return False
            possible = after
        return True

    def keys(self, path: Path) -> Iterable[object]:
        """The keys of the values that the event has at a path, whichever elements they are in."""
        return self._field(path).by_key

    def _field(self, path: Path) -> "_Field":
        field = self._fields.get(path.steps)
        if field is None:
            field = self._fields[path.steps] = _Field(self._values(path))
        return field

    def _values(self, path: Path) -> list[_Found]:
        nodes: list[_Found] = [(self._event, _WHOLE)]
        depth = 0
        for step, parts in zip(path.steps, path.ways, strict=True):
            spread = self._spread(nodes, depth)
            nodes = [(node[step], place) for node, place in spread if isinstance(node, dict) and step in node]
            if len(parts) > 1:
                without = [(node, place) for node, place in spread if isinstance(node, dict) and step not in node]
                nodes += self._through(without, parts, depth)
            depth += len(parts)
        return [found for found in self._spread(nodes, depth) if not isinstance(found[0], dict)]

    def _through(self, nodes: list[_Found], keys: tuple[str, ...], depth: int) -> list[_Found]:
        for further, key in enumerate(keys):
            spread = self._spread(nodes, depth + further)
            nodes = [(node[key], place) for node, place in spread if isinstance(node, dict) and key in node]
        return nodes

    def _spread(self, nodes: list[_Found], depth: int) -> list[_Found]:
        """Arrays replaced by what is in them, without recursion: events may nest deeper than Python's stack."""
        if not any(isinstance(node, list) for node, _ in nodes):
            return nodes
        spread: list[_Found] = []
        left = nodes[:]
        while left:
            node, place = left.pop()
            if not isinstance(node, list):
                spread.append((node, place))
                continue
            for number, element in enumerate(node):
                if isinstance(element, list):
                    left.append((element, self._element(node, number, place, depth)))
                elif isinstance(element, dict):
                    spread.append((element, self._element(node, number, place, depth)))
                else:
                    spread.append((element, place))
        return spread

    def _element(self, array: list[Any], number: int, parent: int, depth: int) -> int:
        known = (parent, id(array), number)
        place = self._known.get(known)
        if place is None:
            place = self._known[known] = len(self._parent)
            self._parent.append(parent)
            self._depth.append(depth)
        return place

    def _up_to(self, place: int, depth: int) -> int:
        """The innermost place around (or the same) whose array stands no more than so many keys below the root."""
        while place and self._depth[place] > depth:
            place = self._parent[place]
        return place

    def _inside(self, places: set[int], others: set[int]) -> set[int]:
        """Those places that are one of the others or inside one."""
        if _WHOLE in others:
            return places
        known = dict.fromkeys(others, True)
        for place in places:
            way: list[int] = []
            at = place
            while at not in known and at != _WHOLE:
                way.append(at)
                at = self._parent[at]
            answer = known.get(at, False)
            known.update(dict.fromkeys(way, answer))
            known.setdefault(at, answer)
        return {place for place in places if known[place]}

    def _apart(self, places: set[int], others: set[int]) -> set[int]:
        """Those places that agree with none of the others."""
        around: set[int] = set()
        for other in others:
            at = other
            while at not in around:
                around.add(at)
                at = self._parent[at]
        return (places - around) - self._inside(places, others)


class _Field:
    """The values at one path of one event, and where they are."""

    __slots__ = ("_found", "_hits", "by_key", "places")

    def __init__(self, found: list[_Found]) -> None:
        self._found = found
        # Branches of one pattern share the conditions that stand outside of an $or.
        self._hits: dict[Condition, set[int]] = {}
        self.places = {place for _, place in found}
        self.by_key: dict[object, set[int]] = {}
        for value, place in found:
            self.by_key.setdefault(key_of(value), set()).add(place)

    def places_of(self, condition: Condition) -> set[int]:
        """Where there are values that meet a condition."""
        hits = self._hits.get(condition)
        if hits is None:
            if condition.plain:
                hits = set[int]().union(*(self.by_key[key] for key in condition.keys if key in self.by_key))
            else:
                hits = {place for value, place in self._found if condition.test(value)}
            self._hits[condition] = hits
        return hits


def _shared(one: Path, other: Path) -> int:
    count = 0
    for mine, theirs in zip(one.parts, other.parts, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
