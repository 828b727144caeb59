"""How an issuer's keys are fetched, and what of its answers is taken."""

import asyncio
import gzip
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from joserfc.jwk import ECKey, OctKey, OKPKey
from loadtests.local_issuer import DISCOVERY, JWKS, LocalIssuer, rsa_key
from tests.auth.oidc.world import CALLER, EC, ED, OTHER_RSA, RSA, World, settings
from tests.polling import until
from tests.scripted_server import Canned

from eventbus_gateway.auth.oidc.keyset import UnusableKeySet, key_set
from eventbus_gateway.auth.oidc.source import HttpKeySource, NotFetched

PUBLIC = {**RSA.as_dict(private=False), "kid": "rsa"}


def fetched(issuer: LocalIssuer, /, **changes: Any) -> bytes:
    async def run() -> bytes:
        source = HttpKeySource(settings(issuer, **changes))
        try:
            return await source.fetch()
        finally:
            await source.aclose()

    return asyncio.run(run())


def failure(issuer: LocalIssuer, /, **changes: Any) -> str:
    with pytest.raises(NotFetched) as raised:
        fetched(issuer, **changes)
    assert raised.value.__cause__ is None
    return str(raised.value)


def test_keys_are_found_by_discovery_or_at_the_configured_place(world: World) -> None:
    assert orjson.loads(fetched(world.issuer))["keys"][0]["kid"] == "rsa"
    assert world.issuer.targets == [DISCOVERY, JWKS]
    fetched(world.issuer, jwks_url=world.issuer.url + JWKS, issuer="https://elsewhere.example/tenant/")
    assert world.issuer.targets == [DISCOVERY, JWKS, JWKS]


def test_discovery_takes_an_issuer_with_a_path_and_a_slash(world: World) -> None:
    named = world.issuer.url + "/tenant/v2.0/"
    document = {"issuer": named, "jwks_uri": world.issuer.url + JWKS}
    place = "/tenant/v2.0/.well-known/openid-configuration"
    world.issuer.answer = lambda path: Canned(body=orjson.dumps(document)) if path == place else None
    assert b"rsa" in fetched(world.issuer, issuer=named)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://other.example"}, "is of another issuer"),
        ({"issuer": None}, "is of another issuer"),
        ({"jwks_uri": None}, "has no jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "has no jwks_uri"),
        ({"jwks_uri": "ftp://127.0.0.1/keys"}, "has no jwks_uri"),
        ({"jwks_uri": "http://user@127.0.0.1/keys"}, "has no jwks_uri"),
        ({"jwks_uri": "http:///keys"}, "has no jwks_uri"),
        ({"jwks_uri": "http://[::1/keys"}, "has no jwks_uri"),
        ({"jwks_uri": "http://127.0.0.1/a b"}, "has no jwks_uri"),
        ({"jwks_uri": "http://127.0.0.1/\r\nx: y"}, "has no jwks_uri"),
        ({"jwks_uri": ["http://127.0.0.1/keys"]}, "has no jwks_uri"),
        ({"jwks_uri": "http://127.0.0.1/" + "k" * 1_024}, "has no jwks_uri"),
    ],
)
def test_a_discovery_document_that_says_something_else_is_not_followed(
    world: World, changes: dict[str, Any], why: str
) -> None:
    document = {"issuer": world.issuer.url, "jwks_uri": world.issuer.url + JWKS} | changes
    world.issuer.answer = lambda path: Canned(body=orjson.dumps(document)) if path == DISCOVERY else None
    assert why in failure(world.issuer)
    assert world.issuer.targets == [DISCOVERY]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"issuer": "a", "issuer": "a"}', b"\xff"])
def test_garbage_is_no_discovery_document(world: World, body: bytes) -> None:
    world.issuer.answer = lambda path: Canned(body=body) if path == DISCOVERY else None
    assert failure(world.issuer) == "the discovery document is no JSON object"


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", [204, 301, 302, 307, 401, 404, 429, 500, 503])
def test_only_a_200_is_an_answer_and_redirects_are_not_followed(world: World, path: str, status: int) -> None:
    elsewhere = Canned(status, b"", {"location": world.issuer.url + "/elsewhere"})
    world.issuer.answer = lambda asked: elsewhere if asked == path else None
    assert failure(world.issuer) == f"the answer is {status}"
    assert "/elsewhere" not in world.issuer.targets


