"""Generates the Python function that decodes the records of one schema.

Nothing that the bytes claim is believed: lengths are held against the end, block counts against the bytes that so
many items must at least take, and items that take no bytes against a budget for the whole record. A short string is
held against the end only once the record is read: the position never goes back, so it shows there at the latest.
"""

import struct
from collections.abc import Callable
from typing import Any, NoReturn

from eventbus_gateway.schemas.codec import wire
from eventbus_gateway.schemas.codec.leaves import finite_or_name
from eventbus_gateway.schemas.codec.schema import MAX_NESTING, Array, Leaf, Map, Node, Record, Union
from eventbus_gateway.schemas.codec.shape import Shape
from eventbus_gateway.schemas.codec.source import Place, Source
from eventbus_gateway.schemas.codec.unions import Bare, Tagged
from eventbus_gateway.schemas.codec.wire import Damage

DAMAGES = (Damage, IndexError, UnicodeDecodeError, struct.error)
"""What the generated function raises for bytes that do not decode."""

MAX_WEIGHTLESS_ITEMS = 65_536
"""Array items of one record that take no bytes, such as null, or a record of nulls."""

_MAX_INDENT = 6
_MAX_INLINE_BRANCHES = 8


def damaged(detail: str) -> NoReturn:
    """Raise Damage from an expression."""
    raise Damage(detail)


_BOUND = {
    "HEX_FORM": wire.HEX_FORM,
    "ZIGZAG": wire.ZIGZAG,
    "read_long": wire.read_long,
    "read_int": wire.read_int,
    "read_doubled": wire.read_doubled,
    "read_text": wire.read_text,
    "read_double": struct.Struct("<d").unpack_from,
    "read_float": struct.Struct("<f").unpack_from,
    "finite_or_name": finite_or_name,
    "damaged": damaged,
}


