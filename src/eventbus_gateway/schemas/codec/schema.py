"""A schema as the compilers see it: leaves, arrays, maps, unions and records with every name resolved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Dialect = Literal["plain", "avro"]
Unknown = Literal["refuse", "ignore"]

MAX_NESTING = 64
"""Levels of records, arrays and maps: of a schema's own structure, and of data where the schema recurses."""


@dataclass(eq=False, slots=True)
class Leaf:
    """A type without inner types, bound to a dialect.

    Args:
        kind: Avro type on the wire.
        tag: how Avro's JSON encoding names it as a union branch.
        expected: what fault texts call it.
        takes: JSON kinds that can fit, each with its rank among a union's branches (the lowest is tried first).
        gives: JSON kinds that decoding can produce.
        pack: encodes a JSON value, raises Misfit.
        show: turns the value read from the wire into JSON, raises Damage; None where it is JSON already.
        inline: the generated code may use its own fast form of ``pack``.
        per_second: of a timestamp whose common text may be read in line: its units in a second.
        form: of a string, what it has to be once each of its hexadecimal digits is a 0; empty where any text does.
        size: bytes of a fixed.
        symbols: of an enum.
    """

    kind: str
    tag: str
    expected: str
    takes: Mapping[type, int]
    gives: frozenset[type]
    pack: Callable[[Any], bytes]
    show: Callable[[Any], Any] | None = None
    inline: bool = False
    form: bytes = b""
    per_second: int = 0
    size: int = 0
    symbols: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Array:
    """A list whose items have one type."""

    items: "Node"


@dataclass(eq=False, slots=True)
class Map:
    """An object with any keys whose values have one type."""

    values: "Node"


@dataclass(eq=False, slots=True)
class Union:
    """One of several types, told apart by an index on the wire."""

    branches: tuple["Node", ...]


@dataclass(eq=False, slots=True)
class Field:
    """A field of a record.

    Args:
        name: the key in JSON.
        node: its type.
        aliases: other keys that are accepted when the name is absent.
        has_default: whether the schema gives a default.
        default: the default as the schema spells it.
        default_bytes: the encoded default, once it is resolved.
        optional: whether the encoder may fill the default in.
    """

    name: str
    node: "Node"
    aliases: tuple[str, ...] = ()
    has_default: bool = False
    default: Any = None
    default_bytes: bytes = b""
    optional: bool = False


@dataclass(eq=False, slots=True)
class Record:
    """An object with named fields.

    Args:
        name: full name.
        fields: in wire order; filled in after the record is known by name.
        uses: how many places of the schema have this type.
        recursive: the record can contain itself, so nesting is checked when it is entered.
    """

    name: str
    fields: list[Field] = field(default_factory=list)
    uses: int = 0
    recursive: bool = False


Node = Leaf | Array | Map | Union | Record


def children(node: Node) -> tuple[Node, ...]:
    """The types directly inside a type."""
    if isinstance(node, Array):
        return (node.items,)
    if isinstance(node, Map):
        return (node.values,)
    if isinstance(node, Union):
        return node.branches
    if isinstance(node, Record):
        return tuple(each.node for each in node.fields)
    return ()


def tag_of(node: Node) -> str:
    """How Avro's JSON encoding names a type as a union branch."""
    if isinstance(node, Leaf):
        return node.tag
    if isinstance(node, Record):
        return node.name
    return {Array: "array", Map: "map", Union: "union"}[type(node)]


def expected_of(node: Node) -> str:
    """What fault texts call a type."""
    if isinstance(node, Leaf):
        return node.expected
    if isinstance(node, Record):
        return f"an object ({node.name})"
    if isinstance(node, Union):
        return listed([expected_of(branch) for branch in node.branches])
    return "an array" if isinstance(node, Array) else "an object (map)"


def listed(words: list[str], limit: int = 10) -> str:
    """``a, b or c``; a long list is cut."""
    if len(words) > limit:
        return f"{', '.join(words[:limit])} or {len(words) - limit} others"
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "nothing"
