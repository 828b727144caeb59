"""Tokens that somebody made up, changed, or took from elsewhere."""

import asyncio
import base64
import hashlib
import hmac
import string
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from loadtests.local_issuer import LocalIssuer, encoded, signed
from tests.auth.oidc.world import (
    CALLER,
    EC,
    EC_384,
    EC_521,
    ED,
    OTHER_EC,
    OTHER_RSA,
    RSA,
    World,
    principal,
    settings,
)

from eventbus_gateway.auth.oidc.compact import presented
from eventbus_gateway.auth.oidc.keyset import key_set
from eventbus_gateway.auth.oidc.refusals import Refusal
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.errors import Unauthenticated

ALL = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


def in_world(world: World, use: Callable[[OidcTokens], None], **changes: Any) -> None:
    async def run() -> None:
        async with world.tokens(**changes) as tokens:
            use(tokens)

    asyncio.run(run())


def why(tokens: OidcTokens, token: bytes) -> Refusal:
    with pytest.raises(Unauthenticated) as raised:
        tokens(token)
    # Fixed sentences are what keeps a token out of answers and logs; nothing is chained that could quote it either.
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    return Refusal(raised.value.detail)


def header(**changes: Any) -> dict[str, Any]:
    return {"typ": "JWT", "alg": "RS256", "kid": "rsa"} | changes


def claims(world: World, **changes: Any) -> bytes:
    return orjson.dumps(world.issuer.claims(**changes))


@pytest.mark.parametrize(
    ("kid", "algorithm"),
    [
        *[("rsa", name) for name in ALL[:6]],
        ("ec", "ES256"),
        ("ec384", "ES384"),
        ("ec521", "ES512"),
        ("ed", "EdDSA"),
        ("ed", "Ed25519"),
    ],
)
def test_a_good_token_of_every_algorithm_stands_for_its_caller_the_second_time_too(
    world: World, kid: str, algorithm: str
) -> None:
    world.publish(ec=EC, ec384=EC_384, ec521=EC_521, ed=ED)
    token = world.issuer.token(kid, algorithm)

    def use(tokens: OidcTokens) -> None:
        assert tokens(token) == CALLER
        assert len(tokens) == 1
        assert tokens(token) == CALLER
        assert len(tokens) == 1

    in_world(world, use, algorithms=ALL)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", "none\x00", None, ["none"], 0])
@pytest.mark.parametrize("signature", [b"", b"AA", encoded(b"\x00" * 256)])
def test_a_token_without_a_signature_is_refused(world: World, name: Any, signature: bytes) -> None:
    forged = encoded(orjson.dumps(header(alg=name))) + b"." + encoded(claims(world)) + b"." + signature
    in_world(world, lambda tokens: _is(why(tokens, forged), Refusal.ALGORITHM, Refusal.HEADER, Refusal.FORM))


def _is(found: Refusal, *expected: Refusal) -> None:
    assert found in expected


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "pem without line end", "der", "jwk", "modulus"])
def test_the_public_key_is_no_secret_to_sign_with(world: World, algorithm: str, form: str) -> None:
    published = world.issuer.jwks()[0]
    secret = {
        "pem": RSA.as_pem(),
        "pem without line end": RSA.as_pem().rstrip(),
        "der": RSA.as_der(),
        "jwk": orjson.dumps(published),
        "modulus": base64.urlsafe_b64decode(published["n"] + "=="),
    }[form]
    forged = signed_with_hmac(header(alg=algorithm), claims(world), secret)
    as_rsa = signed_with_hmac(header(), claims(world), secret)

    def use(tokens: OidcTokens) -> None:
        assert why(tokens, forged) is Refusal.ALGORITHM
        assert why(tokens, as_rsa) is Refusal.SIGNATURE

    in_world(world, use, algorithms=ALL)


