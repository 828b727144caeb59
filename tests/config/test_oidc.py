"""Issuers of tokens in the configuration."""

import json
import pathlib
from typing import Any

import pytest
from tests.config.values import AUTHORITY, HASH

from eventbus_gateway.config import InvalidConfig, describe, load
from eventbus_gateway.config.model import Config

ISSUER = {"prefix": "corp", "issuer": "https://login.example/tenant/v2.0", "audiences": ["api://eventbus"]}
PARTNER = {"prefix": "partner", "issuer": "https://partner.example", "audiences": ["eventbus"]}
METHODS = ["oidc", "api_keys"]


def loaded(*issuers: dict[str, Any], methods: list[str] = METHODS, principal: str = "scheduling") -> Config:
    auth = {
        "mode": "several",
        "methods": methods,
        "api_keys": [{"principal": principal, "sha256": HASH}],
        "oidc": issuers,
    }
    environ = {
        "EVENTBUS_AUTH": json.dumps(auth),
        "EVENTBUS_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
        "EVENTBUS_TOPIC_DEFAULTS__FORMAT": "json",
        "EVENTBUS_SUBSCRIPTIONS__ENABLED": "false",
    }
    return load(None, environ)


def faults(*issuers: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidConfig) as raised:
        loaded(*issuers, **changes)
    assert "s3cret" not in str(raised.value)
    return [(fault.key, fault.sentence) for fault in raised.value.faults]


def test_several_issuers_can_be_configured_and_are_shown_as_they_are(tmp_path: pathlib.Path) -> None:
    roles = [{"claim": "scp", "value": "events.write", "role": "publisher"}]
    config = loaded(ISSUER | {"roles": roles, "algorithms": ["PS256"]}, PARTNER)
    assert [issuer.prefix for issuer in config.auth.oidc] == ["corp", "partner"]
    assert config.auth.oidc[0].roles[0].role == "publisher"
    shown = tmp_path / "shown.toml"
    shown.write_text(describe(config))
    assert load(shown, {}).auth == config.auth


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "none", "None", "rs256", "ES256K", "RSA-OAEP", ""])
def test_no_algorithm_can_be_configured_that_a_public_key_cannot_verify(algorithm: str) -> None:
    [(key, sentence)] = faults(ISSUER | {"algorithms": ["RS256", algorithm]})
    assert key == "auth.oidc[0].algorithms[1]"
    assert sentence.startswith("must be 'RS256'")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"audiences": []}, "audiences"),
        ({"audiences": [""]}, "audiences[0]"),
        ({"algorithms": []}, "algorithms"),
        ({"prefix": "a.b"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "p" * 25}, "prefix"),
        ({"issuer": "http://login.example"}, "issuer"),
        ({"issuer": "https://user:s3cret@login.example"}, "issuer"),
        ({"issuer": "https://login.example/?x=s3cret"}, "issuer"),
        ({"issuer": "https://login.example/#s3cret"}, "issuer"),
        ({"issuer": "https:///tenant"}, "issuer"),
        ({"issuer": "https://login.example:99999"}, "issuer"),
        ({"issuer": "login.example"}, "issuer"),
        ({"issuer": "ftp://login.example"}, "issuer"),
        ({"jwks_url": "http://keys.example/"}, "jwks_url"),
        ({"jwks_url": "https://user:s3cret@keys.example/"}, "jwks_url"),
        ({"jwks_url": "keys"}, "jwks_url"),
        ({"ca_file": "/no/such/file"}, "ca_file"),
        ({"ca_file": __file__}, "ca_file"),
        ({"max_key_age_seconds": 60}, "max_key_age_seconds"),
        ({"refresh_seconds": 20, "min_refresh_seconds": 21}, "refresh_seconds"),
        ({"clock_skew_seconds": 301}, "clock_skew_seconds"),
        ({"principal_claim": ""}, "principal_claim"),
        ({"principal_claim": "/a~2"}, "principal_claim"),
        ({"principal_claim": "/a//b"}, "principal_claim"),
        ({"required_scopes": ["a b"]}, "required_scopes[0]"),
        ({"roles": [{"claim": "scp", "value": "x", "role": "a b"}]}, "roles[0].role"),
        ({"rolez": []}, "rolez"),
    ],
)
def test_what_is_wrong_with_an_issuer_is_blamed_on_its_key(changes: dict[str, Any], key: str) -> None:
    assert [fault[0] for fault in faults(PARTNER, ISSUER | changes)] == [f"auth.oidc[1].{key}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.example", "jwks_url": "https://keys.example/keys?p=policy"},
        {"issuer": "http://login.example", "allow_http": True},
        {"jwks_url": "http://keys.example/", "allow_http": True},
        {"ca_file": AUTHORITY},
        {"principal_claim": "https://login.example/claims/client"},
    ],
)
def test_what_can_be_used_is_taken(changes: dict[str, Any]) -> None:
    assert len(loaded(ISSUER | changes).auth.oidc) == 1


@pytest.mark.parametrize("name", ["prefix", "issuer"])
def test_no_two_issuers_share_a_url_or_a_prefix(name: str) -> None:
    assert faults(ISSUER, PARTNER | {name: ISSUER[name]}) == [
        (f"auth.oidc[1].{name}", "is the same as of auth.oidc[0]")
    ]


def test_issuers_and_the_method_belong_together() -> None:
    assert faults() == [("auth.oidc", "is empty, and auth.methods has oidc")]
    assert faults(ISSUER, methods=["api_keys"]) == [("auth.oidc", "would not be used: auth.methods has no oidc")]


def test_no_api_key_stands_for_a_principal_that_a_token_could_name() -> None:
    [(key, sentence)] = faults(ISSUER, principal="corp.caller")
    assert key == "auth.api_keys[0].principal"
    assert "prefix of an issuer" in sentence
    assert loaded(ISSUER, principal="corporate.caller").auth.api_keys[0].principal == "corporate.caller"
