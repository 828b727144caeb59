"""What it costs to say who calls by a bearer token, one that came before and one that comes for the first time.

No broker and no gateway: tokens are judged as a gateway does, with the keys of an issuer on this machine.
``python -m loadtests.bearers`` runs it alone.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from itertools import count

from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.principal import Principal
from loadtests.histogram import Histogram
from loadtests.load import rss_mib
from loadtests.local_issuer import LocalIssuer, ec_key, rsa_key
from loadtests.results import Interval, Result, result, table

_SIGNED = 500


def settings(issuer: LocalIssuer, max_tokens: int = 10_000) -> OidcIssuerSettings:
    """An issuer of which the gateway remembers so many tokens."""
    return OidcIssuerSettings(
        prefix="local", issuer=issuer.url, audiences=("eventbus",), allow_http=True, max_tokens=max_tokens
    )


def token(issuer: LocalIssuer, kid: str, algorithm: str, number: int) -> bytes:
    """A token of the size that identity providers issue, unlike all others by its number."""
    return issuer.token(
        kid,
        algorithm,
        jti=f"9d7a1a5c-5b0e-4dd2-8bb6-{number:012d}",
        azp="0c3f2f8e-0d0a-4f7c-9d51-2b6f6f4a1c11",
        scope="openid profile events.publish events.read",
        roles=[f"Events.Role{role}" for role in range(12)],
    )


def measure(seconds: float) -> list[Result]:
    """``bearer-seen``, ``bearer-first-rs256`` and ``bearer-first-es256``.

    Args:
        seconds: length of each measured interval.
    """
    return asyncio.run(_measured(seconds))


async def _measured(seconds: float) -> list[Result]:
    with LocalIssuer() as issuer:
        issuer.keys.update(rsa=rsa_key(), ec=ec_key())
        tokens, forgetful = OidcTokens([settings(issuer)]), OidcTokens([settings(issuer, max_tokens=1)])
        try:
            await asyncio.gather(tokens.start(), forgetful.start())
            numbers = count()
            # With room for one, each of several in turn comes as if it were the first time.
            rsa = [token(issuer, "rsa", "RS256", next(numbers)) for _ in range(_SIGNED)]
            ec = [token(issuer, "ec", "ES256", next(numbers)) for _ in range(_SIGNED)]
            _require(tokens, rsa)
            subjects = (("seen", tokens, rsa), ("first-rs256", forgetful, rsa), ("first-es256", forgetful, ec))
            return [
                result(f"bearer-{name}", [_interval(judge, texts, seconds)], rss_mib(os.getpid()))
                for name, judge, texts in subjects
            ]
        finally:
            await asyncio.gather(tokens.aclose(), forgetful.aclose())


def _require(tokens: OidcTokens, texts: Sequence[bytes]) -> None:
    if not all(isinstance(tokens(text), Principal) for text in texts):
        raise RuntimeError("the issuer's keys did not come")


def _interval(tokens: OidcTokens, texts: Sequence[bytes], seconds: float) -> Interval:
    done = 0
    start, cpu = time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - start) < seconds:
        for text in texts:
            tokens(text)
        done += len(texts)
    return Interval("gateway", done, took, time.process_time() - cpu, Histogram())


if __name__ == "__main__":
    print(table(measure(1.0)))
