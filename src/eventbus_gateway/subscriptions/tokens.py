"""References to handed-out events, and the opaque text that clients give back for them.

A token is 40 characters of URL-safe base64: version (2 bytes), shard (2), acquisition (8), topic (2), partition (4),
offset (8), delivery count (4), all big-endian. It proves nothing: what a caller may do is decided by the caller's
policy, and what a token still means by whoever owns the shard.
"""

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import NamedTuple

_VERSION = b"\0\1"
_WHERE = Struct(">2sHQHI")
_WHOLE = Struct(">2xHQHIQI")
_LENGTH = 40
# The last 12 bytes: whole groups of base64, so that they can be put together as text.
_END_CHARACTERS = 16
_MOST_AT_ONCE = 128
"""Ends that are put together at once: the structures for each number of them are kept."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# The plain alphabet's own two characters turn into something that no alphabet has: one token, one spelling.
_PLAIN = bytes.maketrans(b"-_+/", b"+/!!")


class Reference(NamedTuple):
    """One hand-out of one event.

    Args:
        shard: index of the shard within its subscription.
        acquisition: random number of 64 bits of the state that handed the event out; it says which topics the index
            means and which former references are void.
        topic: index into the topics of that state.
        partition: number of the partition.
        offset: place of the event.
        delivery_count: how often the event had been handed out, this time included.
    """

    shard: int
    acquisition: int
    topic: int
    partition: int
    offset: int
    delivery_count: int


AnyReference = tuple[int, int, int, int, int, int]
"""A ``Reference``, or the same without names: to name the parts of each of many takes as long as to read them."""


def prefix(shard: int, acquisition: int, topic: int, partition: int) -> bytes:
    """What the tokens of one partition have in common; see ``Reference``."""
    return text_of(_WHERE.pack(_VERSION, shard, acquisition, topic, partition))


def token(start: bytes, offset: int, delivery_count: int) -> str:
    """The token of one hand-out.

    Args:
        start: ``prefix`` of its partition.
        offset: place of the event.
        delivery_count: how often it was handed out.
    """
    return (start + ends([offset], [delivery_count])[0]).decode("ascii")


def token_of(reference: AnyReference) -> str:
    """The token of a reference by itself."""
    shard, acquisition, topic, partition, offset, delivery_count = reference
    return token(prefix(shard, acquisition, topic, partition), offset, delivery_count)


def ends(offsets: Sequence[int], delivery_counts: Sequence[int]) -> list[bytes]:
    """What follows the ``prefix`` in the tokens of many hand-outs.

    Args:
        offsets: place of each event.
        delivery_counts: how often each was handed out.
    """
    found: list[bytes] = []
    for start in range(0, len(offsets), _MOST_AT_ONCE):
        turn = slice(start, start + _MOST_AT_ONCE)
        numbers, texts = _structures(len(offsets[turn]))
        packed = numbers.pack(*chain.from_iterable(zip(offsets[turn], delivery_counts[turn], strict=True)))
        found += texts.unpack(text_of(packed))
    return found


@lru_cache(maxsize=_MOST_AT_ONCE)
def _structures(count: int) -> tuple[Struct, Struct]:
    """So many ends as numbers, and as text."""
    return Struct(">" + "QI" * count), Struct(f"{_END_CHARACTERS}s" * count)


def parse(text: str) -> Reference | None:
    """The reference that a token stands for, None for a text that is no token."""
    raw = raw_of(text) if len(text) == _LENGTH else None
    return None if raw is None or not raw.startswith(_VERSION) else Reference._make(_WHOLE.unpack(raw))


def parse_all(texts: Sequence[str]) -> Sequence[AnyReference | None]:
    """The same for many tokens at once, in a third of the time."""
    raw = _all_raw(texts)
    return [parse(text) for text in texts] if raw is None else list(_WHOLE.iter_unpack(raw))


def _all_raw(texts: Sequence[str]) -> bytes | None:
    """What stands in tokens, one after the other; None where one of them is none."""
    # Each is whole groups of base64, so that none can lend its neighbour a character.
    if set(map(len, texts)) != {_LENGTH}:
        return None
    raw, count = raw_of("".join(texts)), len(texts)
    if raw is None:
        return None
    first, second = _VERSION
    versions = raw[:: _WHOLE.size].count(first), raw[1 :: _WHOLE.size].count(second)
    return raw if versions == (count, count) else None


def raw_of(text: str) -> bytes | None:
    """What ``text_of`` made a text of; None for any other text."""
    if not text.isascii():
        return None
    try:
        raw = a2b_base64(text.encode("ascii").translate(_PLAIN), strict_mode=True)
    except Error:
        return None
    # Padding that is not needed is passed over by the decoder.
    return raw if 4 * len(raw) == 3 * len(text) else None


def text_of(raw: bytes) -> bytes:
    """URL-safe base64.

    Args:
        raw: whole groups of three bytes.
    """
    return b2a_base64(raw, newline=False).translate(_URL_SAFE)
