"""Which URLs are registered and called."""

import ipaddress
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.webhooks.guard import MAX_URL_CHARACTERS, Refusal, Target, check_url, rules_of
from eventbus_gateway.webhooks.settings import WebhookSettings

DEFAULT = rules_of(WebhookSettings.model_validate({}))


def code(url: str, **values: object) -> str:
    checked = check_url(url, rules_of(WebhookSettings.model_validate(values)))
    return checked.code if isinstance(checked, Refusal) else "allowed"


@pytest.mark.parametrize(
    "url",
    [
        "https://team.example/hook",
        "https://team.example",
        "HTTPS://TEAM.EXAMPLE/Hook",
        "https://team.example:443/hook?token=a%2Fb",
        "https://team.example./hook",
        "https://a_b.team.example/hook",
        "https://xn--bcher-kva.example/hook",
        "https://bücher.example/höhe",
        "https://93.184.216.34/hook",
        "https://[2606:4700:4700::1111]/hook",
        "https://[2606:4700:4700::1111]:443/hook",
        "https://1password.example",
        "https://3com.3com",
    ],
)
def test_a_plain_url_of_a_public_receiver_is_allowed(url: str) -> None:
    assert code(url) == "allowed"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:5db8:d822::80ff:fffe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
    ],
)
def test_an_address_that_is_not_public_is_refused_in_each_of_its_forms(host: str) -> None:
    assert code(f"https://{host}/hook") == "forbidden_address"


@pytest.mark.parametrize(
    "host",
    [
        "0x7f.1",
        "0x7f.0.0.1",
        "0X7F000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "127.0.0.1.",
        "127.0.0.01",
        "1.2.3.4.5",
        "0x",
        "foo.0x1",
        "foo.7",
        "4294967296",
        "999.1.1.1",
        "[fe80::1%25eth0]",
        "[::1%251]",
        "[v1.example]",
        "[team.example]",
        "team..example",
        ".team.example",
        "team.example..",
        ".",
        "-team.example",
        "team-.example",
        "te%61m.example",
        "127.0.0.1%00.example",
        "team.example%2F",
        "te*m.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "a,b",
        "team;example",
        "(team)",
    ],
)
def test_a_host_that_is_neither_a_plain_name_nor_a_plain_address_is_refused(host: str) -> None:
    assert code(f"https://{host}/hook", allowed_networks=["0.0.0.0/0", "::/0"]) in {
        "invalid_host",
        "forbidden_address",
    }
    assert code(f"https://{host}/hook") in {"invalid_host", "forbidden_address", "invalid_url"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://team.example/", "forbidden_scheme"),
        ("ftp://team.example/", "forbidden_scheme"),
        ("file://host/etc/passwd", "forbidden_scheme"),
        ("unix://var/run/docker.sock", "forbidden_scheme"),
        ("gopher://team.example/", "forbidden_scheme"),
        ("wss://team.example/", "forbidden_scheme"),
        ("", "invalid_url"),
        ("team.example/hook", "invalid_url"),
        ("//team.example/hook", "invalid_url"),
        ("https:team.example", "invalid_url"),
        ("https:/team.example", "invalid_url"),
        ("javascript:alert(1)", "invalid_url"),
        ("https:///hook", "invalid_host"),
        ("https://:443/", "invalid_host"),
        ("https://user:secret@team.example/", "forbidden_userinfo"),
        ("https://@team.example/", "forbidden_userinfo"),
        ("https://team.example:443@127.0.0.1/", "forbidden_userinfo"),
        ("https://team.example\\@127.0.0.1/", "invalid_url"),
        ("https://team.example/ hook", "invalid_url"),
        ("https://team.example/\r\nhost: x", "invalid_url"),
        ("https://team.example/\t", "invalid_url"),
        ("\x00https://team.example/", "invalid_url"),
        (" https://team.example/", "invalid_url"),
        ("https://team.example/#part", "invalid_url"),
        ("https://team.example:0/", "invalid_url"),
        ("https://team.example:65536/", "invalid_url"),
        ("https://team.example:+443/", "invalid_url"),
        ("https://team.example:4_43/", "invalid_url"),
        ("https://team.example:\uff14\uff14\uff13/", "invalid_url"),
        ("https://team.example:443:80/", "invalid_url"),
        ("https://2606:4700:4700::1111/", "invalid_url"),
        ("https://[::1/", "invalid_url"),
        ("https://team.example/" + "a" * MAX_URL_CHARACTERS, "invalid_url"),
        ("https://team.example:22/", "forbidden_port"),
        ("https://team.example:80/", "forbidden_port"),
        ("https://team.example:8443/", "forbidden_port"),
    ],
)
def test_a_url_that_can_mean_something_else_is_refused(url: str, expected: str) -> None:
    assert code(url) == expected


def test_http_is_allowed_only_where_the_configuration_says_so_and_brings_its_port() -> None:
    assert code("http://team.example/", allow_http=True) == "allowed"
    assert code("https://team.example:80/", allow_http=True) == "allowed"
    assert code("http://team.example:8080/", allow_http=True) == "forbidden_port"


