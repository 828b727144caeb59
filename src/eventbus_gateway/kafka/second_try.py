"""Second tries for records that were refused together with others.

A broker refuses a whole batch for one bad record in it. Which one that is comes out when each is sent in a batch of
its own, which takes a second client: on the first one it would share its batch with strangers again.
"""

from collections.abc import Sequence

from eventbus_gateway.errors import NotAttempted
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored, Unknown

HELD = NotStored(
    NotAttempted("A neighbour of this event was refused, and sending it again could break the order of its key")
)
"""For records that stay out so that the order of their key holds."""


def overtaken_keys(
    records: Sequence[Record], outcomes: Sequence[Outcome | None], spoiled: Sequence[int]
) -> set[bytes]:
    """Keys of which a record must not be sent again.

    It must not when a later record of the key in the same request is stored already. A record whose fate is unknown
    may turn up in the log at any time, so it counts whatever its place.

    Args:
        records: the request's records in order.
        outcomes: what is known about each.
        spoiled: places of the records that could be sent again.
    """
    first: dict[bytes, int] = {}
    for index in spoiled:
        key = records[index].key
        if key is not None:
            first[key] = min(index, first.get(key, index))
    overtaken: set[bytes] = set()
    for index, outcome in enumerate(outcomes):
        key = records[index].key
        if key is None or key not in first:
            continue
        if outcome is None or type(outcome) is Unknown or (type(outcome) is Stored and index > first[key]):
            overtaken.add(key)
    return overtaken
