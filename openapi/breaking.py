"""``python -m openapi.breaking OLD NEW`` tells what of a contract's change breaks clients of the former one.

What a request may be is looked at in one direction and what an answer may be in the other: a client goes on sending
what it sent, and goes on understanding what it understood. Words, examples and the order of things do not count.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from openapi.build import SOURCE, document

Node = Mapping[str, Any]

RELEASED = SOURCE.with_name("released.yaml")
METHODS = ("get", "put", "post", "delete", "patch")
_LOWER = ("maximum", "maxLength", "maxItems", "maxProperties")
_HIGHER = ("minimum", "minLength", "minItems", "minProperties")
_ALTERNATIVES = ("oneOf", "anyOf")
# Deeper than any body of the contract; what is within itself ends here.
_MAX_DEPTH = 12


class Break(NamedTuple):
    """What breaks clients.

    Args:
        place: operation and place within it.
        what: a sentence.
    """

    place: str
    what: str


class _Side(NamedTuple):
    document: Node

    def at(self, node: Node) -> Node:
        """What a reference stands for."""
        while "$ref" in node:
            found: Any = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node


class _Sides(NamedTuple):
    old: _Side
    new: _Side
    is_request: bool


def breaks(old: Node, new: Node) -> list[Break]:
    """What of a new contract breaks clients of an old one.

    Args:
        old: an OpenAPI 3.1 document.
        new: another one.
    """
    return list(dict.fromkeys(_breaks(_Side(old), _Side(new))))


def _breaks(old: _Side, new: _Side) -> Iterator[Break]:
    for path, item in old.document["paths"].items():
        there = new.document["paths"].get(path)
        if there is None:
            yield Break(path, "the path is gone")
            continue
        for method in METHODS:
            place = f"{method.upper()} {path}"
            if method in item and method not in there:
                yield Break(place, "the method is gone")
            elif method in item:
                requests, answers = _Sides(old, new, True), _Sides(old, new, False)
                before, after = item[method], there[method]
                yield from _credentials(old, new, before, after, place)
                yield from _parameters(requests, _given(old, item, before), _given(new, there, after), place)
                yield from _bodies(requests, before, after, place)
                yield from _responses(answers, before["responses"], after["responses"], place)


def _credentials(old: _Side, new: _Side, before: Node, after: Node, place: str) -> Iterator[Break]:
    was = before.get("security", old.document.get("security", []))
    now = after.get("security", new.document.get("security", []))
    if not was and now:
        yield Break(place, "a credential is asked for")
    elif now and any(each not in now for each in was):
        yield Break(place, "a kind of credential is not taken any more")


def _given(side: _Side, item: Node, operation: Node) -> dict[tuple[str, str], Node]:
    found = (side.at(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ())))
    return {(each["in"], each["name"].lower() if each["in"] == "header" else each["name"]): each for each in found}


def _parameters(
    sides: _Sides, before: Mapping[tuple[str, str], Node], after: Mapping[tuple[str, str], Node], place: str
) -> Iterator[Break]:
    for key, each in before.items():
        here = f"{place}, {' '.join(key)}"
        if key not in after:
            yield Break(here, "the parameter is gone")
        else:
            yield from _schema(sides, each["schema"], after[key]["schema"], here)
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield Break(f"{place}, {' '.join(key)}", "the parameter is required now")


def _bodies(sides: _Sides, before: Node, after: Node, place: str) -> Iterator[Break]:
    was, now = (side.at(each.get("requestBody", {})) for side, each in ((sides.old, before), (sides.new, after)))
    if now.get("required") and not was.get("required"):
        yield Break(f"{place}, request", "a body is required now")
    yield from _contents(sides, was.get("content", {}), now.get("content", {}), f"{place}, request")


def _responses(sides: _Sides, before: Node, after: Node, place: str) -> Iterator[Break]:
    for status, each in before.items():
        here = f"{place}, {status}"
        if status not in after:
            yield Break(here, "the response is gone")
            continue
        was, now = sides.old.at(each), sides.new.at(after[status])
        present = {name.lower() for name in now.get("headers", {})}
        for name in was.get("headers", {}):
            if name.lower() not in present:
                yield Break(f"{here}, header {name}", "the header is gone")
        yield from _contents(sides, was.get("content", {}), now.get("content", {}), here)


def _contents(sides: _Sides, before: Node, after: Node, place: str) -> Iterator[Break]:
    for media, each in before.items():
        if media in after:
            yield from _schema(sides, each["schema"], after[media]["schema"], f"{place}, {media}")
        else:
            yield Break(f"{place}, {media}", "the media type is gone")


def _schema(sides: _Sides, before: Node, after: Node, place: str, depth: int = 0) -> Iterator[Break]:
    """What breaks where a value of one schema becomes one of another."""
    if depth > _MAX_DEPTH:
        return
    was, now = _flat(sides.old, before), _flat(sides.new, after)
    if sides.is_request:
        yield from _narrowed(was, now, place)
        for name in sorted(set(now.get("required", ())) - set(was.get("required", ()))):
            yield Break(f"{place}/{name}", "the member is required now")
        if now.get("additionalProperties") is False and was.get("additionalProperties", True) is not False:
            yield Break(place, "further members are not taken any more")
    else:
        yield from _widened(was, now, place)
        for name in sorted(set(was.get("required", ())) - set(now.get("required", ()))):
            yield Break(f"{place}/{name}", "the member does not always come any more")
    for name, each in was.get("properties", {}).items():
        if name not in now.get("properties", {}):
            yield Break(f"{place}/{name}", "the member is gone")
        else:
            yield from _schema(sides, each, now["properties"][name], f"{place}/{name}", depth + 1)
    for name in ("items", "additionalProperties"):
        if isinstance(was.get(name), dict) and isinstance(now.get(name), dict):
            yield from _schema(sides, was[name], now[name], f"{place}/*", depth + 1)
    yield from _alternatives(sides, was, now, place, depth)


def _alternatives(sides: _Sides, was: Node, now: Node, place: str, depth: int) -> Iterator[Break]:
    """Alternatives keep their order; one that is new comes last."""
    for word in _ALTERNATIVES:
        before, after = was.get(word, ()), now.get(word, ())
        if word in was and len(after) < len(before):
            yield Break(place, "an alternative is gone")
        elif not sides.is_request and word in was and len(after) > len(before):
            yield Break(place, "there is another alternative")
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from _schema(sides, one, other, f"{place}({number})", depth + 1)


def _narrowed(was: Node, now: Node, place: str) -> Iterator[Break]:
    """What was sent and is refused now."""
    if "enum" in now and not _values(was) <= _values(now):
        yield Break(place, "a value is not taken any more")
    if "type" in now and not _kinds(was) <= _kinds(now):
        yield Break(place, "a type is not taken any more")
    for names, is_narrower in ((_LOWER, float.__lt__), (_HIGHER, float.__gt__)):
        for name in names:
            if name in now and (name not in was or is_narrower(float(now[name]), float(was[name]))):
                yield Break(place, f"{name} is narrower")
    for name in ("pattern", "format", "uniqueItems"):
        if name in now and now[name] != was.get(name):
            yield Break(place, f"{name} is another one")


def _widened(was: Node, now: Node, place: str) -> Iterator[Break]:
    """What comes now and did not come before; enumerations may grow: clients decide by what they know of codes."""
    if "type" in was and not _kinds(now) <= _kinds(was):
        yield Break(place, "another type can come")
    if "enum" in was and not _values(was) <= _values(now) and "enum" in now:
        yield Break(place, "a value does not come any more")
    if "enum" in was and "enum" not in now:
        yield Break(place, "any value can come")
    if "const" in was and was["const"] != now.get("const", was["const"] if "const" in now else object()):
        yield Break(place, "another value comes")


def _values(schema: Node) -> set[str]:
    """Values of an enumeration; of none, something that no other one has."""
    return {repr(each) for each in schema["enum"]} if "enum" in schema else {"any"}


def _kinds(schema: Node) -> set[str]:
    kinds = schema.get("type", ["any"])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    return found | {"integer"} if "number" in found else found


def _flat(side: _Side, schema: Node) -> dict[str, Any]:
    """A schema with the parts that all have to hold put together."""
    schema = side.at(schema)
    found: dict[str, Any] = {}
    for part in (*(_flat(side, each) for each in schema.get("allOf", ())), schema):
        for name, value in part.items():
            if name == "properties":
                known = found.get(name, {})
                # Of a member that two parts speak of, both hold.
                both = {key: {"allOf": [known[key], each]} if key in known else each for key, each in value.items()}
                found[name] = {**known, **both}
            elif name == "required":
                found[name] = [*found.get(name, ()), *value]
            elif name != "allOf":
                found[name] = value
    return found


def main(old: Path, new: Path) -> int:
    """Print what breaks; the exit status."""
    found = breaks(document(old), document(new))
    for each in found:
        sys.stdout.write(f"{each.place}: {each.what}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
