"""Hypothesis strategies for Avro schemas, for data that fits them, and for damage to both.

A datum is what fastavro writes for the schema without its logical types: unions are ``(tag, datum)``.
"""

import math
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True, database=None)

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICAL: tuple[dict[str, Any], ...] = (
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-nanos"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 4},
    {"type": "bytes", "logicalType": "big-decimal"},
    {"type": "int", "logicalType": "unheard-of"},
)
_FIXED_LOGICAL: tuple[dict[str, Any], ...] = (
    {"size": 16, "logicalType": "uuid"},
    {"size": 12, "logicalType": "duration"},
    {"size": 4, "logicalType": "decimal", "precision": 8, "scale": 3},
    {"size": 3},
    {"size": 0},
)
_SYMBOLS = ("A", "B", "NaN", "QQ", "string", "null")
_FIELDS = ("a", "b", "c", "string", "bytes", "map", "array")
ALIAS = "other_"
"""What the alias of a field begins with."""
_KEYS = (*_FIELDS, "zero.R1", "zero.R2", "one.R2")

TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from((*_SYMBOLS, "AAAA", "QUJD", "1.25", "12:30:00", "2026-01-02", "PT0S"))
)


class _Builder:
    """Draws one schema; names are given out in order so that they never clash."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw: Callable[[st.SearchStrategy[Any]], Any] = draw
        self._last = 0
        self._enclosing: list[str] = []
        self._finished: list[str] = []

    def node(self, depth: int, *, in_union: bool = False) -> Any:
        kinds = ["primitive", "primitive", "logical", "enum", "fixed"]
        if depth < 3:
            kinds += ["array", "map", "record", "record"] + ([] if in_union else ["union", "union"])
        if self._finished:
            kinds.append("reference")
        kind = self._draw(st.sampled_from(kinds))
        if kind == "primitive":
            return self._draw(st.sampled_from(_PRIMITIVES))
        if kind == "logical":
            return dict(self._draw(st.sampled_from(_LOGICAL)))
        if kind == "reference":
            return self._draw(st.sampled_from(self._finished))
        if kind == "enum":
            symbols = self._draw(st.lists(st.sampled_from(_SYMBOLS), min_size=1, unique=True))
            return self._named("enum", {"symbols": symbols})
        if kind == "fixed":
            return self._named("fixed", dict(self._draw(st.sampled_from(_FIXED_LOGICAL))))
        if kind == "array":
            return {"type": "array", "items": self._nested(depth)}
        if kind == "map":
            return {"type": "map", "values": self._nested(depth)}
        return self.record(depth) if kind == "record" else self._union(depth)

    def _nested(self, depth: int) -> Any:
        if self._enclosing and self._draw(st.booleans()):
            return self._draw(st.sampled_from(self._enclosing))
        return self.node(depth + 1)

    def _named(self, kind: str, rest: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        schema = {"type": kind, "name": f"{kind[0].upper()}{self._last}", "namespace": "zero", **rest}
        if self._draw(st.booleans()):
            schema["namespace"] = self._draw(st.sampled_from(("one", "one.two")))
        if kind != "record":
            self._finished.append(_full(schema))
        return schema

    def record(self, depth: int) -> dict[str, Any]:
        schema = self._named("record", {"fields": []})
        self._enclosing.append(_full(schema))
        for name in self._draw(st.lists(st.sampled_from(_FIELDS), max_size=4, unique=True)):
            field = {"name": name, "type": self.node(depth + 1)}
            if self._draw(st.booleans()):
                field.update(_default(field["type"]))
            if self._draw(st.integers(0, 3)) == 0:
                field["aliases"] = [ALIAS + name]
            schema["fields"].append(field)
        self._enclosing.pop()
        self._finished.append(_full(schema))
        return schema

    def _union(self, depth: int) -> list[Any]:
        branches: dict[str, Any] = {}
        for _ in range(self._draw(st.integers(1, 4))):
            known = len(self._finished)
            node = self.node(depth + 1, in_union=True)
            if branches.setdefault(tag_of(node), node) is not node:
                # What only a discarded branch defines cannot be referred to.
                del self._finished[known:]
        if self._enclosing and self._draw(st.booleans()):
            reference = self._draw(st.sampled_from(self._enclosing))
            branches.setdefault(reference, reference)
            branches.setdefault("null", "null")
        return list(branches.values())


def _full(schema: dict[str, Any]) -> str:
    return f"{schema['namespace']}.{schema['name']}" if schema.get("namespace") else str(schema["name"])


def tag_of(schema: Any) -> str:
    """How a schema is named as a union branch."""
    if isinstance(schema, str):
        return schema
    return _full(schema) if "name" in schema else str(schema["type"])


_DEFAULTS: dict[str, Any] = {
    "null": None, "boolean": True, "int": 7, "long": 7, "float": 1.5, "double": 1.5, "bytes": "ÿ", "string": "d",
    "array": [], "map": {},
}  # fmt: skip
_DECIMAL_DEFAULTS = {"decimal": "\u0007", "big-decimal": "\u0002\u0007\u0002"}


def _default(schema: Any) -> dict[str, Any]:
    """A default for a field of a type; nothing for records and names."""
    first = schema[0] if isinstance(schema, list) else schema
    if isinstance(first, str):
        return {"default": _DEFAULTS[first]} if first in _DEFAULTS else {}
    kind, logical = first["type"], first.get("logicalType")
    if kind == "record" or (kind, logical) == ("string", "uuid"):
        return {}
    if kind in ("enum", "fixed"):
        return {"default": first["symbols"][0] if kind == "enum" else "\0" * first["size"]}
    return {"default": _DECIMAL_DEFAULTS.get(logical, _DEFAULTS[kind])}


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A record schema with all kinds of types, unions and recursion."""
    return _Builder(draw).record(0)


