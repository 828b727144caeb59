"""Event patterns the simple way: every combination is tried, nothing is compiled.

An event is a list of fields, each with a name, a value and the elements of arrays it is in. A branch of a pattern
takes one field for each of its names, in the order of the names; no two may be in different elements of one array.
"""

from collections.abc import Iterator
from typing import Any

Elements = dict[int, int]
Field = tuple[str, Any, Elements]
Values = dict[str, list[Any]]


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    fields = list(flat(event, "", {}, iter(range(10**9))))
    return any(agrees(sorted(branch.items()), fields, {}) for branch in branches(pattern, "", [{}]))


def branches(pattern: dict[str, Any], before: str, so_far: list[Values]) -> list[Values]:
    for name, wanted in pattern.items():
        if name == "$or":
            so_far = [made for one in wanted for made in branches(one, before, [dict(branch) for branch in so_far])]
        elif isinstance(wanted, dict):
            so_far = branches(wanted, f"{before}{name}.", so_far)
        else:
            so_far = [{**branch, before + name: wanted} for branch in so_far]
    return so_far


def flat(node: Any, name: str, elements: Elements, arrays: Iterator[int]) -> Iterator[Field]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{name}.{key}" if name else key, elements, arrays)
    elif isinstance(node, list):
        array = next(arrays)
        for number, value in enumerate(node):
            if isinstance(value, dict | list):
                yield from flat(value, name, {**elements, array: number}, arrays)
            else:
                yield name, value, elements
    else:
        yield name, node, elements


def agrees(terms: list[tuple[str, list[Any]]], fields: list[Field], elements: Elements) -> bool:
    if not terms:
        return True
    (name, wanted), *rest = terms
    usable = [
        (value, inside)
        for field, value, inside in fields
        if field == name and all(elements.get(array, number) == number for array, number in inside.items())
    ]
    if any(
        accepts(one, value) and agrees(rest, fields, {**elements, **inside})
        for value, inside in usable
        for one in wanted
    ):
        return True
    return {"exists": False} in wanted and not usable and agrees(rest, fields, elements)


def accepts(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return type_of(wanted) == type_of(value) and bool(wanted == value)
    ((operator, operand),) = wanted.items()
    if operator == "anything-but":
        return not any(accepts(one, value) for one in excluded(operand))
    if operator == "exists":
        return bool(operand)
    if operator == "numeric":
        return type_of(value) == "number" and all(
            compared(value, sign, bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True)
        )
    return isinstance(value, str) and accepts_text(operator, operand, value)


def excluded(operand: Any) -> list[Any]:
    if isinstance(operand, dict):
        ((operator, texts),) = operand.items()
        return [{operator: text} for text in (texts if isinstance(texts, list) else [texts])]
    return operand if isinstance(operand, list) else [operand]


def accepts_text(operator: str, operand: Any, value: str) -> bool:
    if isinstance(operand, dict):
        return accepts_text(operator, operand["equals-ignore-case"].lower(), value.lower())
    if operator == "prefix":
        return value.startswith(str(operand))
    if operator == "suffix":
        return value.endswith(str(operand))
    if operator == "equals-ignore-case":
        return value.lower() == str(operand).lower()
    if operator == "exactly":
        return value == str(operand)
    assert operator == "wildcard"
    return wild(operand, value)


def wild(pattern: str, value: str) -> bool:
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(wild(pattern[1:], value[start:]) for start in range(len(value) + 1))
    literal, rest = (pattern[1], pattern[2:]) if pattern[0] == "\\" else (pattern[0], pattern[1:])
    return value[:1] == literal and wild(rest, value[1:])


def compared(value: float, sign: str, bound: float) -> bool:
    return {
        "=": value == bound,
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
    }[sign]


def type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
