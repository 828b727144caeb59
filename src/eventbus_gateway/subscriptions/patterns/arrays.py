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

from eventbus_gateway.subscriptions.patterns.grammar import Term
from eventbus_gateway.subscriptions.patterns.paths import ABSENT, Event, Path, keys_in

# A place is a number; this one is the whole event.
_WHOLE = 0

# A value of the event and the place it is in.
_Found = tuple[Any, int]


def matches(terms: Sequence[Term], event: Event) -> bool:
    """Whether an event has values that satisfy all terms and agree on the elements they come from.

    Args:
        terms: sorted by the names of their paths.
        event: a parsed JSON object.
    """
    places = _Places()
    possible = {_WHOLE}
    before: Path | None = None
    for path, condition in terms:
        if before is not None:
            shared = _shared(before, path)
            possible = {places.up_to(place, shared) for place in possible}
        before = path
        found = places.values(event, path)
        hits = {place for value, place in found if condition.test(value)}
        after = places.inside(hits, possible) | places.inside(possible, hits)
        if condition.absent:
            after |= places.apart(possible, {place for _, place in found})
        if not after:
            return False
        possible = after
    return True


def scalars(event: Event, path: Path) -> Iterable[object]:
    """The values that an event has at a path, whichever elements they are in."""
    return (value for value, _ in _Places().values(event, path))


def _shared(one: Path, other: Path) -> int:
    count = 0
    for mine, theirs in zip(one.parts, other.parts, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


class _Places:
    """The elements of an event's arrays that were met so far."""

    def __init__(self) -> None:
        self._parent = [_WHOLE]
        self._depth = [0]
        self._known: dict[tuple[int, int], int] = {}

    def values(self, event: Event, path: Path) -> list[_Found]:
        """The scalars at a path, each with the place it is in."""
        nodes: list[_Found] = [(event, _WHOLE)]
        depth = 0
        for step in path.steps:
            nodes = self._step(nodes, step, depth)
            depth += step.count(".") + 1
        return [found for found in self._spread(nodes, depth) if not isinstance(found[0], dict)]

    def _step(self, nodes: list[_Found], step: str, depth: int) -> list[_Found]:
        found: list[_Found] = []
        for node, place in self._spread(nodes, depth):
            if not isinstance(node, dict):
                continue
            keys = keys_in(node, step)
            if len(keys) == 1:
                value = node.get(keys[0], ABSENT)
                if value is not ABSENT:
                    found.append((value, place))
                continue
            inner: list[_Found] = [(node, place)]
            for further, key in enumerate(keys):
                inner = self._step_undotted(inner, key, depth + further)
            found += inner
        return found

    def _step_undotted(self, nodes: list[_Found], key: str, depth: int) -> list[_Found]:
        return [
            (node[key], place) for node, place in self._spread(nodes, depth) if isinstance(node, dict) and key in node
        ]

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
        place = self._known.get((id(array), number))
        if place is None:
            place = self._known[id(array), number] = len(self._parent)
            self._parent.append(parent)
            self._depth.append(depth)
        return place

    def up_to(self, place: int, depth: int) -> int:
        """The innermost place around (or the same) whose array stands no more than so many keys below the root."""
        while place and self._depth[place] > depth:
            place = self._parent[place]
        return place

    def inside(self, places: set[int], others: set[int]) -> set[int]:
        """Those places that are one of the others or inside one."""
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

    def apart(self, places: set[int], others: set[int]) -> set[int]:
        """Those places that agree with none of the others."""
        around: set[int] = set()
        for other in others:
            at = other
            while at not in around:
                around.add(at)
                at = self._parent[at]
        return (places - around) - self.inside(places, others)
