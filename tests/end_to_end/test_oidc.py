"""Tokens of an identity provider at a gateway as production runs it."""

from typing import Any

import pytest
from loadtests.local_issuer import LocalIssuer, ec_key, rsa_key
from tests.broker import Broker
from tests.end_to_end.process import GatewayProcess

TOPIC = "tokens-e2e"


def _auth(issuer: LocalIssuer) -> dict[str, Any]:
    return {
        "mode": "several",
        "methods": ["oidc"],
        "oidc": [
            {
                "prefix": "corp",
                "issuer": issuer.url,
                "audiences": ["eventbus"],
                "allow_http": True,
                "refresh_seconds": 10,
                "min_refresh_seconds": 1,
            }
        ],
        "grants": [{"principal": "corp.labs", "actions": ["publish"], "topics": [TOPIC]}],
    }


@pytest.mark.broker
def test_tokens_are_accepted_once_their_issuer_can_be_reached_and_go_on_when_it_cannot(broker: Broker) -> None:
    broker.create_topic(TOPIC, 1)
    with LocalIssuer() as issuer:
        issuer.keys.update(rsa=rsa_key())
        token = issuer.token("rsa", sub="labs")
        issuer.down()
        # Ready all the same: whoever has another credential must not wait for the issuer.
        with GatewayProcess(broker.bootstrap, auth=_auth(issuer)) as gateway:

            def status(presented: bytes) -> int:
                return gateway.publish(TOPIC, b"{}", authorization=f"Bearer {presented.decode()}").status_code

            assert status(token) == 503
            issuer.up()
            gateway.until(lambda: status(token) == 201, "the keys to be fetched")
            issuer.keys["ec"] = ec_key()
            another = issuer.token("ec", "ES256", sub="labs")
            gateway.until(lambda: status(another) == 201, "the new key to be fetched")
            assert status(issuer.token("rsa", sub="labs", aud="other")) == 401
            assert status(issuer.token("rsa", sub="somebody")) == 403
            issuer.down()
            assert status(issuer.token("rsa", sub="labs", jti="another")) == 201
            issuer.up()
            del issuer.keys["rsa"]
            gateway.until(lambda: status(token) == 401, "the withdrawn key to be forgotten")
            assert status(another) == 201
            gateway.sigterm()
            assert gateway.ended() == 0
            for part in (*token.split(b"."), *another.split(b".")):
                assert part.decode() not in gateway.err + gateway.out
