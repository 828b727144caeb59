"""What it costs to know who calls: the same gateway with credentials and without, under the same load."""

import asyncio
import contextlib
import hashlib
import json
import time
import timeit
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from tests.broker import Broker, free_port

from eventbus_gateway.auth.chain import authenticator
from eventbus_gateway.auth.keys import new_key
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.policy import Action, policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings
from loadtests.bearers import token
from loadtests.events import TOPIC
from loadtests.load import histogram, rss_mib
from loadtests.local_issuer import LocalIssuer, rsa_key
from loadtests.measuring import ANYBODY, BENCHMARKS, Failed, gateway_config, loaded, shown, written
from loadtests.processes import Served, gateway
from loadtests.results import Interval, Result, result

KEY, TOKEN = "publish-key", "publish-token"
NAMES = (KEY, TOKEN)

_SINGLE = BENCHMARKS[0]
_PRINCIPALS = 50
_WARM_UP_SECONDS = 0.5
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
        self._broker = broker
        self._folder = folder
        self._seconds = seconds
        self._environ = environ
        self._answered = 0

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
            return self._beside(name, auth, credential)

    def _beside(self, name: str, auth: str, credential: str) -> Result:
        click.echo(f"  credential and policy alone: {decision_us(auth, credential):.2f} µs CPU")
        self._answered = 0
        before = written(self._broker.bootstrap)
        with self._gateway("open", ANYBODY) as plain, self._gateway(name, auth) as guarded:
            intervals = list(self._in_turns(plain, guarded, f"authorization: Bearer {credential}\r\n"))
            memory = rss_mib(guarded.pid)
        stored = written(self._broker.bootstrap) - before
        if stored != self._answered:
            raise Failed(f"{self._answered} events were answered as stored, but Kafka has {stored} of them")
        return result(name, intervals, memory)

    @contextlib.contextmanager
    def _gateway(self, name: str, auth: str) -> Iterator[Served]:
        ports = (free_port(), free_port())
        config = self._folder / f"{name}.toml"
        config.write_text(gateway_config(self._broker.bootstrap, ports, auth=auth))
        with gateway(config, ports, self._environ, self._folder / f"{name}.log") as served:
            yield served

    def _in_turns(self, plain: Served, guarded: Served, header: str) -> Iterator[Interval]:
        # The very same requests, or what a longer head takes would count for what is done with it.
        floor, measured = ("floor", plain, header), ("gateway", guarded, header)
        # Short and mirrored: the difference is small, and a machine that gets slower meanwhile does so for both.
        for turn in (floor, measured, measured, floor) * 2:
            yield shown(self._interval(*turn))

    def _interval(self, what: str, served: Served, headers: str) -> Interval:
        report = loaded(_SINGLE, served, _SINGLE.success, self._seconds / 2, headers, _WARM_UP_SECONDS)
        self._answered += report.answers[_SINGLE.success]
        events = report.measured[_SINGLE.success]
        return Interval(what, events, report.seconds, report.server_cpu_seconds, histogram(report))


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
