"""A compiled pattern."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from eventbus_gateway.subscriptions.patterns.arrays import Elements
from eventbus_gateway.subscriptions.patterns.grammar import Grammar, Repeated, Term, TopName
from eventbus_gateway.subscriptions.patterns.limits import DEFAULT_LIMITS, Limits
from eventbus_gateway.subscriptions.patterns.paths import ABSENT, MANY, Event

# The one field of an event that has to be decoded; all others are attributes, which travel as headers.
DATA: Final = "data"

_Check = tuple[Callable[[Event], object], Callable[[object], bool]]


class Branch:
    """Terms that all have to agree.

    Args:
        terms: at least one.
    """

    __slots__ = ("_attributes", "_checks", "needs_data", "terms")

    def __init__(self, terms: Iterable[Term]) -> None:
        # The order decides about absence inside arrays: see arrays.py.
        self.terms: Sequence[Term] = tuple(sorted(terms, key=lambda term: term.path.name))
        # Attributes first, and what one look into a set decides before what has to be compared.
        easy_first = sorted(self.terms, key=lambda term: (_in_data(term), not term.condition.plain))
        self._checks = [_check(term) for term in easy_first]
        self._attributes = [_check(term) for term in easy_first if not _in_data(term)]
        self.needs_data = len(self._attributes) < len(self._checks)

    def outcome(self, event: Event) -> bool | None:
        """Whether an event has what all the terms ask for; None if elements of its arrays decide."""
        return _outcome(self._checks, event)

    def decide(self, attributes: Event) -> bool | None:
        """Whether an event with these attributes matches; None if its data has to be seen for that."""
        outcome = _outcome(self._attributes, attributes)
        if outcome is None:
            outcome = Elements(attributes).satisfy([term for term in self.terms if not _in_data(term)])
        return None if outcome and self.needs_data else outcome


def _outcome(checks: list[_Check], event: Event) -> bool | None:
    elements = False
    for value_in, test in checks:
        value = value_in(event)
        if value is MANY:
            elements = True
        elif value.__class__ is list:
            outcome = _in_list(value, test)
            if outcome is False:
                return False
            elements = elements or outcome is None
        elif not test(value):
            return False
    return None if elements else True


def _in_data(term: Term) -> bool:
    return DATA in term.path.fields


def _check(term: Term) -> _Check:
    return term.path.value, term.condition.test


def _in_list(values: list[Any], test: Callable[[object], bool]) -> bool | None:
    """Whether an array of scalars has one that passes; None if there are elements with fields of their own."""
    found = False
    for value in values:
        if value.__class__ is dict or value.__class__ is list:
            return None
        found = found or test(value)
    return found if values else test(ABSENT)


class Pattern:
    """What events have to look like.

    It can be used from several threads: it never changes.

    Args:
        branches: at least one; the pattern matches what one of them matches.
    """

    __slots__ = ("branches", "fields", "needs_data", "paths")

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = tuple(branches)
        paths = [term.path for branch in branches for term in branch.terms]
        # The ways to all fields that are looked at, as keys from the root on.
        self.paths = frozenset(path.steps for path in paths)
        # The names at the top of an event that are looked at.
        self.fields = frozenset[str]().union(*(path.fields for path in paths))
        # Whether some events can only be decided with their data.
        self.needs_data = DATA in self.fields

    def matches(self, event: Event) -> bool:
        """Whether an event matches.

        Args:
            event: a JSON object as a JSON parser makes it: plain dicts, lists, strings, numbers (also ``Decimal``),
                booleans, None.
        """
        elements: Elements | None = None
        for branch in self.branches:
            outcome = branch.outcome(event)
            if outcome is None:
                elements = elements or Elements(event)
                outcome = elements.satisfy(branch.terms)
            if outcome:
                return True
        return False

    def decide(self, attributes: Event) -> bool | None:
        """Whether an event matches, as far as its attributes tell.

        Args:
            attributes: everything of the event but its data. What is missing here counts as missing in the event.

        Returns:
            True or False where that holds whatever the data is; None where the data decides.
        """
        undecided = False
        for branch in self.branches:
            outcome = branch.decide(attributes)
            if outcome:
                return True
            undecided = undecided or outcome is None
        return None if undecided else False


def compile_pattern(
    pattern: object,
    limits: Limits = DEFAULT_LIMITS,
    repeated: Repeated = "last",
    top_name: TopName = lambda name, _value, _pointer: name,
) -> Pattern:
    """Compile an EventBridge event pattern.

    Args:
        pattern: parsed JSON. Where the spelling of a number matters (``1E-325``), parse numbers as ``Decimal``.
        limits: how large it may be.
        repeated: what happens to a field that is given twice, inside an ``$or`` and outside of it: the last one
            counts, as in EventBridge, or it is a fault.
        top_name: renames the names at the top.

    Raises:
        InvalidFilter: it is no pattern, or exceeds a limit; with a JSON pointer to the place.
    """
    found = Grammar(limits, repeated, top_name).branches(pattern)
    return Pattern([Branch(terms.values()) for terms in found])
