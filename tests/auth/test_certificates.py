"""Callers whose certificate a proxy has verified."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.certificates import Certificates, xfcc_names
from eventbus_gateway.auth.chain import Chain, authenticator
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.principal import ANONYMOUS, Principal
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.errors import Unauthenticated

PROXY = "10.1.2.3"
XFCC = b"x-forwarded-client-cert"
LABS = (
    b'By=spiffe://mesh/gateway;Hash=ab12;Subject="CN=labs,O=Example\\, Inc";URI=spiffe://mesh/labs;DNS=labs.example'
)


def _settings(**changes: Any) -> AuthSettings:
    known = [
        {"value": "CN=labs,O=Example\\, Inc", "principal": "labs", "roles": ("writer",)},
        {"value": 'CN=say "hi"', "principal": "quoted"},
        {"value": "CN=ward", "principal": "ward"},
        {"kind": "uri", "value": "spiffe://mesh/archive", "principal": "archive"},
        {"kind": "dns", "value": "ward.example", "principal": "ward"},
        {"kind": "dns", "value": "other.example", "principal": "other"},
    ]
    given = {
        "mode": "several",
        "methods": ("certificates",),
        "certificate_proxies": ("10.1.0.0/16", "fd00::/8", "127.0.0.1/32"),
        "certificates": known,
    }
    return AuthSettings.model_validate(given | changes)


def _refused(chain: Any, headers: dict[bytes, bytes], peer: str) -> None:
    with pytest.raises(Unauthenticated):
        chain(headers, peer)


CHAIN = authenticator(_settings())


@pytest.mark.parametrize(
    ("value", "principal"),
    [
        (LABS, Principal("labs", frozenset({"writer"}))),
        (b'Subject="CN=say \\"hi\\""', Principal("quoted")),
        (b"Hash=00;URI=spiffe://mesh/archive", Principal("archive")),
        (b"hash=00;uri=spiffe://mesh/archive;DNS=a;DNS=b", Principal("archive")),
        (b'SUBJECT="CN=ward";DNS=ward.example', Principal("ward")),
        (b"DNS=ward.example;", Principal("ward")),
    ],
)
@pytest.mark.parametrize("peer", [PROXY, "fd12::1", "::ffff:10.1.2.3", "127.0.0.1"])
def test_a_certificate_that_a_trusted_proxy_tells_about_stands_for_its_principal(
    value: bytes, principal: Principal, peer: str
) -> None:
    assert CHAIN({XFCC: value}, peer) == principal


@pytest.mark.parametrize(
    "peer", ["10.2.0.1", "192.0.2.1", "::1", "::ffff:10.2.0.1", "", "unix", "10.1.2.3.4", "fe80::1%eth0"]
)
@pytest.mark.parametrize("value", [LABS, b"", b"x"])
def test_the_header_of_anybody_else_is_refused_and_not_ignored(value: bytes, peer: str) -> None:
    chain = Chain(KeyRing([]), None, Certificates(_settings()), anonymous=True)
    _refused(chain, {XFCC: value}, peer)
    assert chain({}, peer) is ANONYMOUS


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"CN=labs,O=Example",
        b'Subject="CN=nobody"',
        b'Subject="CN=ward',
        b'Subject="CN=ward"x',
        b'Subject=CN=ward"',
        b'Subject="CN=WARD"',
        b'Subject="CN=ward "',
        b'By="CN=ward";Hash=CN=ward',
        b'Subject="CN=x;DNS=ward.example"',
        b'Subject="CN=\\";DNS=ward.example;x=\\""',
        b"DNS=ward.example;DNS=other.example",
        b"DNS=other.example,DNS=other.example",
        b'Subject="CN=ward",Subject="CN=ward"',
        b"DNS=ward.example,",
        b"\xff\xfe",
        b"DNS=ward.example\xff",
        b"DNS=" + b"a" * 100_000,
    ],
)
def test_a_header_that_is_malformed_or_tells_about_nobody_or_several_is_refused(value: bytes) -> None:
    _refused(CHAIN, {XFCC: value}, PROXY)


def test_it_is_the_only_credential_of_a_request() -> None:
    chain = Chain(KeyRing([]), None, Certificates(_settings()))
    for other in ({b"authorization": b"Bearer x"}, {b"x-api-key": b"x"}):
        _refused(chain, {XFCC: LABS, **other}, PROXY)
    _refused(chain, {}, PROXY)
    assert XFCC in chain.credentials


def test_a_header_with_the_subject_alone_is_taken_as_it_is() -> None:
    settings = _settings(certificate_format="subject", certificate_header="x-client-dn")
    chain = authenticator(settings)
    assert chain({b"x-client-dn": b"CN=ward"}, PROXY) == Principal("ward")
    assert chain({b"x-client-dn": b'CN=say "hi"'}, PROXY) == Principal("quoted")
    for value in (b'Subject="CN=ward"', b"CN=ward,DNS=ward.example", b"ward.example", b""):
        _refused(chain, {b"x-client-dn": value}, PROXY)
    _refused(chain, {XFCC: LABS}, PROXY)


def test_the_header_means_nothing_where_certificates_are_no_way_to_call() -> None:
    chain = authenticator(_settings(methods=("api_keys",)))
    _refused(chain, {XFCC: LABS}, PROXY)


def test_the_verdicts_about_peers_are_bounded() -> None:
    certificates = Certificates(_settings())
    for number in range(5_000):
        with pytest.raises(Unauthenticated):
            certificates(LABS, f"192.0.{number >> 8}.{number & 255}")
    assert len(certificates._verdicts) <= 1_024
    assert certificates(LABS, PROXY).name == "labs"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=40))
def test_a_quoted_subject_is_read_back_whatever_is_in_it(subject: str) -> None:
    quoted = subject.replace('"', '\\"')
    assert list(xfcc_names(f'Hash=1;Subject="{quoted}";DNS=a')) == [("subject", subject), ("dns", "a")]
