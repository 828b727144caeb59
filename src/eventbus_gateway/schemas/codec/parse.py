"""Avro schema text to a resolved schema.

Source: Avro specification 1.12, "Schema Declaration" and "Names".
"""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec import leaves
from eventbus_gateway.schemas.codec.logical import annotated
from eventbus_gateway.schemas.codec.schema import (
    MAX_NESTING,
    Array,
    Dialect,
    Field,
    Leaf,
    Map,
    Node,
    Record,
    Union,
    tag_of,
)

MAX_PARTS = 10_000
"""Types, fields and branches of one schema: compiling takes about 0.1 to 0.2 ms for each."""
MAX_SYMBOLS = 100_000
"""Symbols of one enum."""
MAX_BRANCHES = 1_000
"""Branches of one union."""
MAX_FIXED_BYTES = 16_777_216

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_NAMED = ("record", "error", "enum", "fixed")
_COMPLEX = (*_NAMED, "array", "map")


def parse(text: str, named: Sequence[str], dialect: Dialect) -> Node:
    """The schema with all its names resolved.

    Args:
        text: the schema as JSON.
        named: schemas that it refers to, in an order in which each one needs earlier ones only.
        dialect: of the JSON side of its leaves.

    Raises:
        SchemaUnusable: it is no Avro schema, or larger than the bounds.
    """
    names = _Names(dialect)
    for each in dict.fromkeys(named):
        names.node(_json(each), "", 0)
    return names.node(_json(text), "", 0)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise SchemaUnusable("The schema is not valid JSON.") from None


def _shown(name: object) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "…") if isinstance(name, str) else "an unnamed type"