def test_a_huge_answer_is_not_read_to_its_end(world: World) -> None:
    world.issuer.answer = lambda path: Canned(body=b" " * 50_000_000) if path == JWKS else None
    assert failure(world.issuer) == "the answer exceeds 262144 bytes"


def test_an_answer_that_grows_when_it_is_unpacked_is_not_unpacked_to_its_end(world: World) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    world.issuer.answer = lambda path: Canned(body=bomb, headers={"content-encoding": "gzip"})
    assert failure(world.issuer) == "the answer exceeds 262144 bytes"
    world.issuer.answer = lambda path: Canned(body=b"not packed at all", headers={"content-encoding": "gzip"})
    assert failure(world.issuer) == "the answer does not decompress"


def test_an_answer_that_takes_too_long_is_not_waited_for(world: World) -> None:
    with world.issuer.hold():
        assert failure(world.issuer, timeout_seconds=0.05) == "no answer within 0.05 s"


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_either(world: World) -> None:
    world.issuer.answer = lambda path: Canned(body=b" " * 10_000, drip=0.02)
    assert failure(world.issuer, timeout_seconds=0.2) == "no answer within 0.2 s"


def test_an_answer_that_ends_early_is_none(world: World) -> None:
    world.issuer.answer = lambda path: Canned(body=b"{}" * 100, cut=50)
    assert failure(world.issuer) == "the connection broke"


def test_an_issuer_that_is_down_cannot_be_reached(world: World) -> None:
    world.issuer.down()
    assert failure(world.issuer) == "connecting failed"


