"""What the claims of a token with a good signature mean, at the edges too."""

import asyncio
from typing import Any

import pytest
from tests.auth.oidc.world import CALLER, World

from eventbus_gateway.auth.oidc.claims import ClaimRules
from eventbus_gateway.auth.oidc.refusals import Refusal
from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings, is_reserved
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import Unauthenticated

NOW = 1_900_000_000
GOOD: dict[str, Any] = {"aud": "eventbus", "sub": "caller", "exp": NOW + 100}


def issuer(**changes: Any) -> OidcIssuerSettings:
    values = {"prefix": "corp", "issuer": "https://issuer.example", "audiences": ("eventbus", "api://eventbus")}
    return OidcIssuerSettings.model_validate(values | changes)


def accepted(claims: dict[str, Any], now: float = NOW, **changes: Any) -> Principal:
    return ClaimRules(issuer(**changes)).accepted(claims, now).principal


def why(claims: dict[str, Any], now: float = NOW, **changes: Any) -> Refusal:
    with pytest.raises(Unauthenticated) as raised:
        accepted(claims, now, **changes)
    return Refusal(raised.value.detail)


def test_a_token_ends_at_its_expiry_and_the_skew_after_it() -> None:
    assert accepted(GOOD, NOW + 159.999) == CALLER
    assert why(GOOD, NOW + 160) is Refusal.EXPIRED
    assert accepted(GOOD, NOW + 99.999, clock_skew_seconds=0) == CALLER
    assert why(GOOD, NOW + 100, clock_skew_seconds=0) is Refusal.EXPIRED
    assert ClaimRules(issuer()).accepted(GOOD, NOW).ends == NOW + 160


def test_a_token_begins_at_its_nbf_and_the_skew_before_it() -> None:
    claims = GOOD | {"nbf": NOW, "exp": NOW + 1_000}
    assert accepted(claims, NOW - 60) == CALLER
    assert why(claims, NOW - 60.001) is Refusal.NOT_YET
    assert accepted(claims, NOW, clock_skew_seconds=0) == CALLER
    assert why(claims, NOW - 0.001, clock_skew_seconds=0) is Refusal.NOT_YET


def test_a_token_cannot_be_issued_in_the_future() -> None:
    claims = GOOD | {"iat": NOW, "exp": NOW + 1_000}
    assert accepted(claims, NOW - 60) == CALLER
    assert why(claims, NOW - 60.001) is Refusal.ISSUED_LATER


def test_a_token_has_to_say_when_it_expires() -> None:
    assert why({name: value for name, value in GOOD.items() if name != "exp"}) is Refusal.NO_EXPIRY
    assert why(GOOD | {"exp": None}) is Refusal.NO_EXPIRY


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [True, "1900000100", [NOW + 100], {}, float("inf"), float("nan"), -1, -float("inf"), 10**400, 253_402_300_800],
)
def test_times_are_numbers_within_reason(name: str, value: Any) -> None:
    assert why(GOOD | {name: value}) is Refusal.CLAIMS


def test_times_may_have_fractions() -> None:
    assert accepted(GOOD | {"exp": NOW + 0.5, "nbf": NOW - 0.5, "iat": NOW - 0.25}) == CALLER


@pytest.mark.parametrize("audience", ["eventbus", "api://eventbus", ["other", "eventbus"], ["api://eventbus"]])
def test_a_token_is_for_one_of_the_audiences(audience: Any) -> None:
    assert accepted(GOOD | {"aud": audience}) == CALLER


@pytest.mark.parametrize(
    "audience",
    [
        None,
        "",
        "other",
        "Eventbus",
        "eventbus ",
        "eventbus other",
        [],
        ["other"],
        [["eventbus"]],
        ["eventbus", 7],
        ["eventbus", None],
        {"eventbus": True},
        7,
        True,
    ],
)
def test_a_token_for_another_audience_is_refused(audience: Any) -> None:
    assert why(GOOD | {"aud": audience}) is Refusal.AUDIENCE


def test_another_claim_can_have_the_audience_of_tokens_without_one() -> None:
    cognito: dict[str, Any] = {"audience_claim": "client_id", "audiences": ("a-client",)}
    claims = {"sub": "caller", "exp": NOW + 100, "client_id": "a-client"}
    assert accepted(claims, **cognito) == CALLER
    assert accepted(claims | {"aud": ["a-client"]}, **cognito) == CALLER
    assert why(claims | {"aud": "other"}, **cognito) is Refusal.AUDIENCE
    assert why(claims | {"aud": None}, **cognito) is Refusal.AUDIENCE
    assert why(claims | {"client_id": "other"}, **cognito) is Refusal.AUDIENCE
    assert why(claims | {"client_id": "other", "aud": "a-client"}, **cognito) is Refusal.AUDIENCE
    assert why({"sub": "caller", "exp": NOW + 100}, **cognito) is Refusal.AUDIENCE


@pytest.mark.parametrize("value", ["caller", "9d3c-7f", "a.b", "_", "-", "c" * 59])
def test_the_principal_is_the_claim_behind_the_prefix(value: str) -> None:
    assert accepted(GOOD | {"sub": value}) == Principal(f"corp.{value}")


@pytest.mark.parametrize(
    "value",
    [None, "", 7, True, ["caller"], {"caller": 1}, "c" * 60, "a b", "a/b", "a|b", "*", "a\n", "\ud800", "ä", "a\x00"],
)
def test_a_claim_that_cannot_be_a_name_names_nobody(value: Any) -> None:
    assert why(GOOD | {"sub": value}) is Refusal.PRINCIPAL