def signed_with_hmac(said: dict[str, Any], text: bytes, secret: bytes) -> bytes:
    """By hand, since the library refuses to take a public key for a secret."""
    start = encoded(orjson.dumps(said)) + b"." + encoded(text)
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(said["alg"], hashlib.sha256)
    return start + b"." + encoded(hmac.new(secret, start, digest).digest())


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": OTHER_RSA.as_dict(private=False)},
        {"jwk": RSA.as_dict(private=False)},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/chain"},
        {"x5c": ["MIIB"]},
        {"jwk": None},
    ],
)
@pytest.mark.parametrize("key", [RSA, OTHER_RSA])
def test_a_key_in_the_header_is_refused_whoever_signed(world: World, extra: dict[str, Any], key: Any) -> None:
    forged = signed(header(**extra), claims(world), key, "RS256")
    in_world(world, lambda tokens: _is(why(tokens, forged), Refusal.KEY_IN_HEADER))
    assert world.issuer.fetches == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"crit": ["exp"]}, Refusal.CRITICAL),
        ({"crit": []}, Refusal.CRITICAL),
        ({"b64": False}, Refusal.CRITICAL),
        ({"b64": False, "crit": ["b64"]}, Refusal.CRITICAL),
        ({"typ": "logout+jwt"}, Refusal.TYPE),
        ({"typ": "secevent+jwt"}, Refusal.TYPE),
        ({"typ": 7}, Refusal.TYPE),
        ({"typ": None}, Refusal.TYPE),
        ({"kid": None}, Refusal.HEADER),
        ({"kid": ""}, Refusal.HEADER),
        ({"kid": ["rsa"]}, Refusal.HEADER),
        ({"kid": {"rsa": "rsa"}}, Refusal.HEADER),
        ({"kid": "k" * 257}, Refusal.HEADER),
        ({"alg": "ES256"}, Refusal.ALGORITHM),
        ({"alg": "RS512"}, Refusal.ALGORITHM),
        ({"alg": "rs256"}, Refusal.ALGORITHM),
        ({"pad": "p" * 2_000}, Refusal.FORM),
    ],
)
def test_a_header_that_no_accepted_token_has_is_refused(
    world: World, changes: dict[str, Any], expected: Refusal
) -> None:
    forged = signed(header(**changes), claims(world), RSA, "RS256")
    in_world(world, lambda tokens: _is(why(tokens, forged), expected))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_types_of_access_tokens_are_accepted_in_any_case(world: World, kind: str) -> None:
    token = signed(header(typ=kind), claims(world), RSA, "RS256")
    untyped = signed({"alg": "RS256", "kid": "rsa"}, claims(world), RSA, "RS256")

    def use(tokens: OidcTokens) -> None:
        assert tokens(token) == CALLER
        assert tokens(untyped) == CALLER

    in_world(world, use)


@pytest.mark.parametrize(
    ("kid", "key", "algorithm", "said", "expected"),
    [
        ("rsa", EC, "ES256", "RS256", Refusal.SIGNATURE),
        ("rsa", EC, "ES256", "ES256", Refusal.ALGORITHM),
        ("ec", RSA, "RS256", "RS256", Refusal.ALGORITHM),
        ("ec", RSA, "RS256", "ES256", Refusal.SIGNATURE),
        ("ec", EC_384, "ES384", "ES384", Refusal.ALGORITHM),
        ("ec", EC_384, "ES384", "ES256", Refusal.SIGNATURE),
        ("rsa", RSA, "PS256", "RS256", Refusal.SIGNATURE),
        ("rsa", RSA, "RS384", "RS256", Refusal.SIGNATURE),
        ("rsa", OTHER_RSA, "RS256", "RS256", Refusal.SIGNATURE),
        ("ec", OTHER_EC, "ES256", "ES256", Refusal.SIGNATURE),
        ("ed", EC, "ES256", "EdDSA", Refusal.SIGNATURE),
        ("pinned", RSA, "RS256", "RS256", Refusal.ALGORITHM),
    ],
)
def test_a_key_verifies_only_what_it_is_for(
    world: World, kid: str, key: Any, algorithm: str, said: str, expected: Refusal
) -> None:
    world.publish(ec=EC, ed=ED)
    pinned = {**RSA.as_dict(private=False), "kid": "pinned", "alg": "PS256"}
    world.issuer.document = [*world.issuer.jwks(), pinned]
    forged = signed(header(kid=kid, alg=said), claims(world), key, algorithm)
    in_world(world, lambda tokens: _is(why(tokens, forged), expected), algorithms=ALL)


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256", "PS256", "made up"])
def test_a_key_itself_refuses_what_it_is_not_for(world: World, algorithm: str) -> None:
    entry = {**RSA.as_dict(private=False), "kid": "rsa", "alg": "RS256"}
    key = key_set(orjson.dumps({"keys": [entry]}), 1)["rsa"]
    token = presented(world.issuer.token("rsa"))
    assert key.verifies(token)
    assert not key.verifies(replace(token, algorithm=algorithm))
    assert not key.verifies(replace(token, algorithm=algorithm, signature=b""))


