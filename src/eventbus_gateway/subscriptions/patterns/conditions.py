"""What a pattern asks of one field: any one of a list of alternatives."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from eventbus_gateway.subscriptions.patterns.addresses import Block, inside
from eventbus_gateway.subscriptions.patterns.numeric import number_key
from eventbus_gateway.subscriptions.patterns.paths import ABSENT, Nothing

# Tests are asked about scalars of events and about ABSENT, never about objects and arrays.
Test = Callable[[object], bool]

# Reading an address out of a string takes about as long as so many other tests.
COST_OF_ADDRESSES: Final = 8

_TRUE: Final = Nothing("TRUE")
_FALSE: Final = Nothing("FALSE")


def key_of(value: object) -> object:
    """What equal JSON scalars have in common, as a key of a set or dict (to Python, ``True == 1``)."""
    kind = value.__class__
    if kind is str:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    if isinstance(value, int | float | Decimal):
        return number_key(value)
    return value


class Alternative(NamedTuple):
    """One of the things that a field may be.

    Args:
        keys: keys of the values that it may have.
        test: further values that it may have.
        cost: how many tests that is.
        block: IP addresses that it may have, however they are spelled.
        absent: whether it may be missing.
    """

    keys: frozenset[object] = frozenset()
    test: Test | None = None
    cost: int = 1
    block: Block | None = None
    absent: bool = False


class Condition:
    """What the values of one field may be.

    Args:
        alternatives: at least one.
    """

    __slots__ = ("absent", "cost", "keys", "plain", "test")

    def __init__(self, alternatives: Sequence[Alternative]) -> None:
        self.keys = frozenset[object]().union(*(one.keys for one in alternatives))
        self.absent = any(one.absent for one in alternatives)
        tests = [one.test for one in alternatives if one.test is not None]
        self.cost = sum(one.cost for one in alternatives if one.test is not None)
        blocks = frozenset(one.block for one in alternatives if one.block is not None)
        if blocks:
            # All blocks are looked for at once, since reading an address out of a string is what costs.
            tests.append(inside(blocks))
            self.cost += COST_OF_ADDRESSES
        # Whether keys and absence say everything, so that a dict can decide.
        self.plain = not tests
        self.test = _any_of(self.keys, tests, self.absent)


def _any_of(keys: frozenset[object], tests: list[Test], absent: bool) -> Test:
    options = [*tests]
    if absent:
        options.insert(0, _is_absent)
    if keys:
        options.insert(0, one_of(keys))
    if len(options) == 1:
        return options[0]

    def any_of(value: object) -> bool:
        for option in options:  # noqa: SIM110 - a generator costs as much as the tests
            if option(value):
                return True
        return False

    return any_of


def one_of(keys: frozenset[object]) -> Test:
    """A test for values that have one of the keys."""
    if all(isinstance(key, str) for key in keys):
        return keys.__contains__
    return lambda value: key_of(value) in keys


def present_but(tests: Sequence[Test]) -> Test:
    """A test for values that are there and fail all the tests."""
    if len(tests) == 1:
        unwanted = tests[0]
        return lambda value: value is not ABSENT and not unwanted(value)
    return lambda value: value is not ABSENT and not any(test(value) for test in tests)


def is_present(value: object) -> bool:
    """A test for any value at all."""
    return value is not ABSENT


def _is_absent(value: object) -> bool:
    return value is ABSENT