def without_logical_types(schema: Any) -> Any:
    """The schema as it is on the wire."""
    if isinstance(schema, list):
        return [without_logical_types(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("logicalType", "default", "aliases")}
    for key in ("items", "values", "type"):
        if key in kept:
            kept[key] = without_logical_types(kept[key])
    if "fields" in kept:
        kept["fields"] = [without_logical_types(each) for each in kept["fields"]]
    return kept


def _names(schema: Any, known: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema, list):
        for each in schema:
            _names(each, known)
    elif isinstance(schema, dict):
        if "name" in schema and schema["type"] in ("record", "enum", "fixed"):
            known[_full(schema)] = schema
        for inner in (
            schema.get("items"),
            schema.get("values"),
            *(each["type"] for each in schema.get("fields", ())),
        ):
            _names(inner, known)
    return known


_INTS = st.one_of(st.integers(-70, 70), st.integers(-(1 << 31), (1 << 31) - 1))
_LONGS = st.one_of(_INTS, st.integers(-(1 << 63), (1 << 63) - 1))
_FLOATS = st.floats(width=32).map(lambda number: math.nan if math.isnan(number) else number)
_DOUBLES = st.floats().map(lambda number: math.nan if math.isnan(number) else number)


def _twos_complement(number: int, size: int = 0) -> bytes:
    shortest = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return number.to_bytes(size or shortest, "big", signed=True)


class _Data:
    def __init__(self, draw: st.DrawFn, names: dict[str, Any]) -> None:
        self._draw = draw
        self._names = names

    def of(self, schema: Any, depth: int) -> Any:
        schema = self._names.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            # Deep inside, the branch that ends the recursion.
            branch = "null" if depth > 6 and "null" in schema else self._draw(st.sampled_from(schema))
            return (tag_of(branch), self.of(branch, depth))
        if isinstance(schema, str):
            return self._primitive(schema)
        kind = schema["type"]
        if kind == "record":
            return {each["name"]: self.of(each["type"], depth + 1) for each in schema["fields"]}
        if kind == "array":
            return [self.of(schema["items"], depth + 1) for _ in range(self._count(depth))]
        if kind == "map":
            keys = self._draw(st.lists(st.sampled_from(_KEYS) | st.text(max_size=3), max_size=self._count(depth)))
            return {key: self.of(schema["values"], depth + 1) for key in keys}
        if kind == "enum":
            return self._draw(st.sampled_from(schema["symbols"]))
        return self._leaf(kind, schema)

    def _count(self, depth: int) -> int:
        return self._draw(st.integers(0, 3)) if depth < 5 else 0

    def _primitive(self, kind: str) -> Any:
        strategies: dict[str, st.SearchStrategy[Any]] = {
            "null": st.none(),
            "boolean": st.booleans(),
            "int": _INTS,
            "long": _LONGS,
            "float": _FLOATS,
            "double": _DOUBLES,
            "bytes": st.binary(max_size=6),
            "string": TEXTS,
        }
        return self._draw(strategies[kind])

    def _leaf(self, kind: str, schema: dict[str, Any]) -> Any:
        logical, size = schema.get("logicalType"), schema.get("size", 0)
        if logical == "decimal":
            limit = 10 ** schema["precision"] - 1
            return _twos_complement(self._draw(st.integers(-limit, limit)), size)
        if logical == "big-decimal":
            raw = _twos_complement(self._draw(st.integers(-(10**20), 10**20)))
            return bytes((len(raw) * 2,)) + raw + bytes((self._draw(st.integers(0, 30)) * 2,))
        if logical in ("time-millis", "time-micros"):
            return self._draw(st.integers(0, 86_400 * (1_000 if kind == "int" else 1_000_000) - 1))
        if logical == "uuid" and kind == "string":
            return str(self._draw(st.uuids()))
        if logical is not None and kind == "long":
            return self._draw(_LONGS | st.integers(0, 1 << 48).map(lambda number: number * 1000))
        return self._draw(st.binary(min_size=size, max_size=size)) if kind == "fixed" else self._primitive(kind)


@st.composite
def data(draw: st.DrawFn, schema: Any) -> Any:
    """A datum that fits a schema."""
    return _Data(draw, _names(schema, {})).of(schema, 0)


@st.composite
def schemas_with_data(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """A schema and a datum that fits it."""
    schema = draw(schemas())
    return schema, draw(data(schema))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from((0, 1, -1, 1 << 31, 1 << 40, 1.5, 1e39, "NaN", "2026-11-23T09:30:00Z", "\ud800")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one place changed: replaced, removed, added or wrapped."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(changed(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], draw(changed(value[index])), *value[index + 1 :]]
    change: int = draw(st.integers(0, 3))
    if isinstance(value, dict) and change == 0:
        return {**value, draw(st.sampled_from(_KEYS) | TEXTS): draw(JSON)}
    if isinstance(value, dict) and value and change == 2:
        key = draw(st.sampled_from(sorted(value)))
        kept = value if draw(st.integers(0, 3)) == 0 else {name: item for name, item in value.items() if name != key}
        return {**kept, ALIAS + key: value[key]}
    if isinstance(value, dict) and value and change == 1:
        dropped: str = draw(st.sampled_from(sorted(value)))
        return {key: item for key, item in value.items() if key != dropped}
    if draw(st.integers(0, 4)) == 0:
        return {draw(st.sampled_from((*_PRIMITIVES, *_KEYS))): value}
    return draw(JSON)


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes with a few of them overwritten, cut out or put in."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        length = draw(st.integers(0, 2))
        patch = draw(
            st.binary(max_size=2) | st.sampled_from((b"\xff" * 10, b"\x80\x80\x80\x80\x10", b"\x01", b"\x7f"))
        )
        raw = raw[:at] + patch + raw[at + length :]
    return raw


def avro_json(datum: Any) -> Any:
    """A datum in the JSON encoding of the Avro specification, as JSON values."""
    if isinstance(datum, tuple):
        tag, inner = datum
        return None if tag == "null" else {tag: avro_json(inner)}
    if isinstance(datum, dict):
        return {key: avro_json(inner) for key, inner in datum.items()}
    if isinstance(datum, list):
        return [avro_json(inner) for inner in datum]
    if isinstance(datum, float) and not math.isfinite(datum):
        return "NaN" if math.isnan(datum) else "Infinity" if datum > 0 else "-Infinity"
    return datum.decode("latin-1") if isinstance(datum, bytes) else datum
