"""What it costs to know who calls: the same gateway with credentials and without, under the same load."""

import asyncio
import contextlib
import hashlib
import json
import time
import timeit
import tomllib
from pathlib import Path

import click
from tests.broker import Broker

from eventbus_gateway.auth.chain import authenticator
from eventbus_gateway.auth.keys import new_key
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.policy import Action, policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings
from loadtests.bearers import token
from loadtests.beside import Beside, Config
from loadtests.events import TOPIC
from loadtests.local_issuer import LocalIssuer, rsa_key
from loadtests.measuring import ANYBODY, gateway_config
from loadtests.results import Result

KEY, TOKEN = "publish-key", "publish-token"
NAMES = (KEY, TOKEN)

_PRINCIPALS = 50
_DECISIONS = 50_000


class Identifying:
    """Benchmarks of authentication and policy.

    Args:
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: length of each measured interval.
        environ: variables for the gateways.
    """

    def __init__(self, broker: Broker, folder: Path, seconds: float, environ: dict[str, str]) -> None:
        self._beside = Beside(broker, folder, seconds / 2, environ)

    def __call__(self, name: str) -> Result:
        """Measure one, by its name.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        with contextlib.ExitStack() as running:
            if name == KEY:
                credential = new_key().decode()
                auth = keys_for(credential)
            else:
                issuer = running.enter_context(LocalIssuer())
                issuer.keys["rsa"] = rsa_key()
                credential = token(issuer, "rsa", "RS256", 0).decode()
                auth = tokens_of(issuer)
            click.echo(f"  credential and policy alone: {decision_us(auth, credential):.2f} µs CPU")
            header = f"authorization: Bearer {credential}\r\n"
            return self._beside.measure(name, self._config(ANYBODY), self._config(auth), header)

    def _config(self, auth: str) -> Config:
        return lambda ports: gateway_config(self._beside.bootstrap, ports, auth=auth)


def keys_for(key: str) -> str:
    """Who may call: the holder of a key beside others, each with grants of its own."""
    keys = {"writer": key, **{f"principal-{number}": new_key().decode() for number in range(_PRINCIPALS - 1)}}
    tables = ["[auth]"]
    for principal, text in keys.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        tables.append(f'[[auth.api_keys]]\nprincipal = "{principal}"\nsha256 = "{digest}"')
        tables.append(f'[[auth.grants]]\nprincipal = "{principal}"\nactions = ["publish"]\ntopics = ["{TOPIC}"]')
    return "\n".join(tables)


def tokens_of(issuer: LocalIssuer) -> str:
    """Who may call: the bearer of a token of an issuer."""
    return f"""
[auth]
mode = "several"
methods = ["oidc"]
[[auth.oidc]]
prefix = "local"
issuer = "{issuer.url}"
audiences = ["eventbus"]
allow_http = true
[[auth.grants]]
principal = "local.caller"
actions = ["publish"]
topics = ["{TOPIC}"]
"""


def decision_us(auth: str, credential: str) -> float:
    """What it takes to know who calls and whether that one may publish, without anything around it.

    The difference of two gateways is that small that a busy machine hides it.
    """
    settings = AuthSettings.model_validate_json(json.dumps(tomllib.loads(auth)["auth"]))
    return asyncio.run(_decision_us(settings, credential))


async def _decision_us(settings: AuthSettings, credential: str) -> float:
    tokens = OidcTokens(settings.oidc)
    authenticate, allowed = authenticator(settings, tokens=tokens), policy(settings)
    headers = {b"host": b"gateway.example", b"authorization": f"Bearer {credential}".encode()}

    def decide() -> None:
        principal = authenticate(headers, "127.0.0.1")
        assert isinstance(principal, Principal)
        allowed.require(principal, Action.PUBLISH, TOPIC)

    try:
        await tokens.start()
        return min(timeit.repeat(decide, timer=time.process_time, number=_DECISIONS, repeat=5)) / _DECISIONS * 1e6
    finally:
        await tokens.aclose()
