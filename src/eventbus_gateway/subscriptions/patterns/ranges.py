"""Tests of numbers against one or two bounds."""

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal

from eventbus_gateway.subscriptions.patterns.numeric import comparable

Test = Callable[[object], bool]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def beyond(sign: str, bound: float) -> Test:
    """A test for numbers on one side of a bound."""
    compare = _COMPARE[sign]

    def test(value: object) -> bool:
        number = _number(value)
        return number is not None and compare(number, bound)

    return test


def between(low: str, bottom: float, high: str, top: float) -> Test:
    """A test for numbers between two bounds, each with ``=`` or without."""
    above, below = _COMPARE[low], _COMPARE[high]

    def test(value: object) -> bool:
        number = _number(value)
        return number is not None and above(number, bottom) and below(number, top)

    return test


def _number(value: object) -> int | float | None:
    kind = value.__class__
    if kind is float or kind is int:
        return comparable(value)  # type: ignore[arg-type]
    return comparable(value) if isinstance(value, Decimal) else None
