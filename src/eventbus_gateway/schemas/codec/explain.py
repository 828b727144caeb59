"""The slow walk over an event that did not fit: finds every fault and where it is."""

from collections.abc import Iterable
from typing import Any

from eventbus_gateway.errors import Fault
from eventbus_gateway.schemas.codec.schema import (
    MAX_NESTING,
    Array,
    Field,
    Leaf,
    Map,
    Node,
    Record,
    Union,
    Unknown,
    expected_of,
)
from eventbus_gateway.schemas.codec.unions import Bare, Tagged
from eventbus_gateway.schemas.codec.wire import Misfit, kind_of

MAX_FAULTS = 100
MAX_POINTER = 512
"""Characters of a pointer; a longer one is cut and ends with ``…``."""
_MAX_DETAIL = 500


class _Full(Exception):
    """Enough faults are known."""


class Explanation:
    """The faults of one event.

    Args:
        unions: how each union of the schema, by its identity, tells its branches apart.
        unknown: what happens to fields that a record does not know.

    Attributes:
        faults: at most ``MAX_FAULTS``.
        cut: there are more than these.
    """

    def __init__(self, unions: dict[int, Bare | Tagged], unknown: Unknown) -> None:
        self._unions = unions
        self._refuse = unknown == "refuse"
        self._path: list[str | int] = []
        self.faults: list[Fault] = []
        self.cut = False

    def walk(self, node: Node, value: Any) -> None:
        """Collect the faults of a value."""
        try:
            self._node(node, value, 0)
        except _Full:
            self.cut = True

    def _fault(self, detail: str, *more: str) -> None:
        if len(self.faults) == MAX_FAULTS:
            raise _Full
        self.faults.append(Fault(_pointer((*self._path, *more)), _cut(_clean(detail), _MAX_DETAIL)))

    def _node(self, node: Node, value: Any, depth: int) -> None:
        if isinstance(node, Leaf):
            try:
                node.pack(value)
            except Misfit as misfit:
                self._fault(misfit.detail)
        elif isinstance(node, Union):
            self._union(node, value, depth)
        elif isinstance(node, Array) and isinstance(value, list):
            self._items(node.items, enumerate(value), depth + 1)
        elif isinstance(node, Array) or not isinstance(value, dict):
            self._fault(f"expected {expected_of(node)}, got {kind_of(value)}")
        elif isinstance(node, Map):
            self._map(node, value, depth + 1)
        elif node.recursive and depth >= MAX_NESTING:
            self._fault(f"expected at most {MAX_NESTING} levels of nesting, got more")
        else:
            self._record(node, value, depth + 1)

    def _items(self, node: Node, items: Iterable[tuple[str | int, Any]], depth: int) -> None:
        path = self._path
        for key, item in items:
            path.append(key)
            self._node(node, item, depth)
            path.pop()

    def _map(self, node: Map, value: dict[str, Any], depth: int) -> None:
        for key in value:
            if not _is_utf8(key):
                self._fault("expected a key that is valid Unicode, got one with an unpaired surrogate", key)
        self._items(node.values, value.items(), depth)

    def _union(self, union: Union, value: Any, depth: int) -> None:
        try:
            index, inner = self._unions[id(union)].resolve(value)
        except Misfit as misfit:
            self._fault(misfit.detail)
            return
        if inner is value:
            self._node(union.branches[index], value, depth)
        else:
            self._items(union.branches[index], value.items(), depth)

    def _record(self, record: Record, value: dict[str, Any], depth: int) -> None:
        present = 0
        for field in record.fields:
            if field.name in value:
                present += 1
                self._items(field.node, ((field.name, value[field.name]),), depth)
            elif not field.aliases:
                if not field.optional:
                    self._fault(f"expected {expected_of(field.node)}, got nothing: the field is missing", field.name)
                continue
            present += self._aliases(field, value, depth)
        if self._refuse and present != len(value):
            self._unknown(record, value)

    def _aliases(self, field: Field, value: dict[str, Any], depth: int) -> int:
        spellings = [alias for alias in field.aliases if alias in value]
        if field.name in value:
            for alias in spellings:
                self._fault(f"expected the field {field.name} once, got it under an alias too", alias)
        elif len(spellings) == 1:
            self._items(field.node, ((spellings[0], value[spellings[0]]),), depth)
        elif spellings:
            for alias in spellings:
                self._fault(f"expected the field {field.name} once, got it under several aliases", alias)
        elif not field.optional:
            self._fault(f"expected {expected_of(field.node)}, got nothing: the field is missing", field.name)
        return len(spellings)

    def _unknown(self, record: Record, value: dict[str, Any]) -> None:
        known = {name for field in record.fields for name in (field.name, *field.aliases)}
        for key in value:
            if key not in known:
                self._fault(f"expected only fields of {record.name}, got an unknown one", key)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _pointer(path: Iterable[str | int]) -> str:
    """RFC 6901; every part is cut before it is escaped, the whole afterwards."""
    parts = (str(each)[: MAX_POINTER + 1].replace("~", "~0").replace("/", "~1") for each in path)
    return _cut(_clean("".join(f"/{part}" for part in parts)), MAX_POINTER)
