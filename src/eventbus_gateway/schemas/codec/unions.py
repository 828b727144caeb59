"""Which branch of a union a JSON value belongs to.

Plain dialect, decided by JSON kind, the same way for every value of a schema:

1. A bare value other than an object goes to the branch that takes its kind. Where several take it:
   strings go to ``string`` if the union has it, always; else the first that accepts the text of enum, UUID, dates,
   times and durations, decimals, NaN and infinities, fixed, bytes.
   Integers go to the first that accepts the number of ``int``, ``long``, dates and times, ``double``, ``float``,
   decimals. Fractions go to ``double``, else ``float``. Branches of one rank are tried in their order in the union.
2. An object goes to the one record whose required keys are all present and which knows all keys that are;
   else to a map whose values take the JSON kinds of the object's values;
   else, if its only key names a branch (``{"string": "x"}``, ``{"full.name": {…}}``), to that branch;
   else, where unknown fields are ignored, to the one record whose required keys are present;
   else, if the union has only one record or map, to that one, which then says what does not fit.
3. A tag as in Avro's JSON comes before all this only where decoding needs it to tell apart what otherwise cannot be:
   a branch whose bare form could be taken for another one, in a union in which its tag could be taken for a key.

Decoding gives the bare form where it resolves to the same branch again, else the tagged one.
In the ``avro`` dialect every branch but null is tagged.
"""

from typing import Any

from eventbus_gateway.schemas.codec.schema import (
    Dialect,
    Leaf,
    Map,
    Node,
    Record,
    Union,
    Unknown,
    expected_of,
    listed,
    tag_of,
)
from eventbus_gateway.schemas.codec.wire import Misfit, kind_of

Choice = tuple[int, Any]
"""The index of a branch and the value without its tag."""


def accepted_kinds(node: Node, dialect: Dialect) -> frozenset[type]:
    """The JSON kinds that a type can take."""
    if isinstance(node, Leaf):
        return frozenset(node.takes)
    if not isinstance(node, Union):
        return frozenset((dict,)) if isinstance(node, Map | Record) else frozenset((list,))
    kinds: set[type] = {type(None)} if any(tag_of(each) == "null" for each in node.branches) else set()
    if any(tag_of(each) != "null" for each in node.branches):
        kinds.add(dict)
    if dialect == "plain":
        kinds.update(*(accepted_kinds(each, dialect) for each in node.branches))
    return frozenset(kinds)


def _given_kinds(node: Node) -> frozenset[type]:
    if isinstance(node, Leaf):
        return node.gives
    return frozenset((dict,)) if isinstance(node, Map | Record) else frozenset((list,))


class Tagged:
    """The resolution of the ``avro`` dialect.

    Args:
        union: whose branches it tells apart.
    """

    def __init__(self, union: Union) -> None:
        self.tags = tuple(tag_of(each) for each in union.branches)
        self._indexes = {tag: index for index, tag in enumerate(self.tags)}
        self._null = self._indexes.pop("null", None)
        self._expected = listed(
            (["null"] if self._null is not None else []) + [f'{{"{tag}": …}}' for tag in self._indexes]
        )
        self.bare: dict[type, tuple[int, ...]] = {} if self._null is None else {type(None): (self._null,)}
        self.sole_object: int | None = None

    def resolve(self, value: Any) -> Choice:
        """The branch of a value.

        Raises:
            Misfit: it belongs to none.
        """
        if value is None and self._null is not None:
            return self._null, value
        if value.__class__ is dict and len(value) == 1:
            ((tag, inner),) = value.items()
            if tag in self._indexes:
                return self._indexes[tag], inner
        raise Misfit(f"expected {self._expected}, got {kind_of(value)}")

    def tagged_kinds(self, index: int) -> frozenset[type] | None:
        """The JSON kinds that decoding has to tag; None for all."""
        return frozenset() if index == self._null else None


