"""Generates the Python function that encodes the values of one schema.

The text is straight-line code: it assumes that a value fits and raises at the first misfit, without saying which
(``explain`` does that). A required field is a dictionary look-up whose KeyError is the misfit, a string's check is
that it has ``encode``; unknown fields are found by counting. Each type gives the names of the bytes that it is
made of, and one ``join`` puts them together. Types that are used in several places, branches of unions other than
leaves, and whatever nests deep become functions of their own, so that the text grows linearly with the schema.
"""

from collections.abc import Callable
from typing import Any

from eventbus_gateway.schemas.codec import wire
from eventbus_gateway.schemas.codec.inline import BOUND, RANGES, string, written
from eventbus_gateway.schemas.codec.schema import MAX_NESTING, Array, Field, Leaf, Map, Node, Record, Union, Unknown
from eventbus_gateway.schemas.codec.source import Place, Source, joined
from eventbus_gateway.schemas.codec.unions import Bare, Tagged
from eventbus_gateway.schemas.codec.wire import Misfit

# What the generated text raises for a value that does not fit.
_REFUSALS = (Misfit, KeyError, TypeError, AttributeError, ValueError)
_END = b"\0"
_MAX_INDENT = 8
_MAX_INLINE_BRANCHES = 8


class Encoder:
    """The generator of one schema's encoding function.

    Args:
        unions: how each union of the schema, by its identity, tells its branches apart.
        unknown: what happens to fields that a record does not know.
    """

    def __init__(self, unions: dict[int, Bare | Tagged], unknown: Unknown) -> None:
        self._unions = unions
        self._refuse = unknown == "refuse"
        self._source = Source(BOUND)
        self._functions: dict[int, str] = {}
        self._pending: list[tuple[Node, str]] = []
        self._tables: list[tuple[Union, list[Callable[..., Any]]]] = []

    def compiled(self, top: Node, prefix: bytes, refusal: Callable[[Any], Exception]) -> Callable[[Any], bytes]:
        """The function that encodes a value of a type, after some constant bytes.

        Args:
            top: the type.
            prefix: the constant bytes.
            refusal: what is raised for a value that does not fit.
        """
        source = self._source
        source.line(0, "def encode(x):")
        source.line(1, "d = 0")
        source.line(1, "try:")
        parts = self._emit(top, "x", b"", Place(2))
        source.line(2, "return " + joined(([source.constant(prefix)] if prefix else []) + parts))
        source.line(1, f"except {source.bind('R', _REFUSALS)}: raise {source.bind('R', refusal)}(x) from None")
        while self._pending:
            self._write(*self._pending.pop())
        names = source.compiled()
        for union, table in self._tables:
            for branch in union.branches:
                table.append(_flat(branch.pack) if isinstance(branch, Leaf) else names[self._functions[id(branch)]])
        function: Callable[[Any], bytes] = names["encode"]
        return function

    def _function(self, node: Node) -> str:
        name = self._functions.get(id(node))
        if name is None:
            name = self._functions[id(node)] = self._source.fresh("f")
            self._pending.append((node, name))
        return name

    def _write(self, node: Node, name: str) -> None:
        self._source.line(0, f"def {name}(x, d):")
        if isinstance(node, Union):
            self._choose(node)
        else:
            parts = self._inline(node, "x", b"", Place())
            self._source.line(1, "return " + joined(parts))

    def _emit(self, node: Node, x: str, lead: bytes, at: Place) -> list[str]:
        """Code for the value in a variable; gives the names of its parts."""
        if isinstance(node, Record) and (node.uses != 1 or node.recursive or at.indent > _MAX_INDENT):
            return self._call(node, x, lead, at)
        if isinstance(node, Array | Map) and at.indent > _MAX_INDENT:
            return self._call(node, x, lead, at)
        return self._inline(node, x, lead, at)

    def _inline(self, node: Node, x: str, lead: bytes, at: Place) -> list[str]:
        if isinstance(node, Leaf):
            return self._leaf(node, x, lead, at)
        if isinstance(node, Union):
            return self._union(node, x, at)
        leading = [self._source.constant(lead)] if lead else []
        if isinstance(node, Record):
            return leading + self._record(node, x, at)
        return leading + (self._array(node, x, at) if isinstance(node, Array) else self._map(node, x, at))

    def _call(self, node: Node, x: str, lead: bytes, at: Place) -> list[str]:
        v = self._source.fresh("v")
        self._source.line(at.indent, f"{v} = {self._function(node)}({x}, {at.depth})")
        return ([self._source.constant(lead)] if lead else []) + [v]

    def _leaf(self, leaf: Leaf, x: str, lead: bytes, at: Place) -> list[str]:
        if leaf.inline:
            return written(self._source, leaf, x, lead, at.indent)
        v = self._source.fresh("v")
        self._source.line(at.indent, f"{v} = {self._source.bind('P', leaf.pack)}({x})")
        return ([self._source.constant(lead)] if lead else []) + [v]

    # Containers

    def _array(self, node: Array, x: str, at: Place) -> list[str]:
        source = self._source
        source.line(at.indent, f"if {x}.__class__ is not list: raise Misfit")
        y = source.fresh("y")
        return self._block(x, f"for {y} in {x}:", lambda inside: self._emit(node.items, y, b"", inside), at)

    def _map(self, node: Map, x: str, at: Place) -> list[str]:
        source = self._source
        source.line(at.indent, f"if {x}.__class__ is not dict: raise Misfit")
        k, y = source.fresh("k"), source.fresh("y")

        def entry(inside: Place) -> list[str]:
            return string(source, k, b"", inside.indent) + self._emit(node.values, y, b"", inside)

        return self._block(x, f"for {k}, {y} in {x}.items():", entry, at)

    def _block(self, x: str, loop: str, item: Callable[[Place], list[str]], at: Place) -> list[str]:
        source, o, a, v = self._source, self._source.fresh("o"), self._source.fresh("a"), self._source.fresh("v")
        source.line(at.indent, f"if {x}:")
        source.line(at.indent + 1, f"n = len({x})")
        source.line(at.indent + 1, f"{o} = [SMALL.get(n) or long_bytes(n)]")
        source.line(at.indent + 1, f"{a} = {o}.append")
        source.line(at.indent + 1, loop)
        for part in item(at.inside(2, 1)):
            source.line(at.indent + 2, f"{a}({part})")
        source.line(at.indent + 2, "pass")
        source.line(at.indent + 1, f"{a}({source.constant(_END)})")
        source.line(at.indent + 1, f"{v} = join({o})")
        source.line(at.indent, f"else: {v} = {source.constant(_END)}")
        return [v]

    # Records

    def _record(self, record: Record, x: str, at: Place) -> list[str]:
        source = self._source
        source.line(at.indent, f"if {x}.__class__ is not dict: raise Misfit")
        if record.recursive:
            source.line(at.indent, f"if {at.depth} >= {MAX_NESTING}: raise Misfit")
        inside = at.inside(0, 1)
        missing = source.fresh("m")
        counted = self._refuse and any(field.optional for field in record.fields)
        if counted:
            source.line(at.indent, f"{missing} = {len(record.fields)}")
        parts = []
        for field in record.fields:
            if field.optional or field.aliases:
                parts += self._spelled(field, x, missing if counted else "", inside)
            else:
                y = source.fresh("y")
                source.line(at.indent, f"{y} = {x}[{field.name!r}]")
                parts += self._emit(field.node, y, b"", inside)
        if self._refuse:
            expected = missing if counted else str(len(record.fields))
            source.line(at.indent, f"if len({x}) != {expected}: raise Misfit")
        return parts

    def _spelled(self, field: Field, x: str, missing: str, at: Place) -> list[str]:
        """A field that may be absent, or may come under another name."""
        source, y = self._source, self._source.fresh("y")
        if field.aliases:
            k = source.fresh("k")
            spelling = source.bind("A", _spelling_of(field))
            source.line(at.indent, f"{k} = {spelling}({x})")
            source.line(at.indent, f"if {k} is not None:")
            source.line(at.indent + 1, f"{y} = {x}[{k}]")
        else:
            source.line(at.indent, f"if {field.name!r} in {x}:")
            source.line(at.indent + 1, f"{y} = {x}[{field.name!r}]")
        parts = self._assigned(self._emit(field.node, y, b"", at.inside()), at.inside())
        source.line(at.indent, "else:")
        if not field.optional:
            source.line(at.indent + 1, "raise Misfit")
            return parts
        if missing:
            source.line(at.indent + 1, f"{missing} -= 1")
        source.line(at.indent + 1, "pass")
        for part, value in zip(parts, [field.default_bytes] + [b""] * len(parts), strict=False):
            source.line(at.indent + 1, f"{part} = {source.constant(value)}")
        if not parts and field.default_bytes:
            raise AssertionError("a type of no bytes has a default of some")
        return parts

    def _assigned(self, parts: list[str], at: Place) -> list[str]:
        """Variables in place of constants, for code that other paths go around."""
        names = []
        for part in parts:
            names.append(self._source.fresh("v") if self._source.is_constant(part) else part)
            if names[-1] != part:
                self._source.line(at.indent, f"{names[-1]} = {part}")
        return names

    # Unions

    def _union(self, union: Union, x: str, at: Place) -> list[str]:
        """The branches that a JSON kind settles in line, and a call for everything else."""
        source, p, q = self._source, self._source.fresh("p"), self._source.fresh("q")
        keyword = "if"
        for index, condition in _settled(union, self._unions[id(union)], x):
            source.line(at.indent, f"{keyword} {condition}:")
            branch, lead, inside = union.branches[index], wire.long_bytes(index), at.inside()
            parts = (
                self._leaf(branch, x, lead, inside)
                if isinstance(branch, Leaf)
                else self._call(branch, x, lead, inside)
            )
            source.line(inside.indent, f"{p} = {parts[0]}")
            source.line(inside.indent, f"{q} = {joined(parts[1:])}")
            keyword = "elif"
        indent = at.indent
        if keyword == "elif":
            source.line(indent, "else:")
            indent += 1
        source.line(indent, f"{p} = {self._function(union)}({x}, {at.depth})")
        source.line(indent, f'{q} = b""')
        return [p, q]

    def _choose(self, union: Union) -> None:
        source = self._source
        name, table = source.table()
        self._tables.append((union, table))
        for branch in union.branches:
            if not isinstance(branch, Leaf):
                self._function(branch)
        leads = source.bind("B", [wire.long_bytes(index) for index in range(len(union.branches))])
        source.line(1, f"i, y = {source.bind('R', self._unions[id(union)].resolve)}(x)")
        source.line(1, f"return {leads}[i] + {name}[i](y, d)")