def test_a_token_of_one_issuer_is_none_of_another_one_even_with_the_same_key_id(world: World) -> None:
    with LocalIssuer(lambda: world.clocks.epoch) as other:
        other.keys["rsa"] = OTHER_RSA
        both = (settings(world.issuer), settings(other, prefix="partner"))
        crossed = signed(header(), claims(world), OTHER_RSA, "RS256")

        async def run() -> None:
            async with world.tokens(*both) as tokens:
                assert (await principal(tokens, world.issuer.token("rsa"))).name == "corp.caller"
                assert (await principal(tokens, other.token("rsa"))).name == "partner.caller"
                assert why(tokens, crossed) is Refusal.SIGNATURE
                assert why(tokens, world.issuer.token("rsa", iss=other.url)) is Refusal.SIGNATURE

        asyncio.run(run())


def test_a_token_of_an_unknown_issuer_is_refused_without_asking_it(world: World) -> None:
    with LocalIssuer(lambda: world.clocks.epoch) as stranger:
        stranger.keys["rsa"] = RSA
        url = world.issuer.url
        issuers = [stranger.url, url + "/", url.upper(), url + " ", "", None, [url], {"iss": url}, 7]

        def use(tokens: OidcTokens) -> None:
            for issuer in issuers:
                assert why(tokens, world.issuer.token("rsa", iss=issuer)) is Refusal.ISSUER

        in_world(world, use)
        assert stranger.targets == []


def refused_for_claims(tokens: OidcTokens, token: bytes) -> None:
    assert why(tokens, token) is Refusal.CLAIMS


def test_claims_in_which_a_name_comes_twice_are_refused(world: World) -> None:
    good = claims(world)
    for name in (b'"sub":"caller"', b'"iss":"https://other.example"', b'"exp":1', b'"x":{"a":1,"a":1}'):
        for forged in (good[:-1] + b"," + name + b"," + name + b"}", b"{" + name + b"," + name + b"," + good[1:]):
            token = signed(header(), forged, RSA, "RS256")
            in_world(world, partial(refused_for_claims, token=token))


def test_a_header_in_which_a_name_comes_twice_is_refused(world: World) -> None:
    text = b'{"typ":"JWT","alg":"none","alg":"RS256","kid":"rsa"}'
    start = encoded(text) + b"." + encoded(claims(world))
    good = signed(header(), claims(world), RSA, "RS256")
    in_world(world, lambda tokens: _is(why(tokens, start + b"." + good.rsplit(b".")[2]), Refusal.HEADER))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'"claims"',
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"sub":"\xff"}',
        "{}".encode("utf-16"),
        b"[" * 3_000,
        b'{"a":' * 1_000,
        b'{"exp":' + b"9" * 4_500 + b"}",
    ],
)
def test_claims_that_are_no_json_object_are_refused(world: World, text: bytes) -> None:
    token = signed(header(), text, RSA, "RS256")
    in_world(world, lambda tokens: _is(why(tokens, token), Refusal.CLAIMS, Refusal.FORM, Refusal.TOO_LONG))


