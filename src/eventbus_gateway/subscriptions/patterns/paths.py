"""Where a pattern looks: the way from the root of an event to the values of one field.

A step is a key as the pattern spells it. A key with dots names the event's key of that very spelling where there is
one, and the way through nested objects where there is none.
"""

from collections.abc import Callable
from typing import Any, Final

Event = dict[str, Any]


class Nothing:
    """What stands for a value that is not there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


# Nothing is at the path: no such key, or an object, which has fields but no value of its own.
ABSENT: Final = Nothing("ABSENT")
# An array stands on the way, so that the path can have many values, each inside some of the array's elements.
MANY: Final = Nothing("MANY")


class Path:
    """The way to one field.

    Args:
        steps: keys from the root on, as the pattern spells them; at least one.
    """

    __slots__ = ("name", "parts", "steps", "value", "ways")

    def __init__(self, steps: tuple[str, ...]) -> None:
        self.steps = steps
        self.name = ".".join(steps)
        self.parts = tuple(self.name.split("."))
        # For each step the keys to follow where there is none of its spelling.
        self.ways = tuple(tuple(step.split(".")) for step in steps)
        # The value in an event: a scalar, an array at the very end of the way, ABSENT or MANY.
        self.value: Callable[[Event], object] = _walk(steps, self.ways)

    @property
    def fields(self) -> frozenset[str]:
        """The names at the top of an event that it can go through."""
        return frozenset((self.steps[0], self.parts[0]))


def _walk(steps: tuple[str, ...], ways: tuple[tuple[str, ...], ...]) -> Callable[[Event], object]:
    if any(len(way) > 1 for way in ways):
        return _dotted(steps, ways)
    if len(steps) == 1:
        return _one(steps[0])
    if len(steps) == 2:
        return _two(*steps)
    return _any(steps)


def _one(key: str) -> Callable[[Event], object]:
    def value(event: Event) -> object:
        leaf = event.get(key, ABSENT)
        return ABSENT if leaf.__class__ is dict else leaf

    return value


def _two(first: str, second: str) -> Callable[[Event], object]:
    def value(event: Event) -> object:
        node = event.get(first)
        if node.__class__ is dict:
            leaf = node.get(second, ABSENT)
            return ABSENT if leaf.__class__ is dict else leaf
        return MANY if node.__class__ is list else ABSENT

    return value


def _any(steps: tuple[str, ...]) -> Callable[[Event], object]:
    *before, last = steps

    def value(event: Event) -> object:
        node: Any = event
        for step in before:
            node = node.get(step)
            if node.__class__ is not dict:
                return MANY if node.__class__ is list else ABSENT
        leaf = node.get(last, ABSENT)
        return ABSENT if leaf.__class__ is dict else leaf

    return value


def _dotted(steps: tuple[str, ...], ways: tuple[tuple[str, ...], ...]) -> Callable[[Event], object]:
    either = [((step,), way) for step, way in zip(steps, ways, strict=True)]

    def value(event: Event) -> object:
        node: Any = event
        for spelled, way in either:
            if node.__class__ is not dict:
                return MANY if node.__class__ is list else ABSENT
            for key in spelled if spelled[0] in node else way:
                if node.__class__ is not dict:
                    return MANY if node.__class__ is list else ABSENT
                node = node.get(key, ABSENT)
        return ABSENT if node.__class__ is dict else node

    return value