def _settled(union: Union, choice: Bare | Tagged, x: str) -> list[tuple[int, str]]:
    """The branches that the JSON kind of a variable decides, with the condition for each."""
    settled: list[tuple[int, str]] = []
    for kind, candidates in choice.bare.items():
        index = candidates[0]
        branch = union.branches[index]
        if kind is type(None):
            settled.insert(0, (index, f"{x} is None"))
        elif len(candidates) == 1:
            settled.append((index, f"{x}.__class__ is {kind.__name__}"))
        elif isinstance(branch, Leaf) and branch.inline and not branch.per_second and branch.kind in RANGES:
            low, high = RANGES[branch.kind]
            settled.append((index, f"{x}.__class__ is int and {low} <= {x} <= {high}"))
    if choice.sole_object is not None:
        settled.append((choice.sole_object, f"{x}.__class__ is dict and len({x}) != 1"))
    return settled[:_MAX_INLINE_BRANCHES]


def _flat(pack: Callable[[Any], bytes]) -> Callable[[Any, int], bytes]:
    return lambda value, _depth: pack(value)


def _spelling_of(field: Field) -> Callable[[dict[str, Any]], str | None]:
    names = (field.name, *field.aliases)

    def spelling(value: dict[str, Any]) -> str | None:
        found = [name for name in names if name in value]
        if len(found) > 1:
            raise Misfit
        return found[0] if found else None

    return spelling