def test_ports_and_ranges_of_ports_are_opened_by_configuration() -> None:
    ports = {"allowed_ports": ["443", "8000-8100"]}
    for port, expected in [(443, "allowed"), (8000, "allowed"), (8100, "allowed"), (8101, "forbidden_port")]:
        assert code(f"https://team.example:{port}/", **ports) == expected


def test_networks_are_opened_by_configuration() -> None:
    assert code("https://127.0.0.1/", allowed_networks=["127.0.0.0/8"]) == "allowed"
    assert code("https://localhost/", allowed_networks=["127.0.0.0/8"]) == "allowed"
    assert code("https://169.254.169.254/", allowed_networks=["0.0.0.0/0"]) == "forbidden_address"
    assert code("https://93.184.216.34/", denied_networks=["93.184.0.0/16"]) == "forbidden_address"


@pytest.mark.parametrize(
    "host", ["evil.example", "EVIL.example", "evil.example.", "a.bad.example", "a.b.bad.example"]
)
def test_denied_hosts_are_refused_however_they_are_written(host: str) -> None:
    assert code(f"https://{host}/", denied_hosts=["evil.example", "*.bad.example"]) == "forbidden_host"


def test_denying_the_names_below_a_domain_leaves_others_alone() -> None:
    for host in ["bad.example", "notbad.example", "evil.example.org"]:
        assert code(f"https://{host}/", denied_hosts=["evil.example", "*.bad.example"]) == "allowed"


def test_only_the_names_that_the_configuration_trusts_may_have_private_addresses() -> None:
    some = rules_of(WebhookSettings.model_validate({"allowed_hosts": ["*.internal.example", "Hooks.example"]}))
    trusted = {
        host: checked.trusted
        for host in ["a.internal.example", "hooks.example", "internal.example", "hooks.example.org", "8.8.8.8"]
        if isinstance(checked := check_url(f"https://{host}/", some), Target)
    }
    assert trusted == {
        "a.internal.example": True,
        "hooks.example": True,
        "internal.example": False,
        "hooks.example.org": False,
        "8.8.8.8": False,
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@team.example/?s3cret",
        "http://team.example/?s3cret",
        "https://team.example:22/?s3cret",
        "https://10.0.0.1/?s3cret",
        "https://s3cret..example/?s3cret",
        "https://0x7f.1/?s3cret#s3cret",
        "https://team.example/?s3cret#s3cret",
    ],
)
def test_a_refusal_repeats_nothing_of_the_url(url: str) -> None:
    checked = check_url(url, DEFAULT)
    assert isinstance(checked, Refusal)
    assert "s3cret" not in repr(checked)
    assert checked.detail.endswith(".")


def test_a_target_does_not_show_its_path_and_query() -> None:
    checked = check_url("https://team.example/s3cret?token=s3cret", DEFAULT)
    assert repr(checked) == "Target(host='team.example', port=443)"


def test_what_was_checked_is_what_is_called() -> None:
    checked = check_url("https://Bücher.example:443/a%2Fb?x=%2B1", DEFAULT)
    assert isinstance(checked, Target)
    assert str(checked.url) == "https://xn--bcher-kva.example/a%2Fb?x=%2B1"
    assert checked.host == checked.url.raw_host


@given(st.text(alphabet="0123456789abcdefxX.", min_size=1, max_size=20))
def test_no_host_that_the_c_library_takes_for_an_address_passes_as_a_name(host: str) -> None:
    try:
        packed = socket.inet_aton(host)
    except OSError:
        return
    checked = check_url(
        f"https://{host}/", rules_of(WebhookSettings.model_validate({"allowed_networks": ["0.0.0.0/0"]}))
    )
    if isinstance(checked, Target):
        assert host == socket.inet_ntoa(packed)


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global), st.integers(0, 6))
def test_no_spelling_of_a_private_address_is_allowed(address: ipaddress.IPv4Address, spelling: int) -> None:
    a, b, c, d = address.packed
    host = [
        f"{a}.{b}.{c}.{d}",
        f"{a:#o}.{b:#x}.{c}.{d}".replace("0o", "0"),
        f"{a}.{b}.{c << 8 | d}",
        f"{a}.{b << 16 | c << 8 | d}",
        f"{int(address)}",
        f"{int(address):#x}",
        f"[::ffff:{address}]",
    ][spelling]
    assert isinstance(check_url(f"https://{host}/", DEFAULT), Refusal)


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    for url in (text, f"https://{text}", f"https://team.example/{text}"):
        checked = check_url(url, DEFAULT)
        if isinstance(checked, Target):
            assert (checked.url.scheme, checked.port, checked.url.raw_user) == ("https", 443, None)
            assert checked.url.raw_host in {checked.host, f"{checked.host}."}
            # These stand in the request as they are.
            assert re.fullmatch(r"/[!-~]*", checked.url.raw_path_qs)
            assert re.fullmatch(r"[a-z0-9_.:\[\]-]+", checked.url.host_port_subcomponent or "")
