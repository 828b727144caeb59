"""References to handed-out events, and the opaque text that clients give back for them.

A token is 40 characters of URL-safe base64: version (2 bytes), shard (2), acquisition (8), topic (2), partition (4),
offset (8), delivery count (4), all big-endian. It proves nothing: what a caller may do is decided by the caller's
policy, and what a token still means by whoever owns the shard.
"""

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

_VERSION = b"\0\1"
_WHERE = Struct(">2sHQHI")
_WHICH = Struct(">QI")
_WHOLE = Struct(">2xHQHIQI")
_LENGTH = 40
# 18 and 12 bytes: both are whole groups of base64, so that they can be taken apart as text.
_HEAD_CHARACTERS = 24
_TAIL_CHARACTERS = 16
_new = tuple.__new__

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


def prefix(shard: int, acquisition: int, topic: int, partition: int) -> str:
    """What the tokens of one partition have in common; see ``Reference``."""
    return _text(_WHERE.pack(_VERSION, shard, acquisition, topic, partition))


def token(start: str, offset: int, delivery_count: int) -> str:
    """The token of one hand-out.

    Args:
        start: ``prefix`` of its partition.
        offset: place of the event.
        delivery_count: how often it was handed out.
    """
    return tokens_of([(start, offset, delivery_count)])[0]


def tokens_of(hand_outs: Sequence[tuple[str, int, int]]) -> list[str]:
    """The tokens of many hand-outs.

    Args:
        hand_outs: ``prefix`` of the partition, offset and delivery count of each.
    """
    pack, size = _WHICH.pack, _TAIL_CHARACTERS
    tails = _text(b"".join([pack(offset, delivery_count) for _, offset, delivery_count in hand_outs]))
    return [start + tails[size * at : size * at + size] for at, (start, _, _) in enumerate(hand_outs)]


def parse(text: str) -> Reference | None:
    """The reference that a token stands for, None for a text that is no token."""
    if len(text) != _LENGTH or not text.isascii():
        return None
    try:
        raw = a2b_base64(text.encode("ascii").translate(_PLAIN), strict_mode=True)
    except Error:
        return None
    if len(raw) != _WHOLE.size or not raw.startswith(_VERSION):
        return None
    return Reference._make(_WHOLE.unpack(raw))


def parse_all(texts: Sequence[str]) -> list[Reference | None]:
    """The same for many tokens: those that a client gives back together mostly have few beginnings in common."""
    raw = _tails(texts)
    if raw is None:
        return [parse(text) for text in texts]
    heads: dict[str, tuple[int, int, int, int] | None] = {}
    found: list[Reference | None] = []
    for text, (offset, delivery_count) in zip(texts, _WHICH.iter_unpack(raw), strict=True):
        head = text[:_HEAD_CHARACTERS]
        if head not in heads:
            whole = parse(text)
            heads[head] = None if whole is None else whole[:4]
        where = heads[head]
        # Past the keyword handling of a named tuple's own constructor, for what is made once an event.
        found.append(None if where is None else _new(Reference, (*where, offset, delivery_count)))
    return found


def _tails(texts: Sequence[str]) -> bytes | None:
    """What follows the beginnings of tokens, None where one of them is none."""
    tails = "".join([text[_HEAD_CHARACTERS:] for text in texts])
    if len(tails) != _TAIL_CHARACTERS * len(texts) or not tails.isascii():
        return None
    try:
        raw = a2b_base64(tails.encode("ascii").translate(_PLAIN), strict_mode=True)
    except Error:
        return None
    return raw if len(raw) == _WHICH.size * len(texts) else None


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).decode("ascii")
