"""What a subscription is called in Kafka, and where its shards go."""

import re
import zlib
from hashlib import blake2b

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of subscriptions. With the longest owner and ``.dlq`` they are still names of topics."""

ANONYMOUS = "anonymous"


def is_name(text: str) -> bool:
    """Whether a subscription may be called so."""
    return NAME.fullmatch(text) is not None


def full_name(owner: str, name: str) -> str:
    """A name that no subscription of anybody else has: ``<owner>.<name>``, or the name alone of an anonymous owner.

    Both parts may have dots. So that it stays clear where the owner ends, one with dots is written without them and
    with a hash instead, and anonymous owners' names with dots keep the owner.

    Args:
        owner: name of a principal.
        name: name of its subscription.
    """
    if owner == ANONYMOUS and "." not in name:
        return name
    if "." in owner:
        mark = blake2b(owner.encode(), digest_size=16).hexdigest()
        owner = f"{owner.replace('.', '-')}-{mark}"
    return f"{owner}.{name}"


def dead_letter_topic_name(owner: str, name: str) -> str:
    """The topic for a subscription's dead letters."""
    return f"{full_name(owner, name)}.dlq"


def group_name(prefix: str, owner: str, name: str, subscription_id: str, state: str | None = None) -> str:
    """The consumer group of a subscription; the id keeps what was created anew from going on where the old one was.

    Args:
        prefix: the same for all groups of the gateway.
        owner: name of a principal.
        name: name of its subscription.
        subscription_id: id of the subscription.
        state: which of its states, None for the first; each has positions of its own.
    """
    first = f"{prefix}.{full_name(owner, name)}.{subscription_id}"
    return first if state is None else f"{first}.{state}"


def shard_of(partition: int, parallelism: int) -> int:
    """The shard that a partition belongs to, of every topic of a subscription.

    Args:
        partition: number of the partition.
        parallelism: number of the subscription's shards.
    """
    return partition % parallelism


def slot_of(subscription_id: str, shard: int, slots: int) -> int:
    """The slot that a shard belongs to: shards of one subscription have different ones while there are enough.

    Args:
        subscription_id: id of the subscription.
        shard: number of the shard.
        slots: number of slots.
    """
    return (zlib.crc32(subscription_id.encode()) + shard) % slots