class Decoder:
    """The generator of one schema's decoding function.

    Args:
        shape: of the schema.
        unions: how each union of the schema, by its identity, tells its branches apart.
    """

    def __init__(self, shape: Shape, unions: dict[int, Bare | Tagged]) -> None:
        self._shape = shape
        self._unions = unions
        self._source = Source(_BOUND)
        self._functions: dict[int, str] = {}
        self._pending: list[tuple[Node, str]] = []
        self._tables: list[tuple[Union, list[Callable[..., Any]]]] = []
        self._budget = ", z" if shape.weightless_items else ""

    def compiled(self, top: Node) -> Callable[[bytes, int], Any]:
        """The function that decodes a record from a position to its end."""
        source = self._source
        source.line(0, "def decode(data, p):")
        source.line(1, "d = 0")
        source.line(1, "end = len(data)")
        if self._budget:
            source.line(1, f"z = [{MAX_WEIGHTLESS_ITEMS}]")
        value = self._emit(top, Place())
        source.line(1, "if p < end: damaged('bytes follow the record')")
        source.line(1, "if p > end: damaged('a length does not fit the record')")
        source.line(1, f"return {value}")
        while self._pending:
            node, name = self._pending.pop()
            source.line(0, f"def {name}(data, p, end, d{self._budget}):")
            source.line(1, f"return {self._inline(node, Place())}, p")
        names = source.compiled()
        for union, table in self._tables:
            table += [names[self._functions[id(branch)]] for branch in union.branches]
        function: Callable[[bytes, int], Any] = names["decode"]
        return function

    def _function(self, node: Node) -> str:
        name = self._functions.get(id(node))
        if name is None:
            name = self._functions[id(node)] = self._source.fresh("f")
            self._pending.append((node, name))
        return name

    def _emit(self, node: Node, at: Place) -> str:
        """Code that reads a value; gives the expression for it."""
        shared = isinstance(node, Record) and (node.uses != 1 or node.recursive)
        if shared or (not isinstance(node, Leaf) and at.indent > _MAX_INDENT):
            return self._call(node, at)
        return self._inline(node, at)

    def _call(self, node: Node, at: Place) -> str:
        v = self._source.fresh("v")
        self._source.line(at.indent, f"{v}, p = {self._function(node)}(data, p, end, {at.depth}{self._budget})")
        return v

    def _inline(self, node: Node, at: Place) -> str:
        if isinstance(node, Leaf):
            return self._leaf(node, at)
        if isinstance(node, Record):
            return self._record(node, at)
        if isinstance(node, Union):
            return self._union(node, at)
        return self._array(node, at) if isinstance(node, Array) else self._map(node, at)

    # Leaves

    def _leaf(self, leaf: Leaf, at: Place) -> str:
        raw = _READERS[leaf.kind](self, leaf, at)
        if leaf.form:
            form = self._source.constant(leaf.form)
            wrong = f"{raw}.encode().translate(HEX_FORM) != {form}"
            self._source.line(at.indent, f"if {wrong}: damaged({f'{leaf.expected} is malformed'!r})")
        if leaf.show is None or leaf.form:
            return raw
        v = self._source.fresh("v")
        if leaf.show is finite_or_name:
            self._source.line(at.indent, f"{v} = {raw} if {raw} - {raw} == 0.0 else finite_or_name({raw})")
        else:
            self._source.line(at.indent, f"{v} = {self._source.bind('S', leaf.show)}({raw})")
        return v

    def _null(self, _leaf: Leaf, _at: Place) -> str:
        return "None"

    def _boolean(self, _leaf: Leaf, at: Place) -> str:
        v = self._source.fresh("v")
        self._source.line(at.indent, f"{v} = data[p]")
        self._source.line(at.indent, f"if {v} > 1: damaged('a boolean is neither 0 nor 1')")
        self._source.line(at.indent, f"{v} = {v} == 1")
        self._source.line(at.indent, "p += 1")
        return v

    def _integer(self, leaf: Leaf, at: Place) -> str:
        return self._varint(at, "read_int" if leaf.kind == "int" else "read_long")

    def _varint(self, at: Place, read: str = "read_long") -> str:
        source, v = self._source, self._source.fresh("v")
        source.line(at.indent, f"{v} = data[p]")
        source.line(at.indent, f"if {v} < 128:")
        source.line(at.indent + 1, f"{v} = ZIGZAG[{v}]")
        source.line(at.indent + 1, "p += 1")
        source.line(at.indent, f"else: {v}, p = {read}(data, p)")
        return v

    def _doubled(self, at: Place) -> str:
        """An index as it is on the wire, which is twice the number; what is negative is odd or negative here."""
        source, v = self._source, self._source.fresh("v")
        source.line(at.indent, f"{v} = data[p]")
        source.line(at.indent, f"if {v} < 128: p += 1")
        source.line(at.indent, f"else: {v}, p = read_doubled(data, p)")
        return v

    def _floating(self, leaf: Leaf, at: Place) -> str:
        v = self._source.fresh("v")
        self._source.line(at.indent, f"{v}, = read_{leaf.kind}(data, p)")
        self._source.line(at.indent, f"p += {4 if leaf.kind == 'float' else 8}")
        return v

    def _slice(self, at: Place, size: str) -> str:
        v, e = self._source.fresh("v"), self._source.fresh("e")
        self._source.line(at.indent, f"{e} = p + {size}")
        self._source.line(at.indent, f"if not p <= {e} <= end: damaged('a length does not fit the record')")
        self._source.line(at.indent, f"{v} = data[p:{e}]")
        self._source.line(at.indent, f"p = {e}")
        return v

    def _bytes(self, _leaf: Leaf, at: Place) -> str:
        return self._slice(at, self._varint(at))

    def _string(self, _leaf: Leaf, at: Place) -> str:
        return self._text(at)

    def _text(self, at: Place) -> str:
        source, v, e = self._source, self._source.fresh("v"), self._source.fresh("e")
        source.line(at.indent, f"{v} = data[p]")
        # Neither negative nor longer than one byte can tell.
        source.line(at.indent, f"if {v} & 129: {v}, p = read_text(data, p)")
        source.line(at.indent, "else:")
        source.line(at.indent + 1, f"{e} = p + 1 + ({v} >> 1)")
        source.line(at.indent + 1, f"{v} = data[p + 1:{e}].decode()")
        source.line(at.indent + 1, f"p = {e}")
        return v

    def _fixed(self, leaf: Leaf, at: Place) -> str:
        return self._slice(at, str(leaf.size))

    def _enum(self, leaf: Leaf, at: Place) -> str:
        i, v = self._doubled(at), self._source.fresh("v")
        symbols = self._source.bind("Y", {2 * index: symbol for index, symbol in enumerate(leaf.symbols)}.get)
        self._source.line(at.indent, f"{v} = {symbols}({i}) or damaged('an enum has no such symbol')")
        return v

    # Containers

    def _record(self, record: Record, at: Place) -> str:
        source = self._source
        if record.recursive:
            source.line(at.indent, f"if {at.depth} >= {MAX_NESTING}: damaged('the nesting is too deep')")
        inside = at.inside(0, 1)
        entries = [f"{field.name!r}: {self._emit(field.node, inside)}" for field in record.fields]
        v = source.fresh("v")
        source.line(at.indent, f"{v} = {{{', '.join(entries)}}}")
        return v

    def _array(self, node: Array, at: Place) -> str:
        def item(inside: Place, v: str) -> None:
            self._source.line(inside.indent, f"{v}.append({self._emit(node.items, inside)})")

        return self._blocks(at, "[]", node.items, self._shape.smallest(node.items), item)

    def _map(self, node: Map, at: Place) -> str:
        def item(inside: Place, v: str) -> None:
            key = self._text(inside)
            value = self._emit(node.values, inside)
            self._source.line(inside.indent, f"{v}[{key}] = {value}")

        return self._blocks(at, "{}", node.values, 1 + self._shape.smallest(node.values), item)

    def _blocks(self, at: Place, empty: str, inner: Node, smallest: int, item: Callable[[Place, str], None]) -> str:
        source, v, stop = self._source, self._source.fresh("v"), self._source.fresh("s")
        source.line(at.indent, f"{v} = {empty}")
        source.line(at.indent, "while True:")
        inside = at.inside()
        n = self._varint(inside)
        source.line(inside.indent, f"if {n} == 0: break")
        source.line(inside.indent, f"{stop} = -1")
        source.line(inside.indent, f"if {n} < 0:")
        size = self._varint(inside.inside())
        source.line(inside.indent + 1, f"{n} = -{n}")
        source.line(inside.indent + 1, f"{stop} = p + {size}")
        source.line(inside.indent + 1, f"if not p <= {stop} <= end: damaged('a block does not fit the record')")
        if smallest:
            source.line(inside.indent, f"if {n} * {smallest} > end - p: damaged('a block has more items than bytes')")
        else:
            source.line(inside.indent, f"z[0] -= {n} * {self._shape.weight(inner)}")
            source.line(inside.indent, "if z[0] < 0: damaged('there are too many items of no bytes')")
        source.line(inside.indent, f"for _ in range({n}):")
        item(inside.inside(1, 1), v)
        source.line(inside.indent, f"if {stop} >= 0 and p != {stop}: damaged('a block is not as long as it says')")
        return v

    # Unions

    def _union(self, union: Union, at: Place) -> str:
        source, v = self._source, self._source.fresh("v")
        if len(union.branches) > _MAX_INLINE_BRANCHES:
            self._by_table(union, at, self._varint(at), v)
            return v
        i = self._doubled(at)
        for index, branch in enumerate(union.branches):
            source.line(at.indent, f"{'elif' if index else 'if'} {i} == {2 * index}:")
            value = self._leaf(branch, at.inside()) if isinstance(branch, Leaf) else self._call(branch, at.inside())
            source.line(at.indent + 1, f"{v} = {value}")
            self._tag(union, index, v, at.inside())
        source.line(at.indent, "else: damaged('a union has no such branch')")
        return v

    def _by_table(self, union: Union, at: Place, i: str, v: str) -> None:
        source = self._source
        name, table = source.table()
        self._tables.append((union, table))
        for branch in union.branches:
            self._function(branch)
        source.line(at.indent, f"if not 0 <= {i} < {len(union.branches)}: damaged('a union has no such branch')")
        source.line(at.indent, f"{v}, p = {name}[{i}](data, p, end, {at.depth}{self._budget})")
        choice = self._unions[id(union)]
        kinds = [choice.tagged_kinds(index) for index in range(len(union.branches))]
        asked = source.bind("Q", [_asking(choice, index, each) for index, each in enumerate(kinds)])
        tags = source.bind("G", choice.tags)
        source.line(at.indent, f"if {asked}[{i}]({v}): {v} = {{{tags}[{i}]: {v}}}")

    def _tag(self, union: Union, index: int, v: str, at: Place) -> None:
        choice = self._unions[id(union)]
        kinds = choice.tagged_kinds(index)
        tagged = f"{v} = {{{choice.tags[index]!r}: {v}}}"
        if kinds is None:
            self._source.line(at.indent, tagged)
        elif kinds:
            asked = self._source.bind("Q", _asking(choice, index, kinds))
            self._source.line(at.indent, f"if {asked}({v}): {tagged}")


def _asking(choice: Bare | Tagged, index: int, kinds: frozenset[type] | None) -> Callable[[Any], bool]:
    """Whether a decoded value needs its tag, because without it another branch would be taken."""

    def needs_tag(value: Any) -> bool:
        if kinds is None:
            return True
        if value.__class__ not in kinds:
            return False
        try:
            found, inner = choice.resolve(value)
        except wire.Misfit:
            return True
        return found != index or inner is not value

    return needs_tag


_READERS: dict[str, Callable[[Decoder, Leaf, Place], str]] = {
    "null": Decoder._null,
    "boolean": Decoder._boolean,
    "int": Decoder._integer,
    "long": Decoder._integer,
    "float": Decoder._floating,
    "double": Decoder._floating,
    "bytes": Decoder._bytes,
    "string": Decoder._string,
    "fixed": Decoder._fixed,
    "enum": Decoder._enum,
}
