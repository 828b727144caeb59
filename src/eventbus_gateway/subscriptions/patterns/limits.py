"""How large a pattern may be; together these bound what compiling and matching cost."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Bounds of one pattern.

    The time to match an event grows with the event's values times the operators, plus its values times the terms.

    Args:
        depth: objects inside each other, ``$or`` included.
        branches: combinations of alternatives of all ``$or``.
        terms: fields of all these combinations together.
        values: values and operators, wherever they stand.
        operators: those of them that have to be tried one by one; plain values are looked up however many there are.
        text: characters of one value or name.
    """

    depth: int = 32
    branches: int = 256
    terms: int = 512
    values: int = 2_048
    operators: int = 128
    text: int = 1_024


DEFAULT_LIMITS = Limits()
