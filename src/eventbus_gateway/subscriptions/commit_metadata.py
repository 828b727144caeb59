"""Which offsets above a committed one are done, as text that fits into the metadata of a Kafka commit.

The text is ``eb1:``, six characters of checksum, and numbers: the committed offset, then in turn how many offsets are
open and how many after them are done. A number is written in base 32, least digit first; digits 32 to 63 of the
alphabet say that more of the number follows. Only done runs that are followed by nothing but open offsets can be left
out, so a text that is cut to the limit forgets the highest runs: events come twice, none is lost.
"""

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from itertools import pairwise
from zlib import crc32

# Kafka refuses longer ones (offset.metadata.max.bytes, OFFSET_METADATA_TOO_LARGE).
MAX_BYTES = 4096

# Offsets from the first up to the second, which is not part of it.
Run = tuple[int, int]

_PREFIX = "eb1:"
_HEAD = len(_PREFIX) + 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_MAX_OFFSET = 2**63 - 1


def encode(offset: int, runs: Iterable[Run], max_bytes: int = MAX_BYTES) -> str:
    """The text for a commit of an offset.

    Args:
        offset: the committed offset.
        runs: what is done above it, in ascending order, neither empty nor touching each other or the offset.
        max_bytes: length at the most; the highest runs that do not fit are left out.
    """
    pieces = [_number(offset)]
    left = max_bytes - _HEAD - len(pieces[0])
    above = offset
    for start, stop in runs:
        piece = _number(start - above) + _number(stop - start)
        left -= len(piece)
        if left < 0:
            break
        pieces.append(piece)
        above = stop
    if len(pieces) == 1:
        return ""
    body = "".join(pieces)
    return _PREFIX + _checksum(body) + body


def decode(offset: int, text: str | None) -> list[Run]:
    """What a commit says is done above its offset.

    Anybody may commit for a group and write any metadata. Whatever is not exactly a text made for this offset counts
    as nothing done: the worst that follows is that events come again.

    Args:
        offset: the committed offset.
        text: the metadata found beside it.
    """
    if not text or len(text) > MAX_BYTES or not text.isascii() or not text.startswith(_PREFIX):
        return []
    body = text[_HEAD:]
    if text[len(_PREFIX) : _HEAD] != _checksum(body):
        return []
    numbers = _numbers(body)
    # A tool that moved the offset and kept the metadata would make other events look done.
    if numbers is None or not numbers or numbers[0] != offset:
        return []
    return _runs(offset, numbers[1:])


def _runs(offset: int, lengths: Sequence[int]) -> list[Run]:
    if len(lengths) % 2 or 0 in lengths:
        return []
    edges = [offset]
    for length in lengths:
        edges.append(edges[-1] + length)
    if edges[-1] > _MAX_OFFSET:
        return []
    return [run for turn, run in enumerate(pairwise(edges)) if turn % 2]


def _checksum(body: str) -> str:
    digest = crc32(body.encode("ascii")).to_bytes(4, "big")
    return b2a_base64(digest, newline=False)[:6].decode("ascii")


def _spell(number: int) -> str:
    digits = []
    while number >= 32:
        digits.append(_ALPHABET[32 + number % 32])
        number //= 32
    digits.append(_ALPHABET[number])
    return "".join(digits)


_SMALL = [_spell(number) for number in range(1024)]


def _number(number: int) -> str:
    return _SMALL[number] if number < 1024 else _spell(number)


def _numbers(body: str) -> list[int] | None:
    numbers = []
    number = digits = 0
    for character in body:
        value = _VALUE.get(character)
        if value is None:
            return None
        number += value % 32 << 5 * digits
        digits += 1
        if value < 32:
            numbers.append(number)
            number = digits = 0
    return None if digits else numbers
