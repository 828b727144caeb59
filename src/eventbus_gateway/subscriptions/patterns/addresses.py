"""IP addresses in strings: equal when they name the same address, and inside a CIDR block."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_LONGEST = 39


class Address(NamedTuple):
    """One address.

    Args:
        bits: 32 for IPv4 (also where it is written as an IPv4-mapped IPv6 address), 128 for IPv6.
        number: its value.
    """

    bits: int
    number: int


def address(text: str) -> Address | None:
    """The address that a string spells, or None; octets are decimal, also behind leading zeros."""
    if len(text) > _LONGEST:
        return None
    if _IPV4.fullmatch(text):
        octets = [int(octet) for octet in text.split(".")]
        return Address(32, int.from_bytes(bytes(octets))) if max(octets) <= 255 else None
    if not _IPV6.fullmatch(text):
        return None
    try:
        parsed = IPv6Address(text)
    except AddressValueError:
        return None
    mapped = parsed.ipv4_mapped
    return Address(128, int(parsed)) if mapped is None else Address(32, int(mapped))


class Block(NamedTuple):
    """Addresses that start with the same bits.

    Args:
        bits: 32 or 128, of all its addresses.
        shift: how many of them differ.
        network: the others, as a number.
    """

    bits: int
    shift: int
    network: int


def single(found: Address) -> Block:
    """The block of one address."""
    return Block(found.bits, 0, found.number)


def block(text: str) -> Block:
    """The block that a string spells.

    Args:
        text: an address, ``/`` and a number of bits that leaves at least two addresses.

    Raises:
        ValueError: it is something else; the message says what.
    """
    start, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or len(length) > 3:
        raise ValueError("expected an IP address, one slash and a number of bits")
    base = address(start)
    if base is None:
        raise ValueError("expected an IPv4 or IPv6 address before the slash")
    if int(length) >= base.bits:
        raise ValueError(f"the number of bits must be less than {base.bits}")
    shift = base.bits - int(length)
    return Block(base.bits, shift, base.number >> shift)


def inside(blocks: frozenset[Block]) -> Callable[[object], bool]:
    """A test for strings that spell an address of one of the blocks, in whatever way."""
    shifts = {bits: {block.shift for block in blocks if block.bits == bits} for bits in (32, 128)}

    def test(value: object) -> bool:
        found = address(value) if isinstance(value, str) else None
        if found is None:
            return False
        bits, number = found
        return any((bits, shift, number >> shift) in blocks for shift in shifts[bits])

    return test