def test_a_token_that_is_too_long_is_refused_before_it_is_looked_at(world: World) -> None:
    token = world.issuer.token("rsa", pad="p" * 8_000)

    def use(tokens: OidcTokens) -> None:
        assert why(tokens, token) is Refusal.TOO_LONG
        assert why(tokens, b"a" * 10_000_000) is Refusal.TOO_LONG

    in_world(world, use)
    in_world(world, lambda tokens: _equal(tokens(token)), max_token_bytes=16_384)


def _equal(found: object) -> None:
    assert found == CALLER


def test_each_issuer_has_its_own_limit_on_the_length_of_tokens(world: World) -> None:
    with LocalIssuer(lambda: world.clocks.epoch) as other:
        other.keys["rsa"] = OTHER_RSA
        both = (settings(world.issuer), settings(other, prefix="partner", max_token_bytes=16_384))

        async def run() -> None:
            async with world.tokens(*both) as tokens:
                assert (await principal(tokens, other.token("rsa", pad="p" * 8_000))).name == "partner.caller"
                assert why(tokens, world.issuer.token("rsa", pad="p" * 8_000)) is Refusal.TOO_LONG

        asyncio.run(run())


def test_base64_has_one_form_only(world: World) -> None:
    token = world.issuer.token("rsa")
    head, body, signature = token.split(b".")
    candidates = [
        token + b"=",
        token + b"==",
        head + b"=." + body + b"." + signature,
        head + b"." + body + b"=." + signature,
        b" " + token,
        token + b" ",
        token + b"\n",
        head + b".\t" + body + b"." + signature,
        head + b"." + body + b"." + signature[:50] + b"\n" + signature[50:],
        token.replace(b"-", b"+").replace(b"_", b"/") + b"+",
        head + b"." + body,
        token + b".",
        token + b"." + signature,
        b"." + token,
        head + b".." + signature,
        b"..",
        b"",
        b"." * 8_000,
        token.decode().encode("utf-16"),
        b"\xff" + token[1:],
    ]

    def use(tokens: OidcTokens) -> None:
        assert tokens(token) == CALLER
        for candidate in candidates:
            assert why(tokens, candidate) in {Refusal.FORM, Refusal.SIGNATURE}

    in_world(world, use)


ALPHABET = (string.ascii_letters + string.digits + "-_").encode()


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
def test_every_other_text_of_the_same_signature_is_refused(world: World, kid: str) -> None:
    world.publish(ec=EC, ed=ED)
    token = world.issuer.token(kid, {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[kid])

    def use(tokens: OidcTokens) -> None:
        for last in ALPHABET:
            if last != token[-1]:
                assert why(tokens, token[:-1] + bytes([last])) in {Refusal.FORM, Refusal.SIGNATURE}
        assert tokens(token) == CALLER

    in_world(world, use, algorithms=ALL)


@given(data=st.data())
@example(data=None)
@budget(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_good_token_with_any_byte_changed_is_refused(world: World, data: Any) -> None:
    token = world.issuer.token("rsa")
    places = range(len(token)) if data is None else data.draw(st.lists(st.integers(0, len(token) - 1), max_size=60))

    async def run() -> None:
        async with world.tokens() as tokens:
            if data is not None:
                # Also when the good one is remembered.
                assert tokens(token) == CALLER
            for place in places:
                if data is None:
                    changed = ALPHABET[(ALPHABET.find(token[place]) + 1) % len(ALPHABET)]
                else:
                    changed = (token[place] + data.draw(st.integers(1, 255))) % 256
                forged = token[:place] + bytes([changed]) + token[place + 1 :]
                with pytest.raises(Unauthenticated):
                    await principal(tokens, forged)

    asyncio.run(run())
