"""What follows from a schema's structure: recursion, depth, the smallest encoding.

These are what keeps hostile data bounded: nesting is checked where types recurse, and block counts against the bytes
that their items must at least take.
"""

from collections.abc import Iterator

from eventbus_gateway.errors import SchemaUnusable
from eventbus_gateway.schemas.codec.schema import MAX_NESTING, Array, Leaf, Node, Record, children

MAX_WEIGHTLESS = 64
"""Values that one record may hold in fields that take no bytes: they amplify what a byte can decode to."""

_SMALLEST = {"null": 0, "float": 4, "double": 8}


class Shape:
    """The facts about one schema; recursive records are marked.

    Args:
        top: the schema.

    Raises:
        SchemaUnusable: it nests too deep, or a record needs itself without end.
    """

    def __init__(self, top: Node) -> None:
        self._records = _reachable_records(top)
        _mark_recursive(self._records)
        self._heights: dict[int, int] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._height(top, 0)
        for record in self._records:
            for field in record.fields:
                self._height(field.node, 0)
        for record in self._records:
            self._size(record, 0)
        self.weightless_items = any(
            self.smallest(items) == 0 for owner in (top, *self._records) for items in _item_types(owner)
        )

    @property
    def records(self) -> tuple[Record, ...]:
        """All records of the schema."""
        return self._records

    def smallest(self, node: Node) -> int:
        """The fewest bytes that any value of a type takes (a lower bound)."""
        return self._size(node, 0)[0]

    def weight(self, node: Node) -> int:
        """How many values one value of a type that takes no bytes decodes to."""
        return self._size(node, 0)[1]

    def _height(self, node: Node, level: int) -> int:
        """Levels below a type, up to where a recursive record checks nesting itself."""
        known = self._heights.get(id(node), 0)
        if not known:
            if level > MAX_NESTING:
                raise SchemaUnusable(f"The schema nests types deeper than {MAX_NESTING} levels.")
            inner = (each for each in children(node) if not (isinstance(each, Record) and each.recursive))
            known = 1 + max((self._height(each, level + 1) for each in inner), default=0)
            self._heights[id(node)] = known
        if level + known > MAX_NESTING + 1:
            raise SchemaUnusable(f"The schema nests types deeper than {MAX_NESTING} levels.")
        return known

    def _size(self, node: Node, level: int) -> tuple[int, int]:
        """Smallest encoding, and values that take no bytes."""
        if isinstance(node, Leaf):
            size = node.size if node.kind == "fixed" else _SMALLEST.get(node.kind, 1)
            return size, 0 if size else 1
        if not isinstance(node, Record):
            return 1, 0
        known = self._sizes.get(id(node))
        if known is None:
            if level > MAX_NESTING:
                raise SchemaUnusable(f"The record {node.name!r} contains itself without end.")
            sizes = [self._size(field.node, level + 1) for field in node.fields]
            size, weightless = sum(each[0] for each in sizes), sum(each[1] for each in sizes)
            if weightless > MAX_WEIGHTLESS:
                raise SchemaUnusable(f"The record {node.name!r} has more than {MAX_WEIGHTLESS} values of no bytes.")
            known = self._sizes[id(node)] = size, weightless + (0 if size else 1)
        return known


def _item_types(owner: Node) -> Iterator[Node]:
    """The item types of the arrays in a type, without entering its records."""
    pending = [owner, *children(owner)]
    while pending:
        node = pending.pop()
        if isinstance(node, Array):
            yield node.items
        if not isinstance(node, Record):
            pending += children(node)


def _inner_records(node: Node) -> list[Record]:
    """The records directly below a type, through its arrays, maps and unions."""
    found, pending = [], list(children(node))
    while pending:
        inner = pending.pop()
        if isinstance(inner, Record):
            found.append(inner)
        else:
            pending += children(inner)
    return found


def _reachable_records(top: Node) -> tuple[Record, ...]:
    pending = [top] if isinstance(top, Record) else _inner_records(top)
    found: dict[int, Record] = {}
    while pending:
        record = pending.pop()
        if id(record) not in found:
            found[id(record)] = record
            pending += _inner_records(record)
    return tuple(found.values())


def _mark_recursive(records: tuple[Record, ...]) -> None:
    """Mark what is left when records without inner records, and then those that none contains, are taken away."""
    inner = {id(record): {id(each) for each in _inner_records(record)} for record in records}
    left = _without_ends(inner)
    outer: dict[int, set[int]] = {each: set() for each in left}
    for record, targets in inner.items():
        if record in left:
            for target in targets & left:
                outer[target].add(record)
    left = _without_ends(outer)
    for each in records:
        each.recursive = id(each) in left


def _without_ends(edges: dict[int, set[int]]) -> set[int]:
    incoming: dict[int, list[int]] = {each: [] for each in edges}
    for source, targets in edges.items():
        for target in targets:
            incoming[target].append(source)
    open_ends = {each: len(targets) for each, targets in edges.items()}
    pending = [each for each, count in open_ends.items() if not count]
    while pending:
        end = pending.pop()
        for source in incoming[end]:
            open_ends[source] -= 1
            if not open_ends[source]:
                pending.append(source)
    return {each for each, count in open_ends.items() if count}
