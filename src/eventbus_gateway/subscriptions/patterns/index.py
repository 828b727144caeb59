"""Many patterns against one event.

Every branch of every pattern has a bit. For each path that some branch asks for by value there is a column: from a
value to the bits of the branches that accept it. An event is looked up once per column, and what the columns answer
is intersected; the bits that are left are the branches that match. A thousand patterns are a number of a thousand
bits, so their count hardly shows, however much they have in common; what shows is the number of different paths.

Alternatives that a lookup cannot decide (prefixes, ranges and the like), and agreement inside arrays, are checked
one by one for the branches that are left.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from eventbus_gateway.subscriptions.patterns.arrays import Elements
from eventbus_gateway.subscriptions.patterns.conditions import Condition, key_of
from eventbus_gateway.subscriptions.patterns.paths import ABSENT, MANY, Event, Path
from eventbus_gateway.subscriptions.patterns.pattern import DATA, Branch, Pattern

K = TypeVar("K", bound=Hashable)


class Decided(NamedTuple, Generic[K]):
    """What attributes alone say about many patterns.

    Args:
        matching: whose pattern matches whatever the data is.
        undecided: whose pattern needs the data.
    """

    matching: list[K]
    undecided: list[K]


class _Column:
    """Which branches accept which value of one path."""

    __slots__ = ("bits", "care", "free", "in_data", "path", "value")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value: Callable[[Event], object] = path.value
        self.in_data = DATA in path.fields
        self.bits: dict[object, int] = {}
        self.care = 0
        # The branches that do not ask for this path; its complement, so that it need not follow every new branch.
        self.free = ~0

    def add(self, condition: Condition, bit: int) -> None:
        self.care |= bit
        self.free = ~self.care
        for key in _keys(condition):
            self.bits[key] = self.bits.get(key, 0) | bit

    def remove(self, condition: Condition, bit: int) -> None:
        self.care &= ~bit
        self.free = ~self.care
        for key in _keys(condition):
            left = self.bits[key] & ~bit
            if left:
                self.bits[key] = left
            else:
                del self.bits[key]

    def of_many(self, elements: Elements) -> int:
        """The branches that accept a value in some element of an array, or that could find it missing in some."""
        accepted = self.bits.get(ABSENT, 0)
        for key in elements.keys(self.path):
            accepted |= self.bits.get(key, 0)
        return accepted


class PatternIndex(Generic[K]):
    """The patterns of many subscriptions on one topic.

    What it holds is bounded by whoever adds to it. It belongs to one thread.
    """

    def __init__(self) -> None:
        self._patterns: dict[K, Pattern | None] = {}
        self._slots: dict[K, list[int]] = {}
        self._owners: list[tuple[K, Branch | None] | None] = []
        self._unused: list[int] = []
        self._columns: dict[tuple[str, ...], _Column] = {}
        # In the order of looking: what tells most branches apart first.
        self._ordered: list[_Column] | None = None
        self._all = 0
        # Branches with something that lookups do not decide.
        self._partly = 0

    def __len__(self) -> int:
        return len(self._patterns)

    def add(self, id_: K, pattern: Pattern | None) -> None:
        """Put in the pattern of a subscription, or replace it.

        Args:
            id_: what ``matching`` answers with.
            pattern: None matches everything.
        """
        self.remove(id_)
        self._patterns[id_] = pattern
        branches = (None,) if pattern is None else pattern.branches
        self._slots[id_] = [self._add(id_, branch) for branch in branches]
        self._ordered = None

    def remove(self, id_: K) -> None:
        """Take out the pattern of a subscription, if there is one."""
        if self._patterns.pop(id_, None) is None and id_ not in self._slots:
            return
        for slot in self._slots.pop(id_):
            self._remove(slot)
        self._ordered = None

    def matching(self, event: Event) -> list[K]:
        """Whose pattern an event matches, each once, in no particular order."""
        elements = Elements(event)
        left, unsure = self._look_up(self._columns_in_order(), event, elements)
        unsure |= self._partly
        found: list[K] = []
        for slot in _bits(left):
            id_, branch = self._owner(slot)
            if branch is None or not unsure >> slot & 1 or _matches(branch, event, elements):
                found.append(id_)
        return found if len(self._patterns) == len(self._owners) else list(dict.fromkeys(found))

    def decide(self, attributes: Event) -> Decided[K]:
        """Whose pattern an event matches, as far as its attributes tell.

        Args:
            attributes: everything of the event but its data.
        """
        columns = (column for column in self._columns_in_order() if not column.in_data)
        left, _ = self._look_up(columns, attributes, Elements(attributes))
        outcomes: dict[K, bool] = {}
        for slot in _bits(left):
            id_, branch = self._owner(slot)
            outcome = True if branch is None else branch.decide(attributes)
            if outcome is not False:
                outcomes[id_] = outcomes.get(id_, False) or outcome is True
        return Decided(
            [id_ for id_, sure in outcomes.items() if sure], [id_ for id_, sure in outcomes.items() if not sure]
        )

    def _look_up(self, columns: Iterable[_Column], event: Event, elements: Elements) -> tuple[int, int]:
        """The branches that no column rules out, and those of them that arrays leave in doubt."""
        left, unsure = self._all, 0
        for column in columns:
            value = column.value(event)
            if value.__class__ is str:
                accepted = column.bits.get(value, 0)
            elif value is MANY or value.__class__ is list:
                accepted = column.of_many(elements)
                unsure |= column.care
            else:
                accepted = column.bits.get(key_of(value), 0)
            left &= accepted | column.free
            if not left:
                break
        return left, unsure

    def _columns_in_order(self) -> list[_Column]:
        if self._ordered is None:
            self._ordered = sorted(self._columns.values(), key=lambda column: -len(column.bits))
        return self._ordered

    def _owner(self, slot: int) -> tuple[K, Branch | None]:
        owner = self._owners[slot]
        assert owner is not None  # noqa: S101 - bits of unused slots are never set
        return owner

    def _add(self, id_: K, branch: Branch | None) -> int:
        if self._unused:
            slot = heappop(self._unused)
            self._owners[slot] = (id_, branch)
        else:
            slot = len(self._owners)
            self._owners.append((id_, branch))
        bit = 1 << slot
        self._all |= bit
        if branch is None:
            return slot
        for term in branch.terms:
            if not term.condition.plain:
                self._partly |= bit
                continue
            column = self._columns.get(term.path.steps)
            if column is None:
                column = self._columns[term.path.steps] = _Column(term.path)
            column.add(term.condition, bit)
        return slot

    def _remove(self, slot: int) -> None:
        _, branch = self._owner(slot)
        bit = 1 << slot
        for term in branch.terms if branch is not None else ():
            if term.condition.plain:
                column = self._columns[term.path.steps]
                column.remove(term.condition, bit)
                if not column.care:
                    del self._columns[term.path.steps]
        self._owners[slot] = None
        heappush(self._unused, slot)
        self._all &= ~bit
        self._partly &= ~bit


def _matches(branch: Branch, event: Event, elements: Elements) -> bool:
    outcome = branch.outcome(event)
    return elements.satisfy(branch.terms) if outcome is None else outcome


def _keys(condition: Condition) -> Iterator[object]:
    yield from condition.keys
    if condition.absent:
        yield ABSENT


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