@pytest.mark.parametrize(
    "changes",
    [
        {"allow_http": False},
        {"jwks_url": "http://keys.example/", "allow_http": False},
        {"jwks_url": "https://user:secret@keys.example/"},
        {"jwks_url": "file:///keys"},
        {"jwks_url": "keys.example"},
    ],
)
def test_keys_are_never_fetched_without_tls_unless_the_configuration_says_so(
    world: World, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="https") as raised:
        HttpKeySource(settings(world.issuer, **changes))
    assert "secret" not in str(raised.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def private(authority: trustme.CA, world: World) -> Iterator[LocalIssuer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with LocalIssuer(lambda: world.clocks.epoch, context) as issuer:
        issuer.keys["rsa"] = RSA
        yield issuer


def test_the_certificate_of_an_issuer_is_checked_against_its_authorities(
    world: World, private: LocalIssuer, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    async def run() -> None:
        async with world.tokens(settings(private, ca_file=str(file), allow_http=False)) as tokens:
            assert tokens(private.token("rsa")) == CALLER

    asyncio.run(run())
    assert failure(private, allow_http=False).startswith("its certificate is not trusted")


def test_keys_over_tls_are_not_looked_for_where_anybody_can_change_them(
    world: World, private: LocalIssuer, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    document = {"issuer": private.url, "jwks_uri": world.issuer.url + JWKS}
    private.answer = lambda path: Canned(body=orjson.dumps(document))
    assert "jwks_uri" in failure(private, ca_file=str(file), allow_http=False)
    assert world.issuer.targets == []


def test_a_file_without_authorities_is_a_fault_of_the_configuration(world: World, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ValueError, match="corp: ca_file cannot be used: no certificate in it"):
        HttpKeySource(settings(world.issuer, ca_file=str(file)))
    with pytest.raises(ValueError, match="corp: ca_file cannot be used: No such file"):
        HttpKeySource(settings(world.issuer, ca_file=str(tmp_path / "missing.pem")))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"keys": {}}', b"{}", b'{"keys": [], "keys": []}']
)
def test_garbage_is_no_key_set(world: World, body: bytes) -> None:
    with pytest.raises(UnusableKeySet):
        key_set(body, 64)

    async def run() -> None:
        async with world.tokens() as tokens:
            token = world.issuer.token("rsa")
            world.issuer.answer = lambda path: Canned(body=body) if path == JWKS else None
            await until(lambda: world.clocks.sleeping == 1)
            world.clocks.advance(300)
            await until(lambda: world.issuer.fetches == 2 and world.clocks.sleeping == 1)
            assert tokens(token) == CALLER

    asyncio.run(run())


def names(*entries: Any) -> set[str]:
    return set(key_set(orjson.dumps({"keys": entries}), 64))


def test_more_keys_than_allowed_are_none() -> None:
    entries = [PUBLIC | {"kid": str(number)} for number in range(5)]
    text = orjson.dumps({"keys": entries})
    assert len(key_set(text, 5)) == 5
    with pytest.raises(UnusableKeySet, match="more than 4"):
        key_set(text, 4)


@pytest.mark.parametrize("entry", [PUBLIC | {"use": "sig"}, PUBLIC | {"key_ops": ["verify"]}, PUBLIC | {"x5c": 7}])
def test_a_public_key_for_signatures_is_taken(entry: dict[str, Any]) -> None:
    assert names(entry) == {"rsa"}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        "rsa",
        {},
        {"kid": "rsa"},
        RSA.as_dict(private=False),
        PUBLIC | {"kid": 7},
        PUBLIC | {"kid": ""},
        PUBLIC | {"kid": "k" * 257},
        PUBLIC | {"use": "enc"},
        PUBLIC | {"use": None},
        PUBLIC | {"key_ops": ["sign"]},
        PUBLIC | {"key_ops": "verify"},
        PUBLIC | {"alg": "HS256"},
        PUBLIC | {"alg": "none"},
        PUBLIC | {"alg": "RSA-OAEP"},
        PUBLIC | {"alg": ["RS256"]},
        PUBLIC | {"kty": "oct", "k": PUBLIC["n"]},
        PUBLIC | {"kty": "EC"},
        PUBLIC | {"kty": ["RSA"]},
        PUBLIC | {"n": 7},
        PUBLIC | {"n": "!"},
        PUBLIC | {"n": ""},
        PUBLIC | {"n": "_" * 2_049},
        PUBLIC | {"n": "_" * 1_400},
        PUBLIC | {"e": "AQ"},
        PUBLIC | {"e": "Ag"},
        PUBLIC | {"e": "BA"},
        PUBLIC | {"e": "_" * 300},
        {**RSA.as_dict(private=True), "kid": "rsa"},
        {**EC.as_dict(private=True), "kid": "ec"},
        {**ED.as_dict(private=True), "kid": "ed"},
        {**EC.as_dict(private=False), "kid": "ec", "crv": "P-384"},
        {**EC.as_dict(private=False), "kid": "ec", "x": EC.as_dict(private=False)["y"]},
        {**EC.as_dict(private=False), "kid": "ec", "alg": "RS256"},
        {**ECKey.generate_key("secp256k1").as_dict(private=False), "kid": "ec"},
        {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "ed"},
        {**OKPKey.generate_key("Ed448").as_dict(private=False), "kid": "ed"},
        {**OctKey.generate_key(256).as_dict(), "kid": "secret"},
    ],
)
def test_everything_else_is_left_out_and_takes_nothing_along(entry: Any) -> None:
    assert names(entry, {**OTHER_RSA.as_dict(private=False), "kid": "good"}) == {"good"}


def test_short_rsa_keys_are_left_out() -> None:
    with pytest.warns(UserWarning, match="2048"):
        short = rsa_key(1_024)
    assert names({**short.as_dict(private=False), "kid": "short"}) == set()


def test_a_name_that_two_keys_have_stands_for_none() -> None:
    twin = {**OTHER_RSA.as_dict(private=False), "kid": "rsa"}
    good = {**EC.as_dict(private=False), "kid": "ec"}
    assert names(PUBLIC, good, twin) == {"ec"}
    # A key for encryption may share it: no token can mean that one.
    assert names(PUBLIC, twin | {"use": "enc"}) == {"rsa"}
