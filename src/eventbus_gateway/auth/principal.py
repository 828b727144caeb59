"""Who is calling."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is established.

    Args:
        name: unique name; ``anonymous`` where the configuration lets everybody in.
        roles: names of the roles that its credential gives it.
    """

    name: str
    roles: frozenset[str] = frozenset()


ANONYMOUS = Principal("anonymous")
# Who calls as long as that is not established: no grant can name it.
NOBODY = Principal("")
