"""Signs in to Amazon MSK with an AWS identity: tokens for all Kafka clients of this process."""

import logging
import re
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from eventbus_gateway.kafka.aws_credentials import (
    MARGIN_SECONDS,
    CredentialSource,
    Lent,
    NoCredentialsError,
    new_session,
)
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.sigv4 import TOKEN_SECONDS, msk_token

logger = logging.getLogger("eventbus_gateway.kafka.msk_iam")

NO_TOKEN = "no-credentials"  # noqa: S105  says that there is none
_NO_TOKEN_SECONDS = 10.0
_LEAST_SECONDS = 5.0
"""A token with less left is not handed out."""
_AGAIN_SECONDS = 2.0
_PATIENCE_SECONDS = 4.0
"""Far below the ten seconds that the maker of a client waits."""
_SPOKEN_SECONDS = 30.0
_IDENTITIES = 8
# Amazon MSK, "Bootstrap brokers": provisioned, serverless and public names, also of other partitions.
_BROKER = re.compile(
    r"[a-z0-9.-]+\.kafka(?:-serverless)?\.([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})\.amazonaws\.com(?:\.cn)?:"
)


class Source(Protocol):
    """Where credentials come from; ``CredentialSource`` is one."""

    def lend(self) -> Lent:
        """Credentials that are good now.

        Raises:
            NoCredentialsError: there are none.
        """
        ...


class Token(NamedTuple):
    """A signed token.

    Args:
        text: what a broker takes.
        signed: Unix time in seconds.
        expires: Unix time in seconds.
    """

    text: str
    signed: float
    expires: float

    def __repr__(self) -> str:
        return "Token(...)"

    def is_young(self, now: float) -> bool:
        """Whether it is good enough for one more client: at least half of its life is left."""
        return 0 <= now - self.signed < (self.expires - self.signed) / 2


def lifetime(credentials_seconds: int | None) -> float:
    """How long a token is good that is signed now, in seconds; not more than 0 where none should be.

    Args:
        credentials_seconds: how long the credentials are, None for ever.
    """
    if credentials_seconds is None:
        return TOKEN_SECONDS
    return min(TOKEN_SECONDS, credentials_seconds - MARGIN_SECONDS)


def region_of(settings: KafkaSettings) -> str | None:
    """The region of the cluster, as configured or as the brokers' names tell it."""
    if settings.iam_region is not None:
        return settings.iam_region
    found = {match[1] for match in _BROKER.finditer(settings.bootstrap_servers.lower())}
    return found.pop() if len(found) == 1 else None


class MskTokens:
    """Gives out tokens; librdkafka calls it from threads of each client, long before a token ends.

    It never raises: the client would swallow it, and one that has no token yet would block its maker for ten seconds
    and then fail. Such a client gets a token that no broker takes, for a few seconds, and is to the gateway like one
    whose brokers are away.

    Args:
        source: of credentials.
        region: of the cluster.
        clock: Unix time in seconds.
        patience: seconds that clients wait for credentials at the most.
    """

    def __init__(
        self,
        source: Source,
        region: str,
        *,
        clock: Callable[[], float] = time.time,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._source = source
        self._region = region
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._token: Token | None = None
        self._renewing = False
        self._wait_until = float("-inf")
        self._failed_at = float("-inf")
        self._spoken_at = float("-inf")

    def __repr__(self) -> str:
        return f"MskTokens({self._region})"

    def expires_at(self) -> float | None:
        """Unix time in seconds at which the last token ends, None before the first one."""
        token = self._token
        return None if token is None else token.expires

    def __call__(self, config: str) -> tuple[str, float]:
        """librdkafka's ``oauth_cb``.

        Args:
            config: ``sasl.oauthbearer.config``, not used.

        Returns:
            The token and the Unix time in seconds at which it ends.
        """
        with self._changed:
            now = self._clock()
            token = self._token
            if token is not None and token.is_young(now):
                return token.text, token.expires
            if not self._renewing and now - self._failed_at >= _AGAIN_SECONDS:
                self._begin()
            # All wait for the same look, and none of them for long: a client's maker waits behind each.
            self._changed.wait_for(lambda: not self._renewing, max(0.0, self._wait_until - time.monotonic()))
            now, token = self._clock(), self._token
            if token is not None and token.expires - now >= _LEAST_SECONDS:
                return token.text, token.expires
            return NO_TOKEN, now + _NO_TOKEN_SECONDS

    def _begin(self) -> None:
        # Its end waits for the lock that is held here; where it cannot begin, the next caller tries again.
        threading.Thread(target=self._renew, name="eventbus-msk-token", daemon=True).start()
        self._renewing = True
        self._wait_until = time.monotonic() + self._patience

    def _renew(self) -> None:
        token, failure = None, "unknown"
        try:
            lent = self._source.lend()
            token, failure = self._signed(lent), "the credentials are about to end and cannot be renewed"
        except NoCredentialsError as error:
            failure = error.reason
        finally:
            with self._changed:
                self._renewing = False
                if token is None:
                    self._fail(failure)
                else:
                    self._take(token)
                self._changed.notify_all()

    def _signed(self, lent: Lent) -> Token | None:
        now, seconds = self._clock(), lifetime(lent.seconds)
        if seconds < _LEAST_SECONDS:
            return None
        text = msk_token(lent.credentials, self._region, now, user_agent="eventbus-gateway")
        return Token(text, now, now + seconds)

    def _take(self, token: Token) -> None:
        self._token = token
        if self._spoken_at > float("-inf"):
            logger.info("there are AWS credentials for Kafka again")
            self._spoken_at = float("-inf")

    def _fail(self, reason: str) -> None:
        now = self._failed_at = self._clock()
        if now - self._spoken_at >= _SPOKEN_SECONDS:
            self._spoken_at = now
            logger.warning("no AWS credentials to sign in to Kafka with: %s", reason)


def msk_tokens(settings: KafkaSettings) -> MskTokens:
    """The tokens of an identity: the same ones for all clients of this process.

    Raises:
        ValueError: the region of the cluster is not known.
    """
    region = region_of(settings)
    if region is None:
        raise ValueError("the region of the cluster is not known: set kafka.iam_region")
    chosen = {name: getattr(settings, name) for name in KafkaSettings.model_fields if name.startswith("iam_")}
    return _shared(KafkaSettings.model_validate(chosen), region)


@lru_cache(maxsize=_IDENTITIES)
def _shared(identity: KafkaSettings, region: str) -> MskTokens:
    return MskTokens(CredentialSource(identity, lambda: new_session(identity, region)), region)