def test_any_claim_can_name_the_principal() -> None:
    claims = GOOD | {"azp": "client", "https://corp.example/id": {"team": {"a/b~c": "x"}}}
    assert accepted(claims, principal_claim="azp") == Principal("corp.client")
    nested = "/https:~1~1corp.example~1id/team/a~1b~0c"
    assert accepted(claims, principal_claim=nested) == Principal("corp.x")
    assert accepted(claims | {"~1": "y"}, principal_claim="/~01") == Principal("corp.y")
    assert why(claims, principal_claim="/azp/x") is Refusal.PRINCIPAL
    assert why(claims, principal_claim="/missing/x") is Refusal.PRINCIPAL


def test_principals_of_different_issuers_never_have_the_same_name() -> None:
    # The prefix has no dot, so the first one is where it ends.
    one, other = accepted(GOOD | {"sub": "b.c"}, prefix="a"), accepted(GOOD | {"sub": "c"}, prefix="a-b")
    assert (one.name, other.name) == ("a.b.c", "a-b.c")
    with pytest.raises(ValueError, match="prefix"):
        issuer(prefix="a.b")


def test_names_that_begin_with_a_prefix_are_reserved_for_tokens() -> None:
    issuers = [issuer(prefix="corp"), issuer(prefix="b2b")]
    assert is_reserved("corp.caller", issuers)
    assert is_reserved("b2b.", issuers)
    for free in ("corp", "corporate.caller", "other.corp.caller", "b2b-x", ""):
        assert not is_reserved(free, issuers)


RULES = (
    {"claim": "scope", "value": "events.write", "role": "publisher"},
    {"claim": "scp", "value": "events.write", "role": "publisher"},
    {"claim": "cognito:groups", "value": "readers", "role": "reader"},
    {"claim": "/realm_access/roles", "value": "eventbus admin", "role": "admin"},
    {"claim": "department", "value": "radiology", "role": "reader"},
)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"scope": "openid events.write"}, {"publisher"}),
        ({"scp": "events.write"}, {"publisher"}),
        ({"scp": ["openid", "events.write"]}, {"publisher"}),
        ({"scope": "openid", "scp": "events.write"}, {"publisher"}),
        ({"scope": "events.write.all events.writer"}, set()),
        ({"scope": "EVENTS.WRITE"}, set()),
        ({"cognito:groups": ["readers", "others"], "department": "radiology"}, {"reader"}),
        ({"cognito:groups": "readers"}, {"reader"}),
        ({"realm_access": {"roles": ["eventbus admin"]}}, {"admin"}),
        ({"realm_access": {"roles": "eventbus admin"}}, {"admin"}),
        ({"realm_access": ["eventbus admin"]}, set()),
        ({"realm_access": {"roles": {"eventbus admin": True}}}, set()),
        ({"/realm_access/roles": ["eventbus admin"]}, set()),
        # Only scopes are lists of words: whoever writes a sentence into a claim gets no role by it.
        ({"department": "radiology oncology"}, set()),
        ({"department": [["radiology"]]}, set()),
        ({"cognito": {"groups": ["readers"]}}, set()),
        ({"scope": 7, "scp": None, "department": True}, set()),
        ({"scope": "events.write", "department": "radiology"}, {"publisher", "reader"}),
    ],
)
def test_roles_come_from_exactly_the_configured_values(claims: dict[str, Any], roles: set[str]) -> None:
    assert accepted(GOOD | claims, roles=RULES).roles == roles


def test_all_required_scopes_are_needed() -> None:
    required: dict[str, Any] = {"required_scopes": ("a", "b")}
    for claims in ({"scope": "a b"}, {"scope": "c b a"}, {"scp": ["b", "a"]}, {"scope": "a", "scp": "b"}):
        assert accepted(GOOD | claims, **required) == CALLER
    for claims in ({}, {"scope": "a"}, {"scope": "ab"}, {"scope": ["a"]}, {"scp": "b"}, {"roles": ["a", "b"]}):
        assert why(GOOD | claims, **required) is Refusal.SCOPE


def test_a_remembered_token_ends_when_it_expires(world: World) -> None:
    token = world.issuer.token("rsa", exp=int(world.clocks.epoch) + 100)

    async def run() -> None:
        async with world.tokens() as tokens:
            assert tokens(token) == CALLER
            world.clocks.epoch += 159.9
            assert tokens(token) == CALLER
            assert len(tokens) == 1
            world.clocks.epoch += 0.1
            for _ in range(2):
                with pytest.raises(Unauthenticated, match="expired"):
                    tokens(token)
                assert len(tokens) == 0

    asyncio.run(run())


def test_the_token_unused_for_longest_is_forgotten_first(world: World) -> None:
    in_use, second, third = [world.issuer.token("rsa", jti=str(number)) for number in range(3)]

    async def run() -> None:
        async with world.tokens(max_tokens=2) as tokens:
            for token in (in_use, second, in_use, third):
                assert tokens(token) == CALLER
            # Who looks at its claims again finds that it begins later.
            world.clocks.epoch -= 1_000
            assert tokens(in_use) == tokens(third) == CALLER
            with pytest.raises(Unauthenticated):
                tokens(second)

    asyncio.run(run())


def test_only_so_many_tokens_are_remembered(world: World) -> None:
    several = [world.issuer.token("rsa", jti=str(number)) for number in range(5)]

    async def run() -> None:
        async with world.tokens(max_tokens=2) as tokens:
            for count, token in enumerate(several * 2, 1):
                assert tokens(token) == CALLER
                assert len(tokens) == min(count, 2)

    asyncio.run(run())
