"""Whether a topic can lose events that it has acknowledged: a pure look at how it is set up."""

from typing import NamedTuple


class Required(NamedTuple):
    """What is asked of a topic.

    Args:
        replicas: copies of each partition.
        in_sync: replicas that must have a record before it is acknowledged.
    """

    replicas: int
    in_sync: int


class Setup(NamedTuple):
    """How a topic is set up; None where it is not known.

    Args:
        replicas: of the partition that has the fewest.
        in_sync: ``min.insync.replicas``.
        unclean: ``unclean.leader.election.enable``.
    """

    replicas: int
    in_sync: int | None
    unclean: bool | None


def weaknesses(setup: Setup, required: Required) -> list[str]:
    """Why a topic could lose acknowledged events, each with what to do; nothing where it cannot."""
    found = []
    if setup.replicas < required.replicas:
        found.append(f"it has {setup.replicas} of {required.replicas} replicas: reassign its partitions")
    if setup.in_sync is not None and setup.in_sync < required.in_sync:
        found.append(
            f"an event is acknowledged with {_copies(setup.in_sync)}: set min.insync.replicas={required.in_sync}"
        )
    if setup.unclean:
        found.append("a replica that lacks events may become leader: set unclean.leader.election.enable=false")
    return found


def _copies(number: int) -> str:
    return "one copy" if number == 1 else f"{number} copies"
