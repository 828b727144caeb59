"""How large a pattern may be; together these bound what compiling and matching cost."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Bounds of one pattern.

    Args:
        depth: objects inside each other, ``$or`` included.
        branches: combinations of alternatives of all ``$or``.
        terms: fields of all these combinations together.
        values: values and operators, wherever they stand.
        text: characters of one value.
    """

    depth: int = 32
    branches: int = 256
    terms: int = 1_024
    values: int = 4_096
    text: int = 1_024


DEFAULT_LIMITS = Limits()
