"""From one entry of a list of values to what it matches."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from eventbus_gateway.errors import Fault, InvalidFilter
from eventbus_gateway.pieces import in_order
from eventbus_gateway.subscriptions.patterns import addresses, folding, wildcards
from eventbus_gateway.subscriptions.patterns.conditions import (
    Alternative,
    Test,
    is_present,
    key_of,
    one_of,
    present_but,
)
from eventbus_gateway.subscriptions.patterns.numeric import comparable, is_number
from eventbus_gateway.subscriptions.patterns.ranges import between, beyond

Read = Callable[[Any, str], Alternative]


def alternative(value: Any, pointer: str) -> Alternative:
    """What one entry of a list of values matches.

    Args:
        value: a scalar, or an object with one operator.
        pointer: where it stands.

    Raises:
        InvalidFilter: it is no such thing.
    """
    if isinstance(value, dict):
        operator, operand, inner = _only_member(value, pointer, _OPERATORS)
        return _OPERATORS[operator](operand, inner)
    if isinstance(value, str):
        return _text_or_address(value)
    if isinstance(value, list):
        refuse(pointer, "expected a string, number, true, false, null or an object with an operator, got an array")
    return Alternative(keys=frozenset((key_of(value),)))


def _text_or_address(text: str) -> Alternative:
    address = addresses.address(text)
    if address is None:
        return Alternative(keys=frozenset((text,)))
    return Alternative(block=addresses.single(address))


def _exactly(operand: Any, pointer: str) -> Alternative:
    return Alternative(keys=frozenset((_string(operand, pointer),)))


def _prefix(operand: Any, pointer: str) -> Alternative:
    if isinstance(operand, dict):
        return Alternative(test=folding.starting_with(_ignoring_case(operand, pointer)))
    return Alternative(test=_starts_with(_string(operand, pointer)))


def _suffix(operand: Any, pointer: str) -> Alternative:
    if isinstance(operand, dict):
        return Alternative(test=folding.ending_with(_ignoring_case(operand, pointer)))
    return Alternative(test=_ends_with(_string(operand, pointer)))


def _equals_ignore_case(operand: Any, pointer: str) -> Alternative:
    return Alternative(test=folding.equal_to(_string(operand, pointer)))


def _wildcard(operand: Any, pointer: str) -> Alternative:
    pieces = _pieces(operand, pointer)
    if len(pieces) == 1:
        return Alternative(keys=frozenset(pieces))
    return Alternative(test=in_order(pieces))


def _cidr(operand: Any, pointer: str) -> Alternative:
    try:
        return Alternative(block=addresses.block(_string(operand, pointer)))
    except ValueError as error:
        refuse(pointer, str(error))


def _exists(operand: Any, pointer: str) -> Alternative:
    if not isinstance(operand, bool):
        refuse(pointer, f"expected true or false, got {kind_of(operand)}")
    return Alternative(test=is_present) if operand else Alternative(absent=True)


def _numeric(operand: Any, pointer: str) -> Alternative:
    if not isinstance(operand, list):
        refuse(pointer, f"expected an array of operators and numbers, got {kind_of(operand)}")
    comparisons = list(_comparisons(operand, pointer))
    if len(comparisons) == 1:
        sign, number = comparisons[0]
        return Alternative(keys=frozenset((number,))) if sign == "=" else Alternative(test=beyond(sign, number))
    (low, bottom), (high, top) = comparisons
    if low not in _LOWER or high not in _UPPER:
        refuse(pointer, 'two comparisons are a lower bound (">" or ">=") and then an upper bound ("<" or "<=")')
    if bottom >= top:
        refuse(pointer, "the lower bound must be less than the upper bound")
    return Alternative(test=between(low, bottom, high, top))


_LOWER = (">", ">=")
_UPPER = ("<", "<=")
_SIGNS = ("=", *_LOWER, *_UPPER)


def _comparisons(operand: list[Any], pointer: str) -> list[tuple[str, int | float]]:
    if len(operand) not in {2, 4}:
        refuse(pointer, "expected one or two comparisons, each an operator and a number")
    found: list[tuple[str, int | float]] = []
    for place in range(0, len(operand), 2):
        sign, number = operand[place : place + 2]
        if not isinstance(sign, str) or sign not in _SIGNS:
            refuse(f"{pointer}/{place}", f"expected one of {', '.join(_SIGNS)}")
        found.append((sign, _number(number, f"{pointer}/{place + 1}")))
    return found


def _anything_but(operand: Any, pointer: str) -> Alternative:
    if isinstance(operand, dict):
        operator, inner, below = _only_member(operand, pointer, _INSIDE_ANYTHING_BUT)
        values = _several(inner, below)
        read = _INSIDE_ANYTHING_BUT[operator]
        tests = [_as_test(read(value, place)) for value, place in values]
        return Alternative(test=present_but(tests), cost=len(tests))
    values = _several(operand, pointer)
    for value, place in values:
        if isinstance(value, str) != isinstance(values[0][0], str):
            refuse(place, "expected only strings or only numbers")
        if not isinstance(value, str):
            _number(value, place, "a string or a number")
    return Alternative(test=present_but([one_of(frozenset(key_of(value) for value, _ in values))]))


def _several(operand: Any, pointer: str) -> list[tuple[Any, str]]:
    """One value, or those of an array, each with its pointer."""
    if not isinstance(operand, list):
        return [(operand, pointer)]
    if not operand:
        refuse(pointer, "an empty array excludes nothing")
    return [(value, f"{pointer}/{place}") for place, value in enumerate(operand)]


def _as_test(one: Alternative) -> Test:
    return one_of(one.keys) if one.test is None else one.test


def _excluded_start(operand: Any, pointer: str) -> Alternative:
    return Alternative(test=_starts_with(_not_empty(operand, pointer)))


def _excluded_end(operand: Any, pointer: str) -> Alternative:
    return Alternative(test=_ends_with(_not_empty(operand, pointer)))


def _not_empty(operand: Any, pointer: str) -> str:
    if operand == "":
        refuse(pointer, "an empty string would exclude every string")
    return _string(operand, pointer)


def _starts_with(start: str) -> Test:
    return lambda value: isinstance(value, str) and value.startswith(start)


def _ends_with(end: str) -> Test:
    return lambda value: isinstance(value, str) and value.endswith(end)


def _pieces(operand: Any, pointer: str) -> list[str]:
    try:
        return wildcards.split(_string(operand, pointer))
    except ValueError as error:
        refuse(pointer, str(error))


def _ignoring_case(operand: dict[str, Any], pointer: str) -> str:
    _, text, inner = _only_member(operand, pointer, ("equals-ignore-case",))
    return _string(text, inner)


def _string(operand: Any, pointer: str) -> str:
    if not isinstance(operand, str):
        refuse(pointer, f"expected a string, got {kind_of(operand)}")
    return operand


def _number(operand: Any, pointer: str, expected: str = "a number") -> int | float:
    if not is_number(operand):
        refuse(pointer, f"expected {expected}, got {kind_of(operand)}")
    number = comparable(operand)
    if number is None:
        refuse(pointer, "the number is too large or too precise to be compared: it has to fit an IEEE 754 double")
    return number


def _only_member(
    operand: dict[str, Any], pointer: str, allowed: Mapping[str, Read] | tuple[str, ...]
) -> tuple[str, Any, str]:
    """The single member of an object: its name, its value and where that stands."""
    if len(operand) != 1:
        refuse(pointer, f"expected an object with one operator, got {len(operand)} members")
    ((name, value),) = operand.items()
    if name not in allowed:
        refuse(pointer, f"unknown operator; expected {', '.join(allowed)}")
    return name, value, f"{pointer}/{name}"


def kind_of(value: object) -> str:
    """The JSON kind of a value, for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "an array"
    return "an object" if isinstance(value, dict) else "a number"


def refuse(pointer: str, detail: str) -> NoReturn:
    """Say what is wrong with a pattern.

    Raises:
        InvalidFilter: always.
    """
    raise InvalidFilter(f"The filter cannot be used: {detail}.", [Fault(pointer, detail)])


_OPERATORS: Mapping[str, Read] = {
    "exactly": _exactly,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
}

_INSIDE_ANYTHING_BUT: Mapping[str, Read] = {
    "prefix": _excluded_start,
    "suffix": _excluded_end,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
}
