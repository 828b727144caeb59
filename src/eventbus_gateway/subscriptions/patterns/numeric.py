"""Numbers as patterns see them: what can be compared, and what is equal only to itself.

A number takes part in comparisons when it is the shortest decimal of some IEEE 754 double. Others, such as whole
numbers beyond 2^53 that fall between two doubles, are equal to the same number and to nothing else: comparing their
nearest double would call different identifiers equal.
"""

import math
from decimal import Decimal

# Every whole number up to here is a double.
SAFE = 2**53


def comparable(value: float | Decimal) -> float | None:
    """The number to compare by, or None where a double would not tell it from its neighbours."""
    if isinstance(value, int) and -SAFE <= value <= SAFE:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    try:
        double = float(value)
    except OverflowError:
        return None
    if not math.isfinite(double) or Decimal(repr(double)) != value:
        return None
    return double


def number_key(value: float | Decimal) -> object:
    """What numbers that are equal have in common, as a key of a set or dict."""
    number = comparable(value)
    return ("spelled", value) if number is None else number


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
