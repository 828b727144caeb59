"""Defaults of fields, resolved to the bytes that stand for them.

A default is written in Avro's JSON without union tags: the underlying value of a logical type, one character per byte
for bytes and fixed. A union's default belongs to its first branch, or, as later versions of the specification allow,
to the first branch that it fits. Source: Avro specification 1.12, "Complex Types" (default) and "JSON Encoding".
"""

import struct
from collections.abc import Callable
from typing import Any

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec import leaves
from eventbus_gateway.schemas.codec.schema import Array, Field, Leaf, Map, Node, Record, Union
from eventbus_gateway.schemas.codec.shape import Shape
from eventbus_gateway.schemas.codec.wire import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Damage, Misfit, long_bytes

MAX_DEFAULT_BYTES = 1_048_576
"""Bytes of all defaults of a schema: nested ones can double with every level."""

_LATIN1 = leaves.latin1("bytes")


class Defaults:
    """Fills in ``default_bytes`` of every field that has a default.

    Args:
        shape: of the schema whose fields they are.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._bytes = 0
        self._open: set[int] = set()
        self._done: set[int] = set()

    def resolve(self) -> None:
        """Resolve them all.

        Raises:
            SchemaUnusable: a default does not fit its type, needs itself, or is too large.
        """
        for record in self._shape.records:
            for field in record.fields:
                if field.has_default:
                    try:
                        self._of_field(field)
                    except Misfit:
                        text = f"The default of field {field.name!r} of {record.name!r} does not fit its type."
                        raise SchemaUnusable(text) from None

    def _of_field(self, field: Field) -> bytes:
        if id(field) in self._done:
            return field.default_bytes
        if id(field) in self._open or len(self._open) > 64:
            raise SchemaUnusable(f"The default of field {field.name!r} needs itself, or too many others.")
        self._open.add(id(field))
        try:
            field.default_bytes = self._bounded(self._node(field.node, field.default))
        finally:
            self._open.discard(id(field))
        self._done.add(id(field))
        return field.default_bytes

    def _bounded(self, raw: bytes) -> bytes:
        self._bytes += len(raw)
        if self._bytes > MAX_DEFAULT_BYTES:
            raise SchemaUnusable(f"The schema's defaults take more than {MAX_DEFAULT_BYTES} bytes.")
        return raw

    def _node(self, node: Node, value: Any) -> bytes:
        if isinstance(node, Leaf):
            return self._leaf(node, value)
        if isinstance(node, Record):
            return self._record(node, value)
        if isinstance(node, Union):
            return self._union(node, value)
        return self._array(node, value) if isinstance(node, Array) else self._map(node, value)

    def _leaf(self, leaf: Leaf, value: Any) -> bytes:
        raw = _UNDERLYING[leaf.kind](leaf, value)
        if leaf.show is not None and leaf.kind in ("bytes", "fixed", "string", "int", "long"):
            content: Any = value if leaf.kind in ("string", "int", "long") else _LATIN1(value)
            try:
                leaf.show(content)
            except Damage as damage:
                raise Misfit(damage.detail) from None
        return raw

    def _record(self, record: Record, value: Any) -> bytes:
        if value.__class__ is not dict or not value.keys() <= {field.name for field in record.fields}:
            raise Misfit
        parts = []
        for field in record.fields:
            if field.name in value:
                parts.append(self._node(field.node, value[field.name]))
            elif field.has_default:
                parts.append(self._of_field(field))
            else:
                raise Misfit
        return self._bounded(b"".join(parts))

    def _union(self, union: Union, value: Any) -> bytes:
        for index, branch in enumerate(union.branches):
            try:
                return long_bytes(index) + self._node(branch, value)
            except Misfit:
                continue
        raise Misfit

    def _array(self, array: Array, value: Any) -> bytes:
        if value.__class__ is not list:
            raise Misfit
        if value and not self._shape.smallest(array.items):
            raise SchemaUnusable("A default has array items that take no bytes.")
        return _block([self._node(array.items, item) for item in value])

    def _map(self, node: Map, value: Any) -> bytes:
        if value.__class__ is not dict:
            raise Misfit
        return _block([_STRING.pack(key) + self._node(node.values, item) for key, item in value.items()])


def _block(items: list[bytes]) -> bytes:
    return (long_bytes(len(items)) + b"".join(items) if items else b"") + b"\0"


def _number(wire: str) -> Callable[[Leaf, Any], bytes]:
    write = struct.Struct(wire).pack

    def pack(leaf: Leaf, value: Any) -> bytes:
        if isinstance(value, str) or value.__class__ is float:
            return leaf.pack(value)
        if value.__class__ is not int:
            raise Misfit
        return write(float(value))

    return pack


def _fixed(leaf: Leaf, value: Any) -> bytes:
    raw = _LATIN1(value)
    if len(raw) != leaf.size:
        raise Misfit
    return raw


def _primitive(kind: str) -> Leaf:
    leaf = leaves.primitive(kind, "avro")
    if leaf is None:
        raise ValueError(kind)
    return leaf


_STRING = _primitive("string")
_INT = leaves.integers("int", INT_MIN, INT_MAX)
_LONG = leaves.integers("long", LONG_MIN, LONG_MAX)
_BYTES = leaves.with_length(_LATIN1)

_UNDERLYING: dict[str, Callable[[Leaf, Any], bytes]] = {
    "null": lambda leaf, value: leaf.pack(value),
    "boolean": lambda leaf, value: leaf.pack(value),
    "enum": lambda leaf, value: leaf.pack(value),
    "int": lambda _, value: _INT(value),
    "long": lambda _, value: _LONG(value),
    "float": _number("<f"),
    "double": _number("<d"),
    "string": lambda _, value: _STRING.pack(value),
    "bytes": lambda _, value: _BYTES(value),
    "fixed": _fixed,
}