class Bare:
    """The resolution of the plain dialect.

    Args:
        union: whose branches it tells apart.
        unknown: what happens to fields that a record does not know.
    """

    def __init__(self, union: Union, unknown: Unknown) -> None:
        self._branches = union.branches
        self.tags = tuple(tag_of(each) for each in union.branches)
        self._indexes = {tag: index for index, tag in enumerate(self.tags) if tag != "null"}
        self.bare = _by_kind(union)
        self._records = _Records(union, unknown)
        self._map = next((index for index, each in enumerate(union.branches) if isinstance(each, Map)), None)
        self._map_kinds = _value_kinds(union.branches[self._map]) if self._map is not None else frozenset()
        objects = [index for index, each in enumerate(union.branches) if isinstance(each, Map | Record)]
        self.sole_object = objects[0] if len(objects) == 1 else None
        self._contested_objects = len(objects) > 1
        self._first_tags = self._tags_that_come_first()
        if self._first_tags:
            # An object with one key may now be a tag, so that every object can need one.
            self._contested_objects = True
            self._first_tags = self._tags_that_come_first()

    def _tags_that_come_first(self) -> frozenset[str]:
        return frozenset(
            tag
            for index, tag in enumerate(self.tags)
            if self.tagged_kinds(index)
            and (tag in self._records.keys or self._map_kinds & _given_kinds(self._branches[index]))
        )

    def tagged_kinds(self, index: int) -> frozenset[type]:
        """The JSON kinds in which a decoded branch could be taken for another one."""
        given = _given_kinds(self._branches[index])
        if dict in given:
            return given if self._contested_objects else frozenset()
        return frozenset(kind for kind in given if self.bare.get(kind) != (index,))

    def resolve(self, value: Any) -> Choice:
        """The branch of a value.

        Raises:
            Misfit: it belongs to none, or to several.
        """
        if value.__class__ is dict:
            return self._object(value)
        candidates = self.bare.get(value.__class__, ())
        if len(candidates) == 1:
            return candidates[0], value
        for index in candidates:
            if self._accepts(index, value):
                return index, value
        kind = kind_of(value)
        raise self._misfit(f"got another {kind.rpartition(' ')[2]}" if candidates else f"got {kind}")

    def _object(self, value: dict[str, Any]) -> Choice:
        tag = next(iter(value)) if len(value) == 1 else ""
        if tag in self._first_tags and self._accepts(self._indexes[tag], value[tag]):
            return self._indexes[tag], value[tag]
        records = self._records.covering(value)
        if len(records) == 1:
            return records[0], value
        if not records and self._map is not None and self._map_takes(value):
            return self._map, value
        if not records and tag in self._indexes:
            return self._indexes[tag], value[tag]
        if not records:
            records = self._records.satisfied(value)
        if not records and self.sole_object is not None:
            return self.sole_object, value
        if len(records) == 1:
            return records[0], value
        if records:
            names = listed([self.tags[index] for index in records])
            raise Misfit(
                f"expected an object that fits one branch, got an ambiguous one: name it by the only key {names}"
            )
        raise self._misfit("got an object that fits none of them")

    def _misfit(self, got: str) -> Misfit:
        return Misfit(f"expected {listed([expected_of(each) for each in self._branches])}, {got}")

    def _map_takes(self, value: dict[str, Any]) -> bool:
        return {each.__class__ for each in value.values()} <= self._map_kinds

    def _accepts(self, index: int, value: Any) -> bool:
        branch = self._branches[index]
        if isinstance(branch, Leaf):
            try:
                branch.pack(value)
            except Misfit:
                return False
            return True
        if isinstance(branch, Record):
            return value.__class__ is dict and index in self._records.covering(value)
        if isinstance(branch, Map):
            return value.__class__ is dict and self._map_takes(value)
        return value.__class__ is list


def _by_kind(union: Union) -> dict[type, tuple[int, ...]]:
    """For each JSON kind but objects, the branches that can take it, in the order in which they are tried."""
    ranked: dict[type, list[tuple[int, int]]] = {}
    for index, branch in enumerate(union.branches):
        takes = branch.takes if isinstance(branch, Leaf) else dict.fromkeys(_given_kinds(branch), 0)
        for kind, rank in takes.items():
            ranked.setdefault(kind, []).append((rank, index))
    ordered = {kind: tuple(index for _, index in sorted(pairs)) for kind, pairs in ranked.items() if kind is not dict}
    plain_string = next((index for index, each in enumerate(union.branches) if _is_plain_string(each)), None)
    if plain_string is not None:
        ordered[str] = (plain_string,)
    return ordered


def _is_plain_string(node: Node) -> bool:
    return isinstance(node, Leaf) and node.kind == "string" and node.inline and not node.form


def _value_kinds(node: Node) -> frozenset[type]:
    return accepted_kinds(node.values, "plain") if isinstance(node, Map) else frozenset()


class _Records:
    """The record branches of a union, found by the keys of an object.

    Each record is registered under the rarest of its required keys, so that an object is compared with few records
    however many the union has.
    """

    def __init__(self, union: Union, unknown: Unknown) -> None:
        self._ignore = unknown == "ignore"
        self._required: dict[int, frozenset[str]] = {}
        self._aliased: dict[int, tuple[tuple[str, ...], ...]] = {}
        self._known: dict[str, int] = {}
        self._by_rarest: dict[str, int] = {}
        self._without_required = 0
        for index, branch in enumerate(union.branches):
            if isinstance(branch, Record):
                self._add(index, branch)
        for index in self._required:
            self._register(index)
        self.keys = self._known.keys()

    def _add(self, index: int, record: Record) -> None:
        required = [field for field in record.fields if not field.optional]
        self._required[index] = frozenset(field.name for field in required if not field.aliases)
        self._aliased[index] = tuple((field.name, *field.aliases) for field in required if field.aliases)
        for field in record.fields:
            for name in (field.name, *field.aliases):
                self._known[name] = self._known.get(name, 0) | 1 << index

    def _register(self, index: int) -> None:
        spellings = [(name,) for name in self._required[index]] + list(self._aliased[index])
        if not spellings:
            self._without_required |= 1 << index
            return
        rarest = min(spellings, key=lambda names: sum(self._known[name].bit_count() for name in names))
        for name in rarest:
            self._by_rarest[name] = self._by_rarest.get(name, 0) | 1 << index

    def covering(self, value: dict[str, Any]) -> list[int]:
        """The records that know all keys of an object and whose required keys it has."""
        if not self._required:
            return []
        cover, owed = -1, self._without_required
        for key in value:
            cover &= self._known.get(key, 0)
            if not cover:
                return []
            owed |= self._by_rarest.get(key, 0)
        return self._complete(cover & owed, value)

    def satisfied(self, value: dict[str, Any]) -> list[int]:
        """Where unknown fields are ignored: the records whose required keys an object has."""
        if not self._ignore or not self._required:
            return []
        owed = self._without_required
        for key in value:
            owed |= self._by_rarest.get(key, 0)
        return self._complete(owed, value)

    def _complete(self, mask: int, value: dict[str, Any]) -> list[int]:
        found = []
        while mask:
            index = (mask & -mask).bit_length() - 1
            mask &= mask - 1
            if self._required[index] <= value.keys() and (
                not self._aliased[index]
                or all(any(name in value for name in names) for names in self._aliased[index])
            ):
                found.append(index)
        return found
