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


def same_as(wanted: Address) -> Callable[[object], bool]:
    """A test for strings that spell this address in whatever way."""
    return lambda value: isinstance(value, str) and address(value) == wanted


def inside(block: str) -> Callable[[object], bool]:
    """A test for strings that spell an address of a block.

    Args:
        block: an address, ``/`` and a number of bits that leaves at least two addresses.

    Raises:
        ValueError: it is something else; the message says what.
    """
    start, slash, length = block.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or len(length) > 3:
        raise ValueError("expected an IP address, one slash and a number of bits")
    base = address(start)
    if base is None:
        raise ValueError("expected an IPv4 or IPv6 address before the slash")
    if int(length) >= base.bits:
        raise ValueError(f"the number of bits must be less than {base.bits}")
    bits, shift = base.bits, base.bits - int(length)
    network = base.number >> shift

    def test(value: object) -> bool:
        if not isinstance(value, str):
            return False
        found = address(value)
        return found is not None and found.bits == bits and found.number >> shift == network

    return test
