"""Which addresses may be connected to: pure rules over addresses.

An address of IPv6 can carry one of IPv4 to which routers, relays or the own kernel send its packets; what counts is
every address that such a packet can reach.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Reason = Literal["malformed", "never", "denied", "not_public"]
"""Why an address may not be connected to: it is none; no configuration opens it; the configuration denies it; it is
not public, and no configuration opens it."""


class AddressRules(NamedTuple):
    """What the configuration says about addresses.

    Args:
        allowed: networks that need not be public.
        denied: networks that are never connected to.
        any_network: every address may be private, for names that the configuration trusts.
    """

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()
    any_network: bool = False


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",  # this host (RFC 1122, 3.2.1.3); Linux connects it to itself
    "169.254.0.0/16",  # link-local, and with it the metadata of AWS, Azure, Google Cloud and others
    "168.63.129.16/32",  # Azure's virtual machine agent
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "192.0.0.192/32",  # metadata of Oracle Cloud
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and the broadcast address
    "::/128",
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local, deprecated
    "ff00::/8",  # multicast
    "fd00:ec2::/32",  # metadata of AWS
    "fd20:ce::254/128",  # metadata of Google Cloud
)
# IANA's registry of special-purpose IPv4 addresses: what is not globally reachable, and relays of 6to4.
_NOT_PUBLIC_4 = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
)
# Global unicast (RFC 4291, 2.4), and IANA's registry of what in it is for special purposes.
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = _networks("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2: the kernel itself connects to the IPv4 address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1
_STANDS_FOR_IPV4 = (_MAPPED, _NAT64)
# RFC 4291, 2.5.5.1; RFC 2765, 2.1; RFC 8215, as far as the address stands at the end.
_LAST_32_BITS = (*_STANDS_FOR_IPV4, *_networks("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48"))
_6TO4 = IPv6Network("2002::/16")  # RFC 3056, 2
_TEREDO = IPv6Network("2001::/32")  # RFC 4380, 4
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, 6.1: the upper half of the interface identifier
_32_BITS = 0xFFFF_FFFF


def forbidden(text: str, rules: AddressRules) -> Reason | None:
    """Why an address may not be connected to, or None where it may.

    Args:
        text: an address as ``getaddrinfo`` gives it.
        rules: what the configuration says.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "malformed"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "malformed"
    reached = [address, *_embedded(address)]
    if any(_within(each, _NEVER) for each in reached):
        return "never"
    if any(_within(each, rules.denied) for each in reached):
        return "denied"
    if rules.any_network:
        return None
    # An address that only stands for one of IPv4 is as public as that one.
    judged = reached[1:] if _within(address, _STANDS_FOR_IPV4) else reached
    if all(_is_public(each) or _within(each, rules.allowed) for each in judged):
        return None
    return "not_public"


def _embedded(address: Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    if bits == 1:  # ::1 has the form of a compatible address and is none
        return
    if _within(address, _LAST_32_BITS) or (bits >> 32) & _32_BITS in _ISATAP:
        yield IPv4Address(bits & _32_BITS)
    if address in _6TO4:
        yield IPv4Address((bits >> 80) & _32_BITS)
    if address in _TEREDO:
        yield IPv4Address((bits >> 64) & _32_BITS)  # the server
        yield IPv4Address(~bits & _32_BITS)  # the client, with all bits inverted


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _NOT_PUBLIC_4)
    return address in _GLOBAL_UNICAST_6 and not _within(address, _NOT_PUBLIC_6)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