class _Names:
    """The named types read so far, and the bounds on what is still read."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[str, Leaf | Record] = {}
        self._parts = 0

    def node(self, schema: Any, namespace: str, level: int) -> Node:
        self._count(1)
        if level > MAX_NESTING:
            raise SchemaUnusable(f"The schema nests types deeper than {MAX_NESTING} levels.")
        if isinstance(schema, str):
            return self._reference(schema, namespace)
        if isinstance(schema, list):
            return self._union(schema, namespace, level)
        if not isinstance(schema, dict):
            raise SchemaUnusable("A type is neither a name nor an object nor a list.")
        kind = schema.get("type")
        if not isinstance(kind, str):
            return self.node(kind, namespace, level + 1)
        if kind in _NAMED:
            return self._named(kind, schema, namespace, level)
        if kind == "array":
            return Array(self.node(schema.get("items"), namespace, level + 1))
        if kind == "map":
            return Map(self.node(schema.get("values"), namespace, level + 1))
        leaf = leaves.primitive(kind, self._dialect)
        return annotated(leaf, schema, self._dialect) if leaf else self._reference(kind, namespace)

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise SchemaUnusable(f"The schema has more than {MAX_PARTS} types, fields and branches.")

    def _reference(self, name: str, namespace: str) -> Node:
        leaf = leaves.primitive(name, self._dialect)
        if leaf is not None:
            return leaf
        if name in _COMPLEX:
            raise SchemaUnusable(f"The type {name} is not written as an object.")
        # A name without a dot means the enclosing namespace; Java also looks outside of any, and schemas rely on it.
        node = self._known.get(f"{namespace}.{name}" if namespace and "." not in name else name) or self._known.get(
            name
        )
        if node is None:
            raise SchemaUnusable(f"The type {_shown(name)} is not defined.")
        if isinstance(node, Record):
            node.uses += 1
        return node

    def _union(self, schemas: list[Any], namespace: str, level: int) -> Union:
        if not 1 <= len(schemas) <= MAX_BRANCHES:
            raise SchemaUnusable(f"A union has no branch, or more than {MAX_BRANCHES}.")
        branches = tuple(self.node(each, namespace, level + 1) for each in schemas)
        if any(isinstance(branch, Union) for branch in branches):
            raise SchemaUnusable("A union has a union as a branch.")
        if len({tag_of(branch) for branch in branches}) != len(branches):
            raise SchemaUnusable("A union has the same type twice.")
        return Union(branches)

    def _named(self, kind: str, schema: dict[str, Any], namespace: str, level: int) -> Node:
        name = self._full_name(schema, namespace)
        if name in self._known:
            raise SchemaUnusable(f"The type {_shown(name)} is defined twice.")
        if kind == "enum":
            leaf = leaves.enum(name, self._symbols(schema, name))
        elif kind == "fixed":
            size = schema.get("size")
            if size.__class__ is not int or not 0 <= size <= MAX_FIXED_BYTES:
                raise SchemaUnusable(f"The fixed {_shown(name)} has no size from 0 to {MAX_FIXED_BYTES}.")
            leaf = annotated(leaves.fixed(name, size, self._dialect), schema, self._dialect)
        else:
            return self._record(name, schema, level)
        self._known[name] = leaf
        return leaf

    def _full_name(self, schema: dict[str, Any], namespace: str) -> str:
        name, own = schema.get("name"), schema.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(own, str | None):
            raise SchemaUnusable("A record, enum or fixed has no name.")
        full = f"{own}.{name}" if own and "." not in name else name.removeprefix(".")
        if len(full) > 1000 or not _FULL_NAME.fullmatch(full):
            raise SchemaUnusable(f"The name {_shown(full)} is not valid.")
        if leaves.primitive(full, self._dialect) is not None or full in _COMPLEX:
            raise SchemaUnusable(f"The name {_shown(full)} belongs to Avro itself.")
        return full

    def _symbols(self, schema: dict[str, Any], name: str) -> tuple[str, ...]:
        symbols = schema.get("symbols")
        if not isinstance(symbols, list) or len(symbols) > MAX_SYMBOLS:
            raise SchemaUnusable(f"The enum {_shown(name)} has no list of symbols, or more than {MAX_SYMBOLS}.")
        if not all(isinstance(each, str) and _NAME.fullmatch(each) for each in symbols):
            raise SchemaUnusable(f"The enum {_shown(name)} has no list of valid symbols.")
        if len(set(symbols)) != len(symbols):
            raise SchemaUnusable(f"The enum {_shown(name)} has a symbol twice.")
        return tuple(symbols)

    def _record(self, name: str, schema: dict[str, Any], level: int) -> Record:
        declared = schema.get("fields")
        if not isinstance(declared, list) or not all(isinstance(each, dict) for each in declared):
            raise SchemaUnusable(f"The record {_shown(name)} has no list of fields.")
        record = self._known[name] = Record(name, uses=1)
        namespace = name.rpartition(".")[0]
        taken: set[str] = set()
        for each in declared:
            key = each.get("name")
            if not isinstance(key, str) or not _NAME.fullmatch(key) or key in taken:
                raise SchemaUnusable(f"The record {_shown(name)} has a field without a valid name of its own.")
            taken.add(key)
            record.fields.append(self._field(key, each, namespace, level))
        self._drop_ambiguous_aliases(record, taken)
        return record

    def _field(self, key: str, declared: dict[str, Any], namespace: str, level: int) -> Field:
        if "type" not in declared:
            raise SchemaUnusable(f"The field {_shown(key)} has no type.")
        node = self.node(declared["type"], namespace, level + 1)
        field = Field(key, node, has_default="default" in declared, default=declared.get("default"))
        aliases = declared.get("aliases")
        if self._dialect == "plain" and isinstance(aliases, list):
            field.aliases = tuple(dict.fromkeys(each for each in aliases if isinstance(each, str) and each))
        field.optional = field.has_default and self._dialect == "plain"
        self._count(len(field.aliases))
        return field

    def _drop_ambiguous_aliases(self, record: Record, taken: set[str]) -> None:
        """An alias that is also a field's name, or the alias of two fields, does not tell which one is meant."""
        counts: dict[str, int] = {}
        for field in record.fields:
            for alias in field.aliases:
                counts[alias] = counts.get(alias, 0) + 1
        for field in record.fields:
            field.aliases = tuple(each for each in field.aliases if counts[each] == 1 and each not in taken)
