"""Which addresses are connected to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.webhooks.addresses import AddressRules, forbidden

NOTHING_ALLOWED = AddressRules()
EVERYTHING_ALLOWED = AddressRules(
    allowed=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")), any_network=True
)

PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]
PRIVATE = [
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "2001:2::1",
    "2001:db8::1",
    "2001:20::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "5f00::1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
]


def carriers(text: str) -> list[str]:
    """Every IPv6 address that carries one of IPv4."""
    inner = int(ipaddress.IPv4Address(text))
    client = ~inner & 0xFFFF_FFFF
    public = 0x5DB8_D822
    return [
        str(ipaddress.IPv6Address(bits))
        for bits in (
            0xFFFF_0000_0000 | inner,  # mapped
            inner,  # compatible
            0xFFFF_0000 << 32 | inner,  # translated
            0x0064_FF9B << 96 | inner,  # NAT64
            0x0064_FF9B_0001 << 80 | inner,  # NAT64 of a local network
            0x2002 << 112 | inner << 80 | 1,  # 6to4
            0x2001_0000 << 96 | public << 64 | client,  # Teredo, the client
            0x2001_0000 << 96 | inner << 64 | (~public & 0xFFFF_FFFF),  # Teredo, the server
            0x2606_4700 << 96 | 0x5EFE << 32 | inner,  # ISATAP
            0x2606_4700 << 96 | 0x0200_5EFE << 32 | inner,
        )
    ]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_unicast_addresses_are_connected_to(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_need_an_exception(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) == "not_public"
    assert forbidden(address, NOTHING_ALLOWED._replace(any_network=True)) is None


@pytest.mark.parametrize("address", NEVER)
def test_metadata_link_local_multicast_and_reserved_addresses_are_never_connected_to(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) == "never"
    assert forbidden(address, EVERYTHING_ALLOWED) == "never"


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "192.168.0.1", "100.64.0.1"])
def test_an_address_inside_another_one_counts(inner: str) -> None:
    for address in carriers(inner):
        assert forbidden(address, NOTHING_ALLOWED) == "not_public", address


@pytest.mark.parametrize("inner", ["169.254.169.254", "168.63.129.16", "224.0.0.1", "0.0.0.1"])
def test_what_is_never_connected_to_is_not_inside_another_address_either(inner: str) -> None:
    for address in carriers(inner):
        if address != "::1":
            assert forbidden(address, EVERYTHING_ALLOWED) == "never", address


@pytest.mark.parametrize(
    "address",
    ["64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::7f00:1", "::ffff:169.254.169.254", "::ffff:0a00:1", "64:ff9b::7f00:1"],
)
def test_forms_that_the_standard_library_calls_global_or_not_private_are_refused(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) is not None


@pytest.mark.parametrize("address", ["64:ff9b::5db8:d822", "::ffff:93.184.216.34"])
def test_a_public_address_behind_nat64_or_mapped_is_connected_to(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) is None


@pytest.mark.parametrize("address", ["2002:5db8:d822::1", "::5db8:d822", "2001:0:5db8:d822::a247:27dd"])
def test_tunnels_are_refused_even_to_public_addresses(address: str) -> None:
    assert forbidden(address, NOTHING_ALLOWED) == "not_public"


def test_an_allowed_network_opens_itself_and_nothing_beside_it() -> None:
    rules = AddressRules(allowed=(ipaddress.ip_network("10.1.0.0/16"),))
    assert forbidden("10.1.2.3", rules) is None
    assert forbidden("::ffff:10.1.2.3", rules) is None
    assert forbidden("64:ff9b::10.1.2.3", rules) is None
    assert forbidden("10.2.0.1", rules) == "not_public"
    assert forbidden("2002:a01:203::1", rules) == "not_public"


def test_an_allowed_tunnel_does_not_open_what_it_leads_to() -> None:
    rules = AddressRules(allowed=(ipaddress.ip_network("2002::/16"),))
    assert forbidden("2002:5db8:d822::1", rules) is None
    assert forbidden("2002:7f00:1::", rules) == "not_public"


def test_a_denied_network_wins_over_everything_that_allows_it() -> None:
    denied = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("93.184.216.0/24"))
    rules = EVERYTHING_ALLOWED._replace(denied=denied)
    for address in ["10.1.2.3", "93.184.216.34", *carriers("10.1.2.3")]:
        assert forbidden(address, rules) == "denied", address
    assert forbidden("10.2.0.1", rules) is None


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0177.0.0.1", "fe80::1%eth0", "2606:4700::1%1", "1.1.1.1 "]
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert forbidden(text, EVERYTHING_ALLOWED) == "malformed"


@given(st.ip_addresses(v=4))
def test_no_public_address_is_one_that_the_standard_library_calls_special(address: ipaddress.IPv4Address) -> None:
    if forbidden(str(address), NOTHING_ALLOWED) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_public_ipv6_address_is_special_or_carries_a_private_one(address: ipaddress.IPv6Address) -> None:
    if forbidden(str(address), NOTHING_ALLOWED) is None:
        inner = address.ipv4_mapped or (
            ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
            if address in ipaddress.ip_network("64:ff9b::/96")
            else None
        )
        judged = inner or address
        assert judged.is_global
        assert not judged.is_multicast
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.ip_addresses(v=4))
def test_no_carrier_is_more_open_than_what_it_carries(inner: ipaddress.IPv4Address) -> None:
    if forbidden(str(inner), NOTHING_ALLOWED) is not None:
        for address in carriers(str(inner)):
            assert forbidden(address, NOTHING_ALLOWED) is not None, address
