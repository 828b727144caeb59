"""Many references at once, and the token that stands for all those of one state of a shard.

That of a single one is its own; else it is URL-safe base64 without padding: version (2 bytes), a checksum of what
follows (4, CRC-32), shard (2), acquisition (8), then for each group topic (2), partition (4), offset of the first
event (8), delivery count (4) and number of the others (2). The highest bit of that number says that they follow one
another without a gap; else there is for each by how much its offset is higher than the one before (1). Zeros make it
up to whole groups of four characters. The checksum is against damage, which could name events of others; it proves as
little as other tokens do.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby, pairwise
from operator import itemgetter, lt, sub
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from eventbus_gateway.subscriptions.tokens import AnyReference, parse_all, raw_of, text_of, token_of

_VERSION = b"\0\2"
_HEAD = Struct(">2sI")
_WHERE = Struct(">HQ")
_GROUP = Struct(">HIQIH")
_WITHOUT_GAPS = 0x8000
_MOST_OTHERS = 0x7FFF
_MAX_STEP = 255
_MAX_OFFSET = 2**64 - 1
"""What a token by itself can say."""
_WHOLE = 3
"""Bytes of four characters."""
_ALIKE: Callable[[AnyReference], Any] = itemgetter(0, 1, 2, 3, 5)
_OFFSET = itemgetter(4)
_STATE = itemgetter(0, 1)


class Group(NamedTuple):
    """Hand-outs of events of one partition, all for the same time; see ``tokens.Reference``.

    Args:
        shard, acquisition, topic, partition: where they come from.
        delivery_count: how often each had been handed out, this time included.
        offsets: places of the events, all different; ascending, unless they are only acked.
    """

    shard: int
    acquisition: int
    topic: int
    partition: int
    delivery_count: int
    offsets: Sequence[int]

    def some(self, which: slice) -> Iterator[AnyReference]:
        """References to some of them."""
        shard, acquisition, topic, partition, deliveries, offsets = self
        return ((shard, acquisition, topic, partition, offset, deliveries) for offset in offsets[which])


class References:
    """References in groups, as they are looked up; iterated over, each by itself.

    Args:
        groups: in their order.
    """

    __slots__ = ("groups",)

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups

    def __len__(self) -> int:
        return sum([len(group.offsets) for group in self.groups])

    def __iter__(self) -> Iterator[AnyReference]:
        return chain.from_iterable(group.some(slice(None)) for group in self.groups)

    @classmethod
    def of(cls, references: Iterable[AnyReference]) -> "References":
        """The same in groups, unless they are already.

        Args:
            references: in any order, which is kept; also twice the same.
        """
        if isinstance(references, cls):
            return references
        groups: list[Group] = []
        for alike, run in groupby(references, _ALIKE):
            offsets = list(map(_OFFSET, run))
            if all(map(lt, offsets, offsets[1:])):
                groups.append(Group._make((*alike, offsets)))
            else:
                groups += [Group._make((*alike, (offset,))) for offset in offsets]
        return cls(groups)


class Understood(NamedTuple):
    """What tokens stand for.

    Args:
        references: all of them, in the order of the tokens.
        counts: how many of them each token gave; none for a text that is no token.
    """

    references: References
    counts: Sequence[int]


def tokens_of(references: References) -> list[str]:
    """The tokens that together stand for references: one for each state of a shard that they are of.

    Args:
        references: those of one state together.
    """
    return [_token(list(groups)) for _, groups in groupby(references.groups, _STATE)]


def understood(texts: Sequence[str], most: int) -> Understood | None:
    """What tokens stand for, be it one hand-out each or many; None where these are more than there may be.

    Args:
        texts: what a client sent.
        most: number of hand-outs at the most.
    """
    if len(texts) > most:
        return None
    alone = parse_all(texts)
    known = [reference for reference in alone if reference is not None]
    if len(known) == len(texts):
        return Understood(References.of(known), [1] * len(texts))
    groups: list[Group] = []
    counts: list[int] = []
    for text, reference in zip(texts, alone, strict=True):
        found = _parsed(text, most) if reference is None else References.of([reference])
        if found is None or len(found) > most:
            return None
        most -= len(found)
        groups += found.groups
        counts.append(len(found))
    return Understood(References(groups), counts)


def _token(groups: Sequence[Group]) -> str:
    shard, acquisition, topic, partition, deliveries, offsets = groups[0]
    if len(groups) == len(offsets) == 1:
        return token_of((shard, acquisition, topic, partition, offsets[0], deliveries))
    body = b"".join((_WHERE.pack(shard, acquisition), *chain.from_iterable(map(_packed, groups))))
    body += bytes(-len(body) % _WHOLE)
    return text_of(_HEAD.pack(_VERSION, crc32(body)) + body).decode("ascii")


def _packed(group: Group) -> Iterator[bytes]:
    _, _, topic, partition, deliveries, offsets = group
    for start in range(0, len(offsets), 1 + _MOST_OTHERS):
        chunk = offsets[start : start + 1 + _MOST_OTHERS]
        others = len(chunk) - 1
        if chunk[-1] - chunk[0] == others and list(chunk) == list(range(chunk[0], chunk[-1] + 1)):
            yield _GROUP.pack(topic, partition, chunk[0], deliveries, others | _WITHOUT_GAPS)
            continue
        steps = list(map(sub, chunk[1:], chunk))
        far = [at for at, step in enumerate(steps, 1) if not 0 < step <= _MAX_STEP]
        for low, high in pairwise((0, *far, len(chunk))):
            yield _GROUP.pack(topic, partition, chunk[low], deliveries, high - low - 1)
            yield bytes(steps[low : high - 1])


def _parsed(text: str, most: int) -> References | None:
    """What one token stands for, nothing for a text that is none; None where that is more than there may be."""
    raw = _body(text)
    if raw is None:
        return References(())
    shard, acquisition = _WHERE.unpack_from(raw)
    groups: list[Group] = []
    at = _WHERE.size
    while len(raw) - at >= _GROUP.size:
        topic, partition, offset, deliveries, told = _GROUP.unpack_from(raw, at)
        at += _GROUP.size
        others = told & _MOST_OTHERS
        most -= 1 + others
        if most < 0:
            return None
        offsets: Sequence[int] = range(offset, offset + 1 + others)
        if not told & _WITHOUT_GAPS:
            steps = raw[at : at + others]
            at += others
            offsets = list(accumulate(steps, initial=offset))
            if len(steps) < others or 0 in steps:
                return References(())
        groups.append(Group(shard, acquisition, topic, partition, deliveries, offsets))
    is_sound = not any(raw[at:]) and max(group.offsets[-1] for group in groups) <= _MAX_OFFSET
    return References(groups if is_sound else ())


def _body(text: str) -> bytes | None:
    """What follows the checksum; None for a text that is no such token, or was changed."""
    raw = raw_of(text)
    if raw is None or len(raw) < _HEAD.size + _WHERE.size + _GROUP.size:
        return None
    body = raw[_HEAD.size :]
    return body if _HEAD.unpack_from(raw) == (_VERSION, crc32(body)) else None
